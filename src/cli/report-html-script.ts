// What the HTML report does by itself: the detail of a call, moving through the timeline by keyboard, zoom, and the
// filter of the list. Plain browser code; without it the page still shows everything but the details.

export const SCRIPT = `
'use strict';
(() => {
  const calls = JSON.parse(document.getElementById('calls').textContent);
  const bars = [...document.querySelectorAll('.bar')];
  const detail = document.getElementById('detail');
  const plot = document.querySelector('.plot');
  const scroll = document.querySelector('.scroll');
  const filter = document.getElementById('filter');
  const outcome = document.getElementById('outcome');
  const count = document.getElementById('count');
  const at = (bar) => Number(bar.dataset.call);

  const line = (name, value) => {
    if (value === '' || value === null || value === undefined) return;
    const dt = document.createElement('dt');
    const dd = document.createElement('dd');
    dt.textContent = name;
    dd.textContent = value;
    detail.append(dt, dd);
  };
  const select = (bar) => {
    for (const other of bars) {
      other.setAttribute('aria-pressed', String(other === bar));
      other.tabIndex = other === bar ? 0 : -1;
    }
    detail.replaceChildren();
    for (const [name, value] of calls[at(bar)].lines) line(name, value);
  };
  const go = (bar) => {
    if (bar === undefined) return;
    bar.focus({ preventScroll: true });
    bar.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    select(bar);
  };

  const nearest = (bar, step) => {
    const { lane, from } = calls[at(bar)];
    const beyond = bars.filter((other) => Math.sign(calls[at(other)].lane - lane) === step);
    const lanes = beyond.map((other) => calls[at(other)].lane);
    const next = step > 0 ? Math.min(...lanes) : Math.max(...lanes);
    return beyond
      .filter((other) => calls[at(other)].lane === next)
      .sort((a, b) => Math.abs(calls[at(a)].from - from) - Math.abs(calls[at(b)].from - from))[0];
  };
  const inLane = (bar, step) => {
    const lane = bars.filter((other) => calls[at(other)].lane === calls[at(bar)].lane);
    return lane[lane.indexOf(bar) + step];
  };

  let zoom = 1;
  const setZoom = (value) => {
    const middle = (scroll.scrollLeft + scroll.clientWidth / 2) / plot.offsetWidth;
    zoom = Math.min(64, Math.max(1, value));
    plot.style.width = zoom * 100 + '%';
    scroll.scrollLeft = middle * plot.offsetWidth - scroll.clientWidth / 2;
    document.getElementById('zoom').textContent = zoom + '×';
  };
  document.getElementById('zoom-in').addEventListener('click', () => setZoom(zoom * 2));
  document.getElementById('zoom-out').addEventListener('click', () => setZoom(zoom / 2));

  for (const bar of bars) bar.addEventListener('click', () => select(bar));
  plot.addEventListener('keydown', (event) => {
    const bar = event.target.closest('.bar');
    if (bar === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = {
      ArrowRight: () => go(inLane(bar, 1)),
      ArrowLeft: () => go(inLane(bar, -1)),
      ArrowDown: () => go(nearest(bar, 1)),
      ArrowUp: () => go(nearest(bar, -1)),
      Home: () => go(bars[0]),
      End: () => go(bars[bars.length - 1]),
      '+': () => setZoom(zoom * 2),
      '-': () => setZoom(zoom / 2),
    };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    move();
  });

  const rows = [...document.querySelectorAll('#list tbody tr')];
  const apply = () => {
    const text = filter.value.trim().toLowerCase();
    const kind = outcome.value;
    const isShown = (call) => (text === '' || call.search.includes(text)) && (kind === '' || call.kind === kind);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !isShown(calls[Number(row.dataset.call)]);
      if (!row.hidden) shown++;
    }
    for (const bar of bars) bar.classList.toggle('faded', !isShown(calls[at(bar)]));
    count.textContent = shown + ' of ' + rows.length + ' calls';
  };
  filter.addEventListener('input', apply);
  outcome.addEventListener('change', apply);
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.target.closest('input, select') !== null) return;
    event.preventDefault();
    filter.focus();
  });
  apply();
  const slowest = bars.reduce((a, b) => (calls[at(a)].took >= calls[at(b)].took ? a : b), bars[0]);
  if (slowest !== undefined) select(slowest);
})();
`;
