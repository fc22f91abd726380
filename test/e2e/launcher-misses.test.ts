// Behind the launcher, what is no hit: it runs the compiler itself, and the daemon stores what that made. Files, messages,
// status and what the next checkout hits on are those of kache itself.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { CompileEvent } from '../../src/core/events.ts';
import { filesBelow } from '../support/invariants.ts';
import { type CargoResult, KACHE } from '../support/lab.ts';
import { LaunchLab, type LaunchOptions, outputsOf, results, told, UNITS } from '../support/launch-lab.ts';
import { notRun } from '../support/required.ts';
import { libraryArguments, until } from '../support/wrapper-call.ts';

let place: LaunchLab;
let daemon: number;
beforeAll(() => {
  if (process.platform === 'linux') place = new LaunchLab();
}, 120_000);
afterAll(() => place?.[Symbol.dispose](), 60_000);
beforeEach(() => {
  if (place !== undefined) daemon = place.startDaemon();
});
afterEach(() => place?.endDaemon());

const onLinux = test.if(process.platform === 'linux');
if (process.platform !== 'linux') notRun('compiles behind the launcher', 'it is there for Linux only');

let kinds = 0;
/** Flags nobody has compiled with: every compile is a miss. */
const newFlags = (): { RUSTFLAGS: string } => ({ RUSTFLAGS: `--cfg kind_${kinds++}` });

/** The program is large as all programs may be: kache compiles it. */
const FOLLOWED = UNITS - 1;
const compiles = (): number => place.daemon()?.compiles ?? 0;
const ending = (built: Pick<CargoResult, 'events'>, ...endings: string[]): number =>
  results(built.events).filter((line) => endings.includes(line.split(' ').at(-1) ?? '')).length;
const isStored = (built: Pick<CargoResult, 'events'>): number => ending(built, 'miss', 'dup');

/** Descriptors of the daemon that belong to a call: inotify, locks, temporary files. */
const heldByDaemon = (): string[] =>
  readdirSync(`/proc/${daemon}/fd`).flatMap((fd) => {
    const path = join(`/proc/${daemon}/fd`, fd);
    const to = Bun.spawnSync(['readlink', path]).stdout.toString().trim();
    return to.includes('inotify') || to.includes('/locks/') || to.includes('/store/tmp/') ? [to] : [];
  });

/** What a compile must not leave behind: locks, temporary files, watches. */
function expectNothingLeft(): void {
  expect(filesBelow(join(place.store, 'locks'))).toEqual([]);
  expect(filesBelow(join(place.store, 'tmp'))).toEqual([]);
  expect(heldByDaemon()).toEqual([]);
}

onLinux(
  'a cold build: the daemon stores every compile, and the next checkout hits on each',
  async () => {
    const env = newFlags();
    const built = await place.buildAnew({ env });
    expect([compiles(), isStored(built)]).toEqual([FOLLOWED, UNITS]);
    expectNothingLeft();
    const again = await place.buildAnew({ env });
    expect(ending(again, 'local_hit')).toBe(UNITS);
    const direct = await place.buildAnew({ env, wrapper: KACHE });
    expect(ending(direct, 'local_hit')).toBe(UNITS);
    expect(compiles()).toBe(FOLLOWED);
  },
  120_000,
);

onLinux(
  'a miss gives the same files, modes, messages and keys with launcher and without',
  async () => {
    const cold = async (dir: string, options: LaunchOptions) => {
      place.endDaemon();
      rmSync(place.store, { recursive: true, force: true });
      // What is found out once in a store: the toolchain, its linker, the stand-in of build scripts.
      await place.buildAnew({ wrapper: KACHE, env: newFlags() });
      place.startDaemon();
      rmSync(join(dir, 'target'), { recursive: true, force: true });
      const done = await place.build(dir, options);
      const messages = done.stdout.split('\n').filter((line) => line.includes('"compiler-'));
      return { ...done, files: outputsOf(dir), messages: messages.sort() };
    };
    const facts = (built: CargoResult) =>
      built.events
        .filter(({ crate_name: name }) => name !== '' && name !== '___')
        .map(
          ({
            crate_name,
            crate_types,
            result,
            reason,
            cache_key,
            unit_id,
            size_bytes,
            passthrough_reason,
          }) => [
            ...[crate_name, crate_types, result, reason, cache_key, unit_id, size_bytes, passthrough_reason],
          ],
        )
        .sort();
    const dir = place.checkout();
    for (const [executables, ...args] of [
      ['1', 'build'],
      ['0', 'build'],
      ['1', 'check'],
      ['1', 'test', '--no-run'],
      ['1', 'build', '--release'],
    ] as const) {
      const options = {
        // One after the other: what others open meanwhile counts as read by macros, too.
        args: [...args, '--offline', '-j1', '--message-format=json'],
        env: { KACHE_CACHE_EXECUTABLES: executables },
      };
      const direct = await cold(dir, { ...options, wrapper: KACHE });
      const launched = await cold(dir, options);
      expect([args, launched.status]).toEqual([args, 0]);
      expect(compiles()).toBeGreaterThan(UNITS / 2);
      expect(facts(launched)).toEqual(facts(direct));
      expect(launched.files).toEqual(direct.files);
      expect(launched.messages).toEqual(direct.messages);
      expect(told(launched.stderr)).toEqual(told(direct.stderr));
    }
  },
  300_000,
);

