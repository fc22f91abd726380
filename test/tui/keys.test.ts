// Keys as steps from one state to the next.
import { expect, test } from 'bun:test';
import { update } from '../../src/tui/state.ts';
import { event, hit, NOON, pressed, shown, stateOf } from './states.ts';

const CALLS = Array.from({ length: 40 }, (_, n) =>
  hit(`crate_${n}`, { ago: 40_000 - n * 1000, pid: n + 10 }),
);
const state = stateOf({ lines: CALLS });

/** The line with the mark of the selection. */
const selected = (of: typeof state): string => shown(of).find((line) => line.startsWith('›')) ?? '';

test('tabs by number, by tab and by arrows, in both directions', () => {
  expect(state.tab).toBe('build');
  expect(pressed(state, '3').tab).toBe('store');
  expect(pressed(state, 'tab').tab).toBe('projects');
  expect(pressed(state, 'tab', 'tab', 'tab', 'tab').tab).toBe('build');
  expect(pressed(state, 'backtab').tab).toBe('transfer');
  expect(pressed(state, 'right').tab).toBe('projects');
  expect(pressed(state, 'left').tab).toBe('transfer');
  expect(pressed(state, '9').tab).toBe('build');
});

test('moving: a line, a screen, to the ends, and no further', () => {
  expect(selected(state)).toContain('shop (debug)');
  expect(selected(pressed(state, 'down'))).toContain('crate_39');
  expect(selected(pressed(state, 'j', 'j', 'k'))).toContain('crate_39');
  expect(selected(pressed(state, 'up', 'up'))).toContain('shop (debug)');
  expect(selected(pressed(state, 'G'))).toContain('crate_0 ');
  expect(selected(pressed(state, 'end', 'down', 'down'))).toContain('crate_0 ');
  expect(selected(pressed(state, 'G', 'home'))).toContain('shop (debug)');
  const page = pressed(state, 'pageDown');
  expect(selected(page)).toContain('crate_23');
  expect(selected(pressed(page, 'pageUp'))).toContain('shop (debug)');
  // What is on the screen does not jump while the selection moves in it.
  expect(shown(pressed(page, 'up')).filter((line) => !line.startsWith('›')).length).toBeGreaterThan(20);
});

test('new calls come in above; the selection stays on its call, the first row stays first', () => {
  const add = (of: typeof state) =>
    update(of, {
      kind: 'lines',
      batch: { lines: [JSON.stringify(hit('newest', { pid: 5 }))], age: 'newer' },
    });
  const chosen = pressed(state, 'down', 'down', 'down');
  const line = shown(chosen).findIndex((text) => text.startsWith('›'));
  expect(selected(add(chosen))).toContain('crate_37');
  expect(
    shown(add(pressed(state, 'pageDown', 'pageDown'))).indexOf(
      selected(add(pressed(state, 'pageDown', 'pageDown'))),
    ),
  ).toBe(
    shown(pressed(state, 'pageDown', 'pageDown')).indexOf(selected(pressed(state, 'pageDown', 'pageDown'))),
  );
  expect(line).toBe(8);
  expect(selected(add(state))).toContain('shop (debug)');
  expect(shown(add(state))[6]).toContain('newest');
});

test('enter folds and unfolds a build, opens a call; esc goes back to the same place', () => {
  const folded = pressed(state, 'enter');
  expect(shown(folded).join('\n')).not.toContain('crate_39');
  expect(shown(pressed(folded, 'enter')).join('\n')).toContain('crate_39');
  const opened = pressed(state, 'down', 'down', 'enter');
  expect(opened.build.opened?.event.crate_name).toBe('crate_38');
  expect(shown(opened)[4]).toContain('crate_38 1.2.3');
  expect(selected(pressed(opened, 'escape'))).toContain('crate_38');
});

