// The style of the HTML report: one set of variables for light and one for dark. Outcomes differ by pattern and sign
// as well as by colour.

export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #17202a; --soft: #566273; --line: #d9dee5; --grid: #e8ebf0;
  --hit: #0b7a70; --hit-soft: #d3efea; --miss: #b4540a; --miss-soft: #f7d9b9; --pass: #5b6778; --pass-soft: #e4e8ee;
  --error: #b3202c; --error-soft: #f6d0d3; --chain: #3b3fb6; --focus: #1d4ed8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f141a; --card: #171e26; --ink: #e6ebf1; --soft: #9aa7b6; --line: #2c3641; --grid: #222b35;
    --hit: #3ecfbd; --hit-soft: #123a38; --miss: #f0a04b; --miss-soft: #4a3013; --pass: #8c9aab; --pass-soft: #28323d;
    --error: #ff7b84; --error-soft: #4c1c22; --chain: #a5a9ff; --focus: #7aa7ff;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 24px 64px; }
h1 { font-size: 24px; line-height: 1.25; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 17px; margin: 0 0 4px; }
p { margin: 0 0 12px; }
.soft, .note { color: var(--soft); }
.note { font-size: 13.5px; max-width: 76ch; }
code, .mono { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
header .mono { display: block; margin-top: 4px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px; margin-top: 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin-top: 20px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.tile b { display: block; font-size: 27px; line-height: 1.2; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; display: block; }
.tile .why { color: var(--miss); font-weight: 600; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
button, input, select { font: inherit; color: inherit; }
.tools { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; margin: 10px 0 12px; }
.tools button, .tools input, .tools select { background: var(--page); border: 1px solid var(--line); border-radius: 7px; padding: 4px 11px; }
.tools button { cursor: pointer; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 18px; list-style: none; margin: 0 auto 0 0; padding: 0; font-size: 13px; }
.legend li { display: flex; align-items: center; gap: 7px; }
.swatch { width: 30px; height: 16px; border-radius: 3px; display: inline-block; position: relative; overflow: hidden; }

.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--page); }
.plot { position: relative; min-width: 640px; padding: 0 14px 8px 62px; }
.axis { position: relative; height: 24px; font-size: 12px; color: var(--soft); font-variant-numeric: tabular-nums; }
.axis i { position: absolute; top: 4px; transform: translateX(-50%); font-style: normal; white-space: nowrap; }
.axis i:first-child { transform: none; }
.area { position: relative; }
.rules { position: absolute; inset: 0; }
.rules i { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--grid); }
.lane { position: relative; height: 30px; border-top: 1px solid var(--grid); }
.lane > small { position: absolute; left: -54px; top: 6px; color: var(--soft); font-size: 12px; }
.bar { position: absolute; top: 3px; height: 24px; min-width: 4px; padding: 0; border: 0; border-radius: 3px; background: none; cursor: pointer; text-align: left; }
.bar > span, .swatch > span { position: absolute; top: 0; bottom: 0; border-radius: 3px; }
.bar > em { position: absolute; inset: 1px 2px 1px 5px; overflow: hidden; white-space: nowrap; font: 600 11.5px/22px system-ui, sans-serif; }
.bar > em span { background: var(--card); border-radius: 3px; padding: 1px 4px; }
.bar.chain { box-shadow: 0 0 0 1px var(--card), 0 0 0 3px var(--chain); z-index: 2; }
.bar[aria-pressed="true"] { box-shadow: 0 0 0 2px var(--card), 0 0 0 5px var(--ink); z-index: 3; }
.bar:hover { z-index: 4; filter: brightness(1.08); }
.bar.faded { opacity: 0.18; }
.p-own { background: var(--pass); top: 35% !important; bottom: 35% !important; }
.p-wait { border: 2px dotted var(--pass); }
.o-hit { background: var(--hit); }
.o-miss { background: repeating-linear-gradient(135deg, var(--miss) 0 4px, var(--miss-soft) 4px 9px); border: 1px solid var(--miss); }
.o-dup { background: repeating-linear-gradient(0deg, var(--miss) 0 2px, var(--miss-soft) 2px 6px); border: 1px solid var(--miss); }
.o-skipped { background: radial-gradient(var(--miss) 1.4px, var(--miss-soft) 1.6px) 0 0 / 6px 6px; border: 1px dashed var(--miss); }
.o-pass { background: var(--pass-soft); border: 1px solid var(--pass); }
.o-error { background: repeating-linear-gradient(45deg, var(--error) 0 2px, transparent 2px 7px), repeating-linear-gradient(135deg, var(--error) 0 2px, var(--error-soft) 2px 7px); border: 2px solid var(--error); }
.p-rest { background: var(--card); opacity: 0.5; border-radius: 0 3px 3px 0 !important; border-left: 2px solid var(--miss); }
.load { display: block; width: 100%; height: 46px; margin-top: 6px; border-top: 1px solid var(--grid); }
.load path { fill: var(--pass-soft); stroke: var(--pass); stroke-width: 1.2; vector-effect: non-scaling-stroke; }
.detail { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 14px 0 0; min-height: 1.5em; font-size: 14px; }
.detail dt { color: var(--soft); }
.detail dd { margin: 0; overflow-wrap: anywhere; }

table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 12.5px; padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); }
td { padding: 6px 10px 6px 0; border-bottom: 1px solid var(--grid); vertical-align: top; overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
.num { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; padding-right: 18px; }
td.meter { width: 34%; min-width: 120px; }
.meter > div { position: relative; height: 14px; margin-top: 4px; background: var(--grid); border-radius: 3px; overflow: hidden; }
.meter span { position: absolute; top: 0; bottom: 0; left: 0; border-radius: 3px; min-width: 2px; }
.chainrow .meter > div { overflow: visible; }
.tag { white-space: nowrap; font-size: 13px; }
.tag b { font-weight: 700; display: inline-block; width: 1.2em; }
.t-hit b { color: var(--hit); } .t-miss b, .t-dup b, .t-skipped b { color: var(--miss); } .t-pass b { color: var(--pass); } .t-error b { color: var(--error); }
.wide { overflow-x: auto; }
.calls { max-height: 480px; overflow: auto; }
.calls th { position: sticky; top: 0; background: var(--card); }
tr[hidden] { display: none; }

.rates { width: 100%; height: auto; max-height: 260px; display: block; margin-top: 8px; }
.rates text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.rates .rule { stroke: var(--grid); }
.rates .raw { stroke: var(--hit); } .rates .weighted { stroke: var(--miss); stroke-dasharray: 7 5; }
.rates polyline { fill: none; stroke-width: 2.2; }
.rates circle { fill: var(--hit); stroke: var(--card); stroke-width: 1.5; }
.rates rect.mark { fill: var(--card); stroke: var(--miss); stroke-width: 2.2; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--soft); font-size: 13.5px; }
footer { color: var(--soft); font-size: 13px; margin-top: 24px; }
kbd { font: 12px ui-monospace, monospace; border: 1px solid var(--line); border-radius: 4px; padding: 0 5px; background: var(--page); }
@media (max-width: 640px) { main { padding: 16px 12px 40px; } section { padding: 16px 14px; } td.meter, th.meter { display: none; } }
@media print { body { background: none; } section { break-inside: avoid; } .tools { display: none; } .calls { max-height: none; } }
`;