onLinux(
  'errors: the same messages and status as from rustc, and nothing is stored',
  async () => {
    const dir = place.checkout();
    const env = newFlags();
    writeFileSync(join(dir, 'src/lib.rs'), 'pub mod inner;\npub fn text() -> u32 { let a = 1; "text" }\n');
    const args = ['build', '--offline', '--message-format=json', '--keep-going'];
    const rendered = (text: string): string[] =>
      text
        .split('\n')
        .filter((line) => line.includes('"compiler-message"'))
        .sort();
    const plain = place.lab.cargo(dir, args, { kache: false, env });
    const failed = await place.build(dir, { env, args });
    expect([failed.status, rendered(failed.stdout)]).toEqual([plain.status ?? 0, rendered(plain.stdout)]);
    expect(results(failed.events)).toContain('small lib error');
    expectNothingLeft();
    const again = await place.build(dir, { env, args });
    expect([again.status, rendered(again.stdout)]).toEqual([plain.status ?? 0, rendered(plain.stdout)]);
    writeFileSync(join(dir, 'src/lib.rs'), readFileSync(join(place.first, 'src/lib.rs')));
    await place.expectRight(dir, await place.build(dir, { env }), { env });
  },
  120_000,
);

onLinux(
  'two builds of the same at the same time: each crate is compiled once, by either',
  async () => {
    const env = newFlags();
    const dirs = [place.checkout(), place.checkout(), place.checkout()];
    const wrappers = [place.lab.launcher(), place.lab.launcher(), KACHE];
    const builds = await Promise.all(
      dirs.map((dir, at) => place.build(dir, { env, wrapper: wrappers[at] ?? KACHE })),
    );
    const events = place.lab.events().slice(-dirs.length * UNITS);
    const others = results(events).filter((line) => !/ (miss|dup|local_hit)$/.test(line));
    expect([isStored({ events }), ending({ events }, 'local_hit'), others]).toEqual([UNITS, 2 * UNITS, []]);
    for (const [at, dir] of dirs.entries()) {
      const built = builds[at];
      if (built !== undefined) await place.expectRight(dir, built, { env });
    }
    expectNothingLeft();
  },
  240_000,
);

interface Called {
  readonly front?: string;
  readonly through?: string;
  readonly redirections?: string;
  /** Further arguments. */
  readonly more?: readonly string[];
}

/** A compiler of a test's own: `script` is run by sh in its place where a crate is compiled. */
function compiler(script: string): string {
  const dir = place.lab.write(`compiler-${kinds++}`, {
    rustc: `#!/bin/sh\ncase " $* " in *" --crate-name held "*) ;; *) exec rustc "$@";; esac\n${script}\n`,
  });
  chmodSync(join(dir, 'rustc'), 0o755);
  return join(dir, 'rustc');
}

