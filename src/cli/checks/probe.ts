// The proof that kache works here: a tiny crate, a private store, two places, and a build that must find nothing to do.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CompileEvent, parseEvent } from '../../core/events.ts';
import { nativePath } from '../binary.ts';
import { formatMs } from '../terminal.ts';
import { capture, type Finding, fail, ok } from './check.ts';

const CRATE: Readonly<Record<string, string>> = {
  'Cargo.toml': '[package]\nname = "kache-probe"\nversion = "1.0.0"\nedition = "2021"\n\n[workspace]\n',
  'src/lib.rs': 'pub fn answer() -> u32 {\n    42\n}\n',
};

const REMEDY =
  'See whether `KACHE_DISABLED=1 cargo build` works in a new crate; if it does, what the checks above name is the likely cause.';

interface Built {
  readonly events: readonly CompileEvent[];
  /** Of each unit: whether Cargo took it for fresh. */
  readonly fresh: readonly boolean[];
}

/** Compiles at one place, hits at another, and builds there again. Ended by the signal, it leaves nothing behind. */
export async function probe(signal: AbortSignal): Promise<Finding> {
  const root = mkdtempSync(join(tmpdir(), 'kache-probe-'));
  try {
    const places = ['first', 'a/second/place'].map((name) => join(root, name));
    for (const place of places) writeCrate(place);
    const env = probeEnvironment(root);
    const builds: Built[] = [];
    for (const place of [...places, places[1] ?? '']) {
      const built = await build({ place, root, env, signal });
      if (typeof built === 'string') return fail(built, REMEDY);
      builds.push(built);
    }
    return judge(builds);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function judge([first, second, third]: readonly Built[]): Finding {
  const results = (built: Built | undefined): string =>
    built?.events
      .map(({ result, reason }) => (reason === undefined ? result : `${result} (${reason})`))
      .join(', ') ?? '';
  if (results(first) !== 'miss (never-compiled)')
    return fail(`the first compile was to be a miss, and was: ${results(first) || 'not seen'}`, REMEDY);
  if (results(second) !== 'local_hit' || second?.events[0]?.compiler_runs !== 0)
    return fail(`the second place was to hit, and had: ${results(second) || 'nothing'}`, REMEDY);
  if (third?.events.length !== 0 || !third.fresh.every(Boolean) || third.fresh.length === 0)
    return fail(`the third build was to do nothing, and had: ${results(third) || 'a unit rebuilt'}`, REMEDY);
  const [miss, hit] = [first?.events[0]?.elapsed_ms ?? 0, second.events[0]?.elapsed_ms ?? 0];
  return ok(
    `compiled in ${formatMs(miss)}, restored elsewhere in ${formatMs(hit)} without a compiler, then nothing to do`,
  );
}

function writeCrate(place: string): void {
  for (const [name, text] of Object.entries(CRATE)) {
    mkdirSync(join(place, name, '..'), { recursive: true });
    writeFileSync(join(place, name), text);
  }
}

/** The environment as it is, without what would lead the probe elsewhere. */
function probeEnvironment(root: string): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    (pair): pair is [string, string] =>
      pair[1] !== undefined && !/^(KACHE_|CARGO_TARGET_DIR$|CARGO_BUILD_|RUSTC_WRAPPER$)/.test(pair[0]),
  );
  // The toolchain of the folder one stands in, not of the temporary one.
  const active = capture(['rustup', 'show', 'active-toolchain'])?.split(/\s/)[0];
  return {
    ...Object.fromEntries(kept),
    ...(active === undefined || active === '' ? {} : { RUSTUP_TOOLCHAIN: active }),
    RUSTC_WRAPPER: nativePath(),
    KACHE_CACHE_DIR: join(root, 'store'),
    KACHE_CONFIG: join(root, 'no-config.toml'),
  };
}

interface BuildOptions {
  readonly place: string;
  readonly root: string;
  readonly env: Record<string, string>;
  readonly signal: AbortSignal;
}

/** One `cargo build`; a string says why it failed. */
async function build({ place, root, env, signal }: BuildOptions): Promise<Built | string> {
  const before = eventsIn(root).length;
  const argv = ['cargo', 'build', '--offline', '--message-format=json', `--target-dir=${place}/target`];
  const cargo = Bun.spawn(argv, {
    cwd: place,
    // Cargo's configuration may name another place for it.
    env: { ...env, CARGO_BUILD_BUILD_DIR: `${place}/target` },
    ...{ signal, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  });
  const [stdout, stderr] = await Promise.all([
    new Response(cargo.stdout).text(),
    new Response(cargo.stderr).text(),
  ]);
  const status = await cargo.exited;
  signal.throwIfAborted();
  if (status !== 0) return `cargo ended with ${status}: ${complaint(stderr)}`;
  const messages = stdout.split('\n').filter((line) => line.includes('"compiler-artifact"'));
  return {
    events: eventsIn(root).slice(before),
    fresh: messages.map((line) => (JSON.parse(line) as { fresh: boolean }).fresh),
  };
}

/** The line that says what is wrong: Cargo's first error, else its last word. */
function complaint(stderr: string): string {
  const lines = stderr.trim().split('\n');
  return lines.find((line) => line.startsWith('error')) ?? lines.at(-1) ?? '';
}

/** Calls that name a crate: questions to rustc are none. */
function eventsIn(root: string): CompileEvent[] {
  try {
    const text = readFileSync(join(root, 'store/events/log'), 'utf8');
    return text
      .split('\n')
      .flatMap((line) => parseEvent(line) ?? [])
      .filter(({ crate_name: name }) => name === 'kache_probe');
  } catch (error) {
    // Nothing was logged yet.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
