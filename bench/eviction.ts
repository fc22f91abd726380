// Eviction policies side by side on a recorded trace: what each keeps, at several caps.
//   bun bench/eviction.ts [--trace FILE] [--record] [--work-dir DIR]
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { recordTrace, type Trace, writeTrace } from './eviction-record.ts';

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    trace: { type: 'string', default: join(import.meta.dir, 'eviction-trace.json') },
    record: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '240' },
    'work-dir': { type: 'string', default: join(tmpdir(), `kache-eviction-${process.pid}`) },
  },
});

if (values.record) {
  mkdirSync(values['work-dir'], { recursive: true });
  writeTrace(
    values.trace,
    recordTrace(values['work-dir'], Number(values.minutes), (text) => console.error(text)),
  );
  rmSync(values['work-dir'], { recursive: true, force: true });
}