/** One library, compiled by a compiler of the test's own. */
async function compiled(rustc: string, called: Called = {}) {
  const { front = place.lab.launcher(), through = '', redirections = '', more = [] } = called;
  const dir = place.lab.write(`held-${kinds++}`, {
    'src/lib.rs': `pub fn held_${kinds}() {}\n`,
    'target/debug/deps/.keep': '',
  });
  const line = `exec ${through} "$0" "$@" ${redirections}`;
  const child = Bun.spawn(
    ['bash', '-c', line, front, ...libraryArguments({ dir, compiler: rustc }), ...more],
    {
      cwd: dir,
      env: place.lab.env({ CARGO_MANIFEST_DIR: dir, CARGO_PKG_NAME: 'held', CARGO_PKG_VERSION: '1.0.0' }),
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).bytes(),
  ]);
  await child.exited;
  place.lab.settle();
  const plain = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1').replaceAll(dir, '<dir>');
  return {
    dir,
    status: child.exitCode,
    signal: String(child.signalCode),
    stdout: plain(stdout),
    stderr: plain(stderr),
    made: readdirSync(join(dir, 'target/debug/deps')).sort(),
  };
}

/** What can be compared with the same compile by kache itself. */
const seen = ({ status, signal, stdout, stderr, made }: Awaited<ReturnType<typeof compiled>>) => ({
  status,
  signal,
  stdout: stdout.length > 5000 ? Bun.hash(stdout) : stdout,
  stderr: stderr.length > 5000 ? Bun.hash(stderr) : stderr,
  made,
});

const SAYING: Readonly<Record<string, string>> = {
  'a line on either descriptor': 'echo out; echo err >&2; exec rustc "$@"',
  'no newline at the end': 'printf out; printf err >&2; rustc "$@"; printf end >&2',
  'nothing but a piece of a line': 'printf err >&2; exit 3',
  'bytes that are no text': `printf 'a\\377\\n\\000b\\n' >&2; printf '\\377\\n'; exec rustc "$@"`,
  'lines of NUL': `printf '\\000\\000\\n\\000' >&2; exec rustc "$@"`,
  'empty lines': `printf '\\n\\n\\n' >&2; exec rustc "$@"`,
  'a line of five megabytes':
    'head -c 5000000 /dev/zero | tr "\\0" a >&2; echo >&2; echo b >&2; exec rustc "$@"',
  'a line of three megabytes':
    'head -c 3000000 /dev/zero | tr "\\0" a >&2; echo >&2; echo b >&2; exec rustc "$@"',
  'ten megabytes of lines':
    'seq 1 100000 | sed s/^/................................................................................................/ >&2; exec rustc "$@"',
  'on both at once': '(seq 1 20000 >&2) & seq 1 20000; wait; exec rustc "$@"',
  'and exits': 'echo err >&2; exit 42',
  'and is killed': 'echo err >&2; kill -9 $$',
  'and aborts': 'echo err >&2; ulimit -c 0; kill -ABRT $$',
  'and is ended by SIGPIPE': 'kill -PIPE $$',
  'announces a file that is not there': `echo '{"$message_type":"artifact","artifact":"/no/such.rmeta","emit":"metadata"}' >&2; exec rustc "$@"`,
  'announces a folder': `echo '{"$message_type":"artifact","artifact":"/tmp","emit":"metadata"}' >&2; exec rustc "$@"`,
  'after its outputs were closed': 'exec >&- 2>&-; sleep 0.2; exec rustc "$@"',
  'what is left running holds the pipe': '(sleep 1; echo late >&2) & exec rustc "$@"',
  'which reads its stdin': 'cat >&2; exec rustc "$@"',
  'whose output is missing': 'exit 0',
};

const why = (event: CompileEvent | undefined) => (event?.result === 'skipped' ? event.reason : event?.result);

for (const [name, script] of Object.entries(SAYING))
  onLinux(
    `a compiler that says ${name}`,
    async () => {
      const before = compiles();
      const rustc = compiler(script);
      const direct = await compiled(rustc, { front: KACHE });
      const launched = await compiled(rustc);
      expect(seen(launched)).toEqual(seen(direct));
      expect(compiles() - before).toBe(name.includes('five megabytes') ? 0 : 1);
      const [one, two] = place.lab
        .events()
        .filter(({ crate_name: crate }) => crate === 'held')
        .slice(-2);
      if (!name.includes('five megabytes')) expect(why(two)).toEqual(why(one));
      expectNothingLeft();
    },
    60_000,
  );

onLinux(
  'no one to print for: the status is that of kache',
  async () => {
    const rustc = compiler('echo out; echo err >&2; exec rustc "$@"');
    for (const redirections of [
      '>&-',
      '2>&-',
      '>&- 2>&-',
      '2>/dev/full',
      '>/dev/full',
      '<&- >&- 2>&-',
      '2> >(exec 0<&-; sleep 0.1)',
    ]) {
      const direct = await compiled(rustc, { front: KACHE, redirections });
      const launched = await compiled(rustc, { redirections });
      expect([redirections, seen(launched)]).toEqual([redirections, seen(direct)]);
    }
    expectNothingLeft();
  },
  60_000,
);

