// The stand-in of a build script when kache is killed before every file-system operation, or refused every one: after the
// next call of the compiler Cargo finds a program that works, with the script beside it where it is a stand-in.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { buildFaulty } from '../support/fault-lab.ts';
import { inspectStore } from '../support/invariants.ts';
import { type Env, KACHE, Lab } from '../support/lab.ts';
import { notRun } from '../support/required.ts';
import { make, type RustcCall, recordCalls } from '../support/rustc-calls.ts';

const TIMEOUT_MS = 240_000;
/** More operations than any call makes. */
const MAX_OPERATIONS = 400;

let [lab, faulty, call, kept]: [Lab?, string?, RustcCall?, string?] = [];
const isLinux = process.platform === 'linux';
const onLinux = test.if(isLinux);

beforeAll(() => {
  if (!isLinux) return notRun('faults of stand-ins', 'runs of build scripts are kept on Linux alone');
  lab = new Lab();
  faulty = buildFaulty(lab);
  kept = lab.path('kept');
  const dir = lab.write('project', {
    'Cargo.toml': '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n',
    'build.rs': 'fn main() { println!("cargo:rustc-cfg=it_ran"); }\n',
    'src/lib.rs': '',
  });
  call = recordCalls(lab, dir, []).find(({ crateName }) => crateName === 'build_script_build');
  if (call === undefined) throw new Error('cargo did not compile the build script');
}, 60_000);
afterAll(() => lab?.[Symbol.dispose]());

const there = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('it was not set up');
  return value;
};

/** Compiles the build script, with the test build where there are faults. */
const compile = (faults?: Env) =>
  make(faults === undefined ? KACHE : there(faulty), there(call), {
    KACHE_CACHE_DIR: there(lab).store,
    KACHE_CACHE_EXECUTABLES: '1',
    KACHE_CACHE_BUILD_SCRIPTS: 'all',
    ...faults,
  });

const program = (): string => {
  const { argv, outDir } = there(call);
  const suffix = argv.find((arg) => arg.startsWith('extra-filename='))?.slice('extra-filename='.length);
  return join(outDir, `build_script_build${suffix}`);
};

/** What is wrong with what Cargo finds; `plain`: the program itself will do. */
function wrong(how: 'stand-in' | 'plain'): string[] {
  const found: string[] = [];
  const path = program();
  if (!existsSync(path)) return ['there is no program'];
  const isStandIn = statSync(path).size < 20_000;
  if (!isStandIn && how === 'stand-in') found.push('it is no stand-in');
  // As Cargo does it.
  const called = join(there(call).outDir, 'build-script-build');
  if (isStandIn && !existsSync(`${called}.script`)) found.push('there is nothing behind it');
  rmSync(called, { force: true });
  linkSync(path, called);
  const ran = there(lab).run([called], { env: { OUT_DIR: there(lab).path('out') } });
  if (ran.status !== 0 || ran.stdout !== 'cargo:rustc-cfg=it_ran\n') found.push(JSON.stringify(ran));
  return found;
}

const SCENARIOS = { 'a compile': 'nothing', 'a hit': 'the script' } as const;

/** A store that holds nothing or the script, and an empty folder of outputs. */
async function begin(holds: (typeof SCENARIOS)[keyof typeof SCENARIOS]): Promise<void> {
  const { store } = there(lab);
  for (const path of [store, there(call).outDir]) rmSync(path, { recursive: true, force: true });
  mkdirSync(there(call).outDir, { recursive: true });
  if (holds === 'nothing') return;
  if (!existsSync(there(kept))) {
    expect((await compile()).status).toBe(0);
    Bun.spawnSync(['cp', '-a', store, there(kept)]);
    rmSync(there(call).outDir, { recursive: true });
    mkdirSync(there(call).outDir);
  } else Bun.spawnSync(['cp', '-a', there(kept), store]);
}

for (const [what, holds] of Object.entries(SCENARIOS))
  for (const effect of ['die', 'EIO'] as const)
    onLinux(
      `${what}: ${effect === 'die' ? 'kill -9 before' : 'refused'} every operation`,
      async () => {
        let struck = 0;
        for (let n = 1; n < MAX_OPERATIONS; n++) {
          await begin(holds);
          const trace = there(lab).path('trace');
          rmSync(trace, { force: true });
          const result = await compile({ KACHE_TEST_FAULT: `any ${n} ${effect}`, KACHE_TEST_TRACE: trace });
          const at = readFileSync(trace, 'utf8')
            .trim()
            .split('\n')
            .findLast((line) => line.startsWith('!'));
          if (at === undefined) break;
          struck++;
          if (effect === 'die') expect([n, at, result.signal]).toEqual([n, at, 'SIGKILL']);
          else expect([n, at, result.status, wrong('plain')]).toEqual([n, at, 0, []]);
          expect([n, at, (await compile()).status, wrong('stand-in')]).toEqual([n, at, 0, []]);
          expect([n, at, inspectStore(there(lab).store).wrong]).toEqual([n, at, []]);
        }
        expect(wrong('stand-in')).toEqual([]);
        expect(struck).toBeGreaterThan(8);
        expect(struck).toBeLessThan(MAX_OPERATIONS - 1);
      },
      TIMEOUT_MS,
    );
