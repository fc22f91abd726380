// A store as years of work leave it: many entries, and an event log of many builds in two generations. Made from a seed,
// so that every run sees the same.
import { writeFileSync } from 'node:fs';
import type { CompileEvent, EventResult } from '../src/core/events.ts';
import type { BlobId, CacheKey, UnitId } from '../src/core/ids.ts';
import { writeEntry } from '../src/store/entries.ts';
import { previousGeneration } from '../src/store/event-log.ts';
import { type Store, withParent } from '../src/store/store.ts';
import { createFile, utf8 } from '../src/sys/files.ts';
import { sha256 } from '../src/sys/hash.ts';

export interface BigStore {
  readonly events: number;
  readonly entries: number;
  /** When the last event ended, milliseconds since the epoch. */
  readonly nowMs: number;
  /** Over how long the events are spread. */
  readonly spanMs: number;
}

const CALLS_PER_BUILD = 250;
const CRATES = 400;
/** How often each result comes, in a row of this length. */
const RESULTS: readonly EventResult[] = [
  ...new Array<EventResult>(13).fill('local_hit'),
  ...new Array<EventResult>(3).fill('miss'),
  'dup',
  'skipped',
  'error',
  'passthrough',
];

/** A small generator of numbers below 1; the same seed gives the same row. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const crateName = (index: number): string => `crate_number_${index}`;
const keyOf = (index: number): CacheKey => sha256(`key ${index}`) as CacheKey;
const unitOf = (index: number): UnitId => sha256(`unit ${index}`) as UnitId;

/** The events in the order of the log. */
export function* manyEvents({ events, entries, nowMs, spanMs }: BigStore): Generator<CompileEvent> {
  const next = numbers(7);
  const below = (count: number): number => Math.floor(next() * count);
  for (let at = 0; at < events; at++) {
    const build = Math.floor(at / CALLS_PER_BUILD);
    const crate = below(CRATES);
    const result = RESULTS[below(RESULTS.length)] ?? 'miss';
    const isHit = result === 'local_hit';
    const compileMs = 50 + below(9000);
    const root = `/home/user/projects/project-${build % 12}`;
    yield {
      ts: Math.round(nowMs - spanMs + ((at + 1) / events) * spanMs),
      crate_name: crateName(crate),
      crate_version: `1.${crate % 30}.0`,
      crate_types: 'lib',
      root,
      out_dir: `${root}/target/debug/deps`,
      result,
      compiler_runs: isHit ? 0 : 1,
      compile_ms: compileMs,
      elapsed_ms: isHit ? 3 + below(20) : compileMs + below(50),
      unit_id: unitOf(at),
      phases: isHit
        ? { key: 1.25, lookup: 0.5, restore: 2.125 }
        : { key: 1.5, compile: compileMs, store: 8.5 },
      build_pid: 1000 + build,
      pid: 100_000 + at,
      ...(result === 'passthrough' ? { passthrough_reason: 'policy|linked-output' } : {}),
      ...(result === 'skipped' ? { reason: 'input-changed-during-compile' } : {}),
      ...(result === 'miss' || result === 'dup' ? { reason: 'never-compiled' } : {}),
      ...(isHit || result === 'miss' || result === 'dup'
        ? { cache_key: keyOf(below(entries)), size_bytes: 20_000 + below(4_000_000) }
        : {}),
      ...(result === 'miss' ? { stored_bytes: 20_000 + below(4_000_000) } : {}),
      ...(isHit
        ? { restored: { reflinked: 0, hardlinked: 20_000 + below(4_000_000), copied: below(9000) } }
        : {}),
    };
  }
}

/** Fills an empty store. The older two fifths of the events go into the generation before. */
export function fillStore(store: Store, size: BigStore): void {
  const lines = [...manyEvents(size)].map((event) => `${JSON.stringify(event)}\n`);
  const older = Math.floor(lines.length * 0.4);
  writeFileSync(previousGeneration(store.layout.events), lines.slice(0, older).join(''));
  writeFileSync(store.layout.events, lines.slice(older).join(''));
  const next = numbers(11);
  for (let index = 0; index < size.entries; index++) {
    const bytes = utf8(`output ${index}`);
    const blob = sha256(bytes) as BlobId;
    const path = store.layout.blob(blob);
    withParent(path, () => createFile(path, bytes));
    writeEntry(
      store,
      {
        key: keyOf(index),
        unit: unitOf(index),
        crateName: crateName(index % CRATES),
        crateVersion: `1.${(index % CRATES) % 30}.0`,
        crateTypes: 'lib',
        createdMs: size.nowMs - Math.floor(next() * size.spanMs),
        compileMs: 50 + Math.floor(next() * 9000),
        outputs: [{ kind: 'link', blob, sizeBytes: 20_000 + Math.floor(next() * 4_000_000), mode: 0o644 }],
        stderr: [],
        stdout: [],
      },
      {
        identity: '',
        unit: [],
        flags: ['-C opt-level=0'],
        files: [['./src/lib.rs', 'ab']],
        env: [],
        externs: [],
        other: [],
      },
    );
  }
}