test('a detail scrolls as far as it is long', () => {
  const opened = pressed(stateOf({ lines: CALLS, rows: 12 }), 'down', 'enter');
  const [top, end] = [shown(opened), shown(pressed(opened, 'G'))];
  expect(end).not.toEqual(top);
  expect(shown(pressed(opened, 'G', 'down', 'down'))).toEqual(end);
  expect(shown(pressed(opened, 'G', 'up'))).not.toEqual(end);
  expect(shown(pressed(opened, 'G', 'g'))).toEqual(top);
});

test('the filter goes round and says which it is', () => {
  const mixed = stateOf({
    lines: [
      hit('taken'),
      event('made'),
      event('broken', { result: 'error' }),
      event('tried', { result: 'error', out_dir: '/home/user/shop/target/debug/build/x-1/out/probe' }),
      event('kept_out', { result: 'skipped', reason: 'output-not-repeatable' }),
      event('tool', {
        result: 'passthrough',
        passthrough_reason: 'policy|linked-output',
        crate_types: 'bin',
      }),
    ],
  });
  const crates = (of: typeof state): string[] =>
    ['taken', 'made', 'broken', 'tried', 'kept_out', 'tool'].filter((name) =>
      shown(of).join('\n').includes(name),
    );
  expect(crates(mixed)).toEqual(['taken', 'made', 'broken', 'tried', 'kept_out', 'tool']);
  expect(shown(mixed)[5]).toContain('1 hit, 1 miss, 1 unstored, 1 failed');
  expect(shown(mixed).find((line) => line.includes('tried'))).toContain('– refused');
  const after = (times: number) => pressed(mixed, ...new Array<string>(times).fill('f'));
  expect([1, 2, 3, 4, 5].map((times) => crates(after(times)))).toEqual([
    ['taken'],
    ['made'],
    ['kept_out'],
    ['broken'],
    ['tool'],
  ]);
  expect(shown(after(2))[4]).toContain('filter: misses');
  expect(crates(after(6))).toEqual(crates(mixed));
});

test('a search takes letters, also those that are keys otherwise', () => {
  const typing = pressed(state, '/', 'q');
  expect(typing.isDone).toBe(false);
  expect(shown(typing).at(-1)).toContain('/q');
  const found = pressed(state, '/', ...'CRATE_17', 'enter');
  expect(shown(found).filter((line) => line.includes('✓ hit'))).toHaveLength(1);
  expect(shown(found).at(-1)).toContain('/CRATE_17');
  expect(shown(pressed(state, '/', ...'17x', 'backspace')).join('\n')).toContain('crate_17');
  expect(shown(pressed(found, 'escape')).join('\n')).toContain('crate_39');
  expect(shown(pressed(state, '/', '('))[6]).toContain('Nothing of that kind');
  expect(pressed(state, '/', 'pageDown').build.search.text).toBe('');
});

test('help opens on every tab and closes', () => {
  for (const tab of ['1', '2', '3', '4']) {
    const help = pressed(state, tab, '?');
    expect(shown(help)[4]).toContain('Keys');
    expect(pressed(help, 'escape').isHelp).toBe(false);
    expect(pressed(help, 'q')).toMatchObject({ isHelp: false, isDone: false });
  }
});

test('q and Ctrl-C leave; Ctrl-C from everywhere', () => {
  expect(pressed(state, 'q').isDone).toBe(true);
  for (const keys of [[], ['/'], ['?'], ['down', 'enter']])
    expect(pressed(state, ...keys, 'ctrl-c').isDone).toBe(true);
});

test('time passes: what ended before the span is not shown any more', () => {
  const early = stateOf({
    lines: [event('old', { ago: 23.5 * 3600e3 }), event('new', { build_pid: 2, root: '/x/other' })],
  });
  expect(shown(early).join('\n')).toContain('shop');
  const later = update(early, { kind: 'time', nowMs: NOON + 3600e3 });
  expect(shown(later).join('\n')).not.toContain('shop');
  expect(shown(later).join('\n')).toContain('other');
});