onLinux(
  'the environment of the compiler: descriptors, ignored signals, umask, limits',
  async () => {
    const rustc = compiler(
      'echo through >&9; umask >&2; ulimit -n >&2; grep -E "SigIgn|SigBlk" /proc/self/status | sed "s/.*\\(.......\\)$/\\1/" >&2; exec rustc "$@"',
    );
    await compiled(rustc, { front: KACHE });
    for (const before of [
      'true',
      'umask 077',
      'umask 002',
      'ulimit -n 200',
      "trap '' HUP",
      "trap '' INT TERM",
    ]) {
      const through = `9>&1; ${before}; exec`;
      const modes = (dir: string) =>
        readdirSync(join(dir, 'target/debug/deps')).map((file) => [
          file,
          (statSync(join(dir, 'target/debug/deps', file)).mode & 0o777).toString(8),
        ]);
      const plain = await compiled(rustc, { front: 'env', through });
      const launched = await compiled(rustc, { through });
      expect([before, seen(launched), modes(launched.dir).sort()]).toEqual([
        before,
        seen(plain),
        modes(plain.dir).sort(),
      ]);
    }
  },
  60_000,
);

/** A compiler that waits; what there is to know of it is known. */
async function gated() {
  const gate = place.lab.path(`gate-${kinds++}`);
  writeFileSync(gate, '');
  const path = compiler(
    `: > ${gate}-$$; while [ ! -e ${gate} ]; do sleep 0.01; done; rm ${gate}-$$; exec rustc "$@"`,
  );
  await compiled(path, { front: KACHE });
  rmSync(gate);
  const running = (): boolean =>
    readdirSync(place.lab.root).some((name) => name.startsWith(`${basename(gate)}-`));
  return {
    path,
    runs: () => until('the compiler runs', running),
    open: () => writeFileSync(gate, ''),
    close: () => rmSync(gate),
    [Symbol.dispose]: () => {
      if (existsSync(place.lab.root)) writeFileSync(gate, '');
    },
  };
}

interface Held {
  /** Signals that are ignored. */
  readonly ignoring?: string;
  readonly front?: string;
  readonly source?: string;
  /** A folder that is there. */
  readonly dir?: string;
}

