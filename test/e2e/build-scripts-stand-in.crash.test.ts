// The stand-in of a build script when kache is killed before every file-system operation, or refused every one: after the
// next call of the compiler Cargo finds a program that works, with the script beside it where it is a stand-in.
import { expect } from 'bun:test';
import { existsSync, linkSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { atEvery, FaultPlace } from '../support/fault-place.ts';
import { type Env, KACHE } from '../support/lab.ts';
import { openOnLinux } from '../support/linux.ts';
import { make, moved, type RustcCall, recordCalls } from '../support/rustc-calls.ts';
import { KEPT, manifest, onLinuxOnly } from '../support/script-lab.ts';

const TIMEOUT_MS = 240_000;

const PROJECT = {
  'Cargo.toml': manifest('small', '[workspace]\n'),
  'build.rs': 'fn main() { println!("cargo:rustc-cfg=it_ran"); }\n',
  'src/lib.rs': '',
};

/** Compiles of a build script, and what Cargo finds after them. */
class StandIns extends FaultPlace {
  readonly #recordedIn = this.lab.write('recorded-project', PROJECT);
  readonly #call: RustcCall;

  constructor() {
    super(PROJECT);
    const calls = recordCalls(this.lab, this.#recordedIn, []);
    const call = calls.find(({ crateName }) => crateName === 'build_script_build');
    if (call === undefined) throw new Error('cargo did not compile the build script');
    this.#call = call;
  }

  #callIn(dir: string): RustcCall {
    return moved(this.#call, this.#recordedIn, dir);
  }

  /** Compiles the build script of a checkout, with the test build where there are faults. */
  compile(dir: string, faults?: Env) {
    const program = faults === undefined ? KACHE : this.faulty;
    return make(program, this.#callIn(dir), { ...this.env, ...KEPT, ...faults });
  }

  /** What is wrong with what Cargo finds; `plain`: the program itself will do. */
  wrongIn(dir: string, how: 'stand-in' | 'plain'): string[] {
    const { argv, outDir } = this.#callIn(dir);
    const suffix = argv.find((arg) => arg.startsWith('extra-filename='))?.slice('extra-filename='.length);
    const path = join(outDir, `build_script_build${suffix}`);
    if (!existsSync(path)) return ['there is no program'];
    const found: string[] = [];
    const isStandIn = statSync(path).size < 20_000;
    if (!isStandIn && how === 'stand-in') found.push('it is no stand-in');
    // As Cargo does it.
    const called = join(outDir, 'build-script-build');
    if (isStandIn && !existsSync(`${called}.script`)) found.push('there is nothing behind it');
    rmSync(called, { force: true });
    linkSync(path, called);
    const ran = this.lab.run([called], { env: { OUT_DIR: this.lab.path('out') } });
    if (ran.status !== 0 || ran.stdout !== 'cargo:rustc-cfg=it_ran\n') found.push(JSON.stringify(ran));
    return found;
  }
}

let place: StandIns;
const onLinux = onLinuxOnly('faults of stand-ins');
openOnLinux(StandIns, (opened) => {
  place = opened;
});

const SCENARIOS: Readonly<Record<string, () => Promise<void>>> = {
  'a compile': async () => {},
  'a hit': async () => {
    expect((await place.compile(place.first)).status).toBe(0);
  },
};

for (const [what, fill] of Object.entries(SCENARIOS))
  for (const effect of ['die', 'EIO'] as const)
    onLinux(
      `${what}: ${effect === 'die' ? 'kill -9 before' : 'refused'} every operation`,
      async () => {
        const dir = place.second;
        await place.setUp(fill);
        const struck = await atEvery(async (n) => {
          place.putBack();
          const result = await place.compile(dir, place.fault(`any ${n} ${effect}`));
          const at = place.struck().at(-1);
          if (at === undefined) return false;
          if (effect === 'die') expect([n, at, result.signal]).toEqual([n, at, 'SIGKILL']);
          else expect([n, at, result.status, place.wrongIn(dir, 'plain')]).toEqual([n, at, 0, []]);
          const next = await place.compile(dir);
          expect([n, at, next.status, place.wrongIn(dir, 'stand-in')]).toEqual([n, at, 0, []]);
          expect([n, at, place.broken()]).toEqual([n, at, []]);
          return true;
        });
        expect(place.wrongIn(dir, 'stand-in')).toEqual([]);
        expect(struck).toBeGreaterThan(8);
      },
      TIMEOUT_MS,
    );