/** Starts a compile that waits, behind the launcher; its process is that of the launcher. */
function held(rustc: { path: string }, options: Held = {}) {
  const n = kinds++;
  const { ignoring, front = place.lab.launcher(), source = '' } = options;
  const dir =
    options.dir ??
    place.lab.write(`held-${n}`, {
      'src/lib.rs': `pub fn waits_${n}() {}\n${source}`,
      'src/part.txt': `${n}`,
      'target/debug/deps/.keep': '',
    });
  const call = [front, ...libraryArguments({ dir, compiler: rustc.path })];
  const trap = ignoring === undefined ? '' : `trap '' ${ignoring}; `;
  const child = Bun.spawn(['setsid', 'sh', '-c', `${trap}exec "$0" "$@"`, ...call], {
    cwd: dir,
    env: place.lab.env({ CARGO_MANIFEST_DIR: dir, CARGO_PKG_NAME: 'held', CARGO_PKG_VERSION: '1.0.0' }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return { dir, child };
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  for (const whom of ['the launcher alone', 'its group'])
    onLinux(
      `${signal} to ${whom}: the compiler ends, the launcher ends as it, and nothing is left`,
      async () => {
        using rustc = await gated();
        const { child } = held(rustc);
        await rustc.runs();
        process.kill(whom === 'its group' ? -child.pid : child.pid, signal);
        await child.exited;
        expect(child.signalCode).toBe(signal);
        place.lab.settle();
        expectNothingLeft();
      },
      30_000,
    );

onLinux(
  'a signal that is ignored stays so, and one that stops the compile lets it go on',
  async () => {
    using rustc = await gated();
    const { child } = held(rustc, { ignoring: 'HUP' });
    await rustc.runs();
    process.kill(-child.pid, 'SIGHUP');
    process.kill(-child.pid, 'SIGTSTP');
    process.kill(-child.pid, 'SIGSTOP');
    process.kill(-child.pid, 'SIGCONT');
    rustc.open();
    expect(await child.exited).toBe(0);
    place.lab.settle();
    expect(place.lab.events().at(-1)?.result).toBe('miss');
    expectNothingLeft();
  },
  30_000,
);

onLinux(
  'a hundred compiles with large outputs, twenty-five at once: the daemon stores each, and lets go of them',
  async () => {
    const rustc = compiler(
      `for arg; do case "$arg" in */target/debug/deps) dir="$arg";; esac; done
{ head -c 8000000 /dev/zero; echo $$-$dir; } > $dir/libheld-m.rlib
echo $$-$dir > $dir/libheld-m.rmeta
printf '%s/held-m.d: src/lib.rs\\n\\n%s/libheld-m.rlib: src/lib.rs\\n\\nsrc/lib.rs:\\n' $dir $dir > $dir/held-m.d`,
    );
    await compiled(rustc, { front: KACHE });
    const before = place.daemon()?.residentBytes ?? 0;
    const already = place.lab.events().length;
    for (let round = 0; round < 4; round++) {
      const done = await Promise.all(Array.from({ length: 25 }, () => compiled(rustc)));
      expect(done.map(({ status }) => status)).toEqual(done.map(() => 0));
      for (const { dir } of done) rmSync(dir, { recursive: true });
    }
    const events = place.lab.events().slice(already);
    expect(isStored({ events })).toBe(100);
    const status = place.daemon();
    expect((status?.residentBytes ?? 0) - before).toBeLessThan(200_000_000);
    expectNothingLeft();
  },
  240_000,
);

onLinux(
  'inputs that are edited while the compiler runs: nothing is stored, as by kache itself',
  async () => {
    using rustc = await gated();
    const outcomes: unknown[] = [];
    for (const edited of ['src/lib.rs', 'src/part.txt'])
      for (const front of [KACHE, place.lab.launcher()]) {
        const { dir, child } = held(rustc, {
          front,
          source: 'pub const PART: &str = include_str!("part.txt");\n',
        });
        await rustc.runs();
        writeFileSync(join(dir, edited), readFileSync(join(dir, edited)));
        rustc.open();
        expect(await child.exited).toBe(0);
        rustc.close();
        place.lab.settle();
        const event = place.lab.events().at(-1);
        outcomes.push([front === KACHE ? edited : 'the same', event?.result, event?.reason]);
        // What is there now is compiled once more, and stored.
        const again = held(rustc, { front, dir });
        rustc.open();
        expect(await again.child.exited).toBe(0);
        rustc.close();
        place.lab.settle();
        outcomes.push(place.lab.events().at(-1)?.result);
      }
    const skipped = (name: string) => `input-changed-during-compile|./${name}`;
    expect(outcomes).toEqual([
      ['src/lib.rs', 'skipped', skipped('src/lib.rs')],
      'miss',
      ['the same', 'skipped', skipped('src/lib.rs')],
      'miss',
      ['src/part.txt', 'skipped', skipped('src/part.txt')],
      'miss',
      ['the same', 'skipped', skipped('src/part.txt')],
      'miss',
    ]);
    expectNothingLeft();
  },
  60_000,
);

onLinux(
  'pipes among externs and outputs: the daemon does not wait for who would write to them',
  async () => {
    const making = compiler(
      'for arg; do case "$arg" in */target/debug/deps) mkfifo $arg/libheld-m.rlib;; esac; done',
    );
    const telling = compiler(
      'for arg; do case "$arg" in */target/debug/deps) mkfifo $arg/held-m.d; echo > $arg/libheld-m.rlib; echo > $arg/libheld-m.rmeta;; esac; done',
    );
    const pipe = place.lab.path('libpipe.rlib');
    Bun.spawnSync(['mkfifo', pipe]);
    // rustc itself would wait.
    const extern = compiler('case "$*" in *pipe=*) exit 7;; esac; exec rustc "$@"');
    await compiled(extern, { front: KACHE });
    for (const rustc of [making, telling]) {
      await compiled(rustc, { front: KACHE });
      expect((await compiled(rustc)).status).toBe(0);
    }
    expect((await compiled(extern, { more: ['--extern', `pipe=${pipe}`] })).status).toBe(7);
    expect(place.daemon()?.pid).toBe(daemon);
    expect((await compiled(extern)).status).toBe(0);
    expectNothingLeft();
  },
  60_000,
);
