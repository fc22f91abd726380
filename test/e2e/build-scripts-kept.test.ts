// Runs of build scripts: which are kept, which are not, and what Cargo is told of each of them.
import { describe, expect } from 'bun:test';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Env, type Files, KACHE } from '../support/lab.ts';
import {
  HIT,
  KEPT_RUN,
  manifest,
  type ScriptOptions,
  scripted,
  scriptOf,
  scriptTests,
} from '../support/script-lab.ts';
import { until } from '../support/wrapper-call.ts';

const MINUTES = 60_000;
const { scripts, lab, onLinux } = scriptTests('what is kept of build-script runs');
const checkout = (script: string, files?: Files): string => scripts.checkout(script, files);

/** Builds twice from nothing. */
function twice(name: string, script: string, ends: readonly string[], options: ScriptOptions = {}): void {
  onLinux(
    name,
    () => {
      const dir = checkout(script);
      expect(scripts.right(dir, options)).toEqual(ends.slice(0, 1));
      expect(scripts.right(dir, options)).toEqual(ends.slice(1));
    },
    2 * MINUTES,
  );
}

describe('not kept', () => {
  const skipped = (name: string, script: string, reason: string): void =>
    twice(name, `${script}; String::new()`, [`scripted skipped ${reason}`]);
  skipped('what asks a server', 'std::net::TcpStream::connect("127.0.0.1:9")', 'not-followed');
  skipped(
    'what starts a program with rights of its own',
    'fs::copy("/bin/true", out.join("as")).unwrap(); Command::new("chmod").arg("4755").arg(out.join("as")).status().unwrap(); Command::new(out.join("as")).status().unwrap(); fs::remove_file(out.join("as")).unwrap()',
    'not-followed',
  );
  skipped('what listens', 'std::net::TcpListener::bind("127.0.0.1:0").unwrap()', 'not-followed');
  skipped(
    'what writes beside its OUT_DIR',
    'fs::write(out.join("../beside"), "x").unwrap()',
    'wrote-elsewhere',
  );
  skipped(
    'what writes into its package',
    'println!("cargo:rerun-if-changed=build.rs"); fs::write("made.txt", "x").unwrap()',
    'wrote-elsewhere',
  );
  skipped(
    'what writes through a link',
    'println!("cargo:rerun-if-changed=build.rs"); symlink(variable("CARGO_MANIFEST_DIR"), out.join("l")).unwrap(); fs::write(out.join("l/made.txt"), "x").unwrap()',
    'wrote-elsewhere',
  );
  skipped(
    'what leaves a link to nowhere',
    'println!("cargo:rerun-if-changed=build.rs"); let _ = fs::remove_file("nowhere"); symlink("/nowhere", "nowhere").unwrap()',
    'wrote-elsewhere',
  );
  skipped(
    'what leaves something running',
    'Command::new("sleep").arg("2").stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()',
    'not-followed',
  );
  skipped('what reads the time since boot', 'text("/proc/uptime")', 'read-what-changes');
  skipped('what asks whether it is traced', 'text("/proc/self/status")', 'read-what-changes');
  skipped('what reads its environment as a file', 'text("/proc/self/environ")', 'read-what-changes');
  skipped(
    'what makes a file in shared memory',
    'let at = format!("/dev/shm/kache-test-{}", std::process::id()); fs::write(&at, "x").unwrap(); fs::remove_file(&at).unwrap()',
    'wrote-elsewhere',
  );
  skipped(
    'what leaves a pipe in its OUT_DIR',
    'assert!(Command::new("mkfifo").arg(out.join("pipe")).status().unwrap().success())',
    'no-file',
  );
  skipped(
    'what prints no text',
    'std::io::stdout().write_all(b"\\xff\\n").unwrap()',
    'output-not-repeatable',
  );
  onLinux(
    'what changes while the script runs',
    async () => {
      const inputs = lab.write('changing', { 'a.txt': 'one', 'd/a': '' });
      const script = `let inputs = PathBuf::from(variable("INPUTS"));
        let read = format!("{} {}", text(inputs.join("a.txt")), fs::read_dir(inputs.join("d")).unwrap().count());
        let go = inputs.join("go");
        fs::write(out.join("reached"), "").unwrap();
        while !go.exists() { std::thread::sleep(std::time::Duration::from_millis(5)); }
        read`;
      const changes: ((name: string) => void)[] = [
        () => writeFileSync(join(inputs, 'a.txt'), 'two'),
        () => writeFileSync(join(inputs, 'd/b'), ''),
      ];
      for (const change of changes) {
        rmSync(join(inputs, 'go'), { force: true });
        const dir = checkout(script);
        const options: ScriptOptions = { env: { INPUTS: inputs } };
        const build = scripts.start(dir, options);
        const reached = (): boolean =>
          existsSync(join(dir, 'target/debug/build')) &&
          readdirSync(join(dir, 'target/debug/build')).some((name) =>
            existsSync(join(dir, 'target/debug/build', name, 'out/reached')),
          );
        await until('the script has read', reached);
        change(dir);
        writeFileSync(join(inputs, 'go'), '');
        expect(await build.exited).toBe(0);
        lab.settle();
        expect(scripts.right(dir, options)).toEqual([KEPT_RUN]);
      }
    },
    2 * MINUTES,
  );
});

describe('printed', () => {
  const printed = (name: string, script: string): void =>
    twice(name, `${script}; String::new()`, [KEPT_RUN, HIT]);
  printed(
    'warnings',
    'println!("cargo:warning=one"); println!("cargo::warning=two"); println!("cargo::rustc-env=SAID=it")',
  );
  printed('no end of line', 'print!("cargo:rustc-env=SAID=it")');
  printed('ends of line of another system', 'print!("cargo:rustc-env=SAID=it\\r\\ncargo:warning=one\\r\\n")');
  printed(
    'ten megabytes',
    'for at in 0..100_000 { println!("{at:0100}"); } println!("cargo:rustc-env=SAID=it")',
  );
  twice(
    'a byte order mark before a directive',
    'println!("\\u{feff}cargo:rustc-env=SAID=it"); String::new()',
    [KEPT_RUN, HIT],
  );
  onLinux(
    'every line, when Cargo is asked to show them',
    () => {
      const dir = checkout(
        'println!("said one"); eprintln!("told one"); println!("said two"); String::new()',
      );
      const lines = (text: string): string[] =>
        text
          .split('\n')
          .filter((line) => /\] (said|told) /.test(line))
          .sort();
      const shown = (): string[] => {
        rmSync(join(dir, 'target'), { recursive: true, force: true });
        const { stdout, stderr } = scripts.build(dir, { args: ['build', '-vv'] });
        return lines(stdout + stderr);
      };
      const plain = scripts.plain(dir, { args: ['build', '-vv'] });
      const expected = lines(plain.stdout + plain.stderr);
      expect(expected).toHaveLength(3);
      expect([shown(), shown()]).toEqual([expected, expected]);
    },
    2 * MINUTES,
  );
});

describe('failing', () => {
  const failing = (name: string, script: string): void =>
    twice(name, `println!("cargo:warning=before"); eprintln!("told"); ${script}; String::new()`, [
      'scripted error',
      'scripted error',
    ]);
  failing('with a status', 'std::process::exit(7)');
  failing('by a panic', 'panic!("of the test")');
  failing('by a signal', 'said("sh", &["-c", "kill -ABRT $PPID"])');
  failing('with a file in its OUT_DIR', 'fs::write(out.join("left"), "").unwrap(); std::process::exit(1)');
  onLinux(
    'a build that is ended does not begin the script again',
    async () => {
      const marks = lab.write('marks', { 'always.txt': '' });
      const dir = checkout(`let marks = PathBuf::from(variable("MARKS"));
      fs::write(marks.join(format!("{}", std::process::id())), "").unwrap();
      loop { std::thread::sleep(std::time::Duration::from_millis(5)); }
      String::new()`);
      const build = scripts.start(dir, { env: { MARKS: marks } });
      const begun = (): string[] => readdirSync(marks).filter((name) => /^\d+$/.test(name));
      await until('the script runs', () => begun().length > 0);
      process.kill(-build.pid, 'SIGINT');
      await build.exited;
      const isLeft = (): boolean => {
        const ps = lab.run(['ps', '-o', 'pid=', '-g', `${build.pid}`]);
        return ps.stdout.trim() !== '';
      };
      await until('nothing of it is left', () => !isLeft());
      expect(begun()).toHaveLength(1);
    },
    2 * MINUTES,
  );
});

onLinux(
  'what a script is given is what Cargo gives it',
  () => {
    const dir = checkout(`let mut all: Vec<_> = env::vars_os().map(|(n, v)| format!("{n:?}={v:?}")).collect();
    all.sort();
    let all = all.join("\\n");
    println!("cargo:rustc-env=SAID={:x}", all.len());
    fs::write(variable("SHOWN"), &all).unwrap();
    fs::remove_file(variable("SHOWN")).unwrap_or(());
    all`);
    const given = (launched: boolean): string[] => {
      const env: Env = {
        PWD: dir,
        SHOWN: lab.path(`shown-${launched}`),
        'odd.name': 'odd',
        'CFLAGS_x86_64-unknown-linux-gnu': '-O1',
        EMPTY: '',
        LINES: '3',
      };
      const built = launched ? scripts.build(dir, { env }) : scripts.plain(dir, { env });
      expect(built.status).toBe(0);
      const says = lab.run([join(dir, launched ? 'target' : 'target-plain', 'debug/scripted')]).stdout;
      return says
        .replaceAll('target-plain', 'target')
        .replace(/ (Some\(.*\)|None)$/m, '')
        .split('\n')
        .filter(
          (line) =>
            line.includes('=') &&
            !/^"(KACHE_|RUSTC_WRAPPER|SHOWN|CARGO_MAKEFLAGS|CARGO_TARGET_DIR|_|NUM_JOBS)/.test(line),
        );
    };
    const plain = given(false);
    expect(plain).toContain('"odd.name"="odd"');
    expect(given(true)).toEqual(plain);
  },
  MINUTES,
);

onLinux(
  'a value that is no text is handed on as it is, and the run is not kept',
  () => {
    const dir = checkout('format!("{:?}", env::var_os("ODD_BYTES"))');
    for (const command of ['build', 'build']) {
      rmSync(join(dir, 'target'), { recursive: true, force: true });
      const text = `ODD_BYTES=$(printf '\\377') exec cargo ${command} --offline`;
      const built = lab.run(['sh', '-c', text], { cwd: dir, env: scripts.env() });
      expect(built.status).toBe(0);
      expect(lab.run([join(dir, 'target/debug/scripted')]).stdout).toBe('Some("\\xFF") None\n');
    }
  },
  MINUTES,
);

twice(
  'a script that tries out the compiler through the wrapper',
  `use std::process::Stdio;
   let wrapper = env::var_os("RUSTC_WRAPPER");
   let rustc = env::var_os("RUSTC").unwrap();
   let mut command = match wrapper { Some(w) => { let mut c = Command::new(w); c.arg(rustc); c } None => Command::new(rustc) };
   let worked = command.args(["--crate-name", "probe", "--crate-type=lib", "--emit=metadata", "--out-dir"]).arg(&out).arg("-").stdin(Stdio::piped()).spawn().and_then(|mut child| { child.stdin.take().unwrap().write_all(b"pub fn probe() -> usize { usize::MAX }")?; child.wait() }).unwrap().success();
   format!("{worked} {}", fs::remove_file(out.join("libprobe.rmeta")).is_ok())`,
  [KEPT_RUN, HIT],
);

onLinux(
  'what is by chance is the same wherever it is put back, and what depends on it hits',
  () => {
    const script =
      'let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos(); at.to_string()';
    const says = (dir: string): string => lab.run([join(dir, 'target/debug/scripted')]).stdout;
    const [a, b] = ['a', 'b'].map((at) => lab.write(`chance/${at}`, scripted(script))) as [string, string];
    expect(scripts.build(a)).toMatchObject({ status: 0, runs: [KEPT_RUN] });
    const second = scripts.build(b);
    expect(second).toMatchObject({ status: 0, runs: [HIT] });
    expect(says(b)).toBe(says(a));
    expect(
      second.events.filter(({ crate_name: name }) => name === 'scripted').map(({ result }) => result),
    ).toEqual(['local_hit', 'local_hit']);
  },
  MINUTES,
);

describe('again', () => {
  const body = (directive: string): string =>
    `${directive} let before = text(out.join("out.txt")); fs::write(out.join("more.txt"), text("data.txt")).unwrap(); format!("{} {} {before}", text("data.txt"), variable("CHOSEN"))`;
  const rules: [string, string][] = [
    ['no rule', ''],
    ['changed files', 'println!("cargo:rerun-if-changed=data.txt");'],
    [
      'variables',
      'println!("cargo:rerun-if-changed=data.txt"); println!("cargo:rerun-if-env-changed=CHOSEN");',
    ],
  ];
  for (const [name, directive] of rules)
    onLinux(
      `edited, put back, edited: ${name}`,
      () => {
        const dir = checkout(body(directive), { 'scripted/data.txt': 'one' });
        expect(scripts.right(dir)).toEqual([KEPT_RUN]);
        expect(scripts.right(dir)).toEqual([HIT]);
        const blobs = blobsOf();
        for (const [text, chosen] of [['two'], ['one'], ['three'], ['three', 'it'], ['one']] as const) {
          writeFileSync(join(dir, 'scripted/data.txt'), text);
          scripts.right(dir, { again: true, ...(chosen === undefined ? {} : { env: { CHOSEN: chosen } }) });
        }
        expect(blobsOf()).toMatchObject(blobs);
        scripts.right(dir);
      },
      3 * MINUTES,
    );

  /** Every blob of the store and its hash. */
  function blobsOf(): Record<string, string> {
    const folder = join(lab.store, 'blobs');
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /\/[0-9a-f]{64}$/.test(name),
    );
    return Object.fromEntries(
      names.map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex'),
      ]),
    );
  }
});

describe('settings', () => {
  const DEPENDENCIES: Env = { KACHE_CACHE_BUILD_SCRIPTS: 'dependencies' };
  const OFF: Env = { KACHE_CACHE_BUILD_SCRIPTS: 'off' };
  const isStandIn = (dir: string): boolean =>
    readdirSync(join(dir, 'target/debug/build'), { recursive: true, encoding: 'utf8' }).some((name) =>
      name.endsWith('.script'),
    );

  onLinux(
    'dependencies: a vendored package is kept, one of the workspace or by path is not',
    () => {
      const files: Files = {
        'Cargo.toml': '[workspace]\nmembers = ["scripted"]\nexclude = ["path", "vendor"]\nresolver = "2"\n',
        '.cargo/config.toml':
          '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "vendor"\n',
        'vendor/given/Cargo.toml': manifest('given'),
        'vendor/given/.cargo-checksum.json': '{"files":{},"package":null}',
        'vendor/given/build.rs': scriptOf('"vendored".to_string()'),
        'vendor/given/src/lib.rs':
          'pub const SAID: &str = include_str!(concat!(env!("OUT_DIR"), "/out.txt"));\n',
        'path/Cargo.toml': manifest('by-path', '[workspace]\n'),
        'path/build.rs': scriptOf('"path".to_string()'),
        'path/src/lib.rs': 'pub const SAID: &str = include_str!(concat!(env!("OUT_DIR"), "/out.txt"));\n',
        'scripted/Cargo.toml': manifest(
          'scripted',
          '[dependencies]\ngiven = "0.1"\nby-path = { path = "../path" }\n',
        ),
        'scripted/src/main.rs': 'fn main() { println!("{} {}", given::SAID, by_path::SAID); }\n',
      };
      const make = (at: string): string => {
        const dir = lab.write(`origins/${at}`, scripted('"own".to_string()', files));
        rmSync(join(dir, 'Cargo.lock'));
        return dir;
      };
      for (const [at, run] of [
        ['a', 'given miss'],
        ['deeper/b', 'given local_hit'],
      ] as const) {
        expect(scripts.right(make(at), { env: DEPENDENCIES })).toEqual([run]);
        expect(lab.run([join(lab.path('origins', at), 'target/debug/scripted')]).stdout).toBe(
          'vendored path\n',
        );
      }
    },
    2 * MINUTES,
  );

  onLinux(
    'off: the program is where Cargo expects it',
    () => {
      const dir = checkout('"off".to_string()');
      expect(scripts.right(dir, { env: OFF })).toEqual([]);
      expect(isStandIn(dir)).toBe(false);
      expect(scripts.right(dir)).toEqual([KEPT_RUN]);
      expect(isStandIn(dir)).toBe(true);
    },
    2 * MINUTES,
  );

  onLinux(
    'on and off between builds of one target folder',
    () => {
      const dir = checkout('text("data.txt")', { 'scripted/data.txt': 'one' });
      expect(scripts.right(dir)).toEqual([KEPT_RUN]);
      const ways: Env[] = [OFF, {}, { KACHE_DISABLED: '1' }, { KACHE_VERIFY_RESTORES: 'always' }, {}];
      for (const [at, env] of ways.entries()) {
        writeFileSync(join(dir, 'scripted/data.txt'), `edit ${at}`);
        scripts.right(dir, { env, again: true });
      }
      for (const env of ways) scripts.right(dir, { env });
    },
    3 * MINUTES,
  );

  const without: [string, () => ScriptOptions][] = [
    ['disabled', () => ({ env: { KACHE_DISABLED: '1' } })],
    ['linked outputs are not kept', () => ({ env: { KACHE_CACHE_EXECUTABLES: '0' } })],
    ['restores are verified', () => ({ env: { KACHE_VERIFY_RESTORES: 'always' } })],
  ];
  for (const [name, options] of without)
    onLinux(
      `nothing is kept: ${name}`,
      () => {
        const dir = checkout('"without".to_string()');
        for (let round = 0; round < 2; round++) expect(scripts.right(dir, options())).toEqual([]);
        expect(isStandIn(dir)).toBe(false);
      },
      2 * MINUTES,
    );

  onLinux(
    'without a launcher nothing is kept; with one in its place the binary may stand before rustc',
    () => {
      const dir = checkout('"no launcher".to_string()');
      const home = lab.path('cargo-home');
      mkdirSync(join(home, 'bin'), { recursive: true });
      const options: ScriptOptions = { wrapper: KACHE, env: { CARGO_HOME: home } };
      expect(scripts.right(dir, options)).toEqual(['scripted skipped no-observer']);
      writeFileSync(join(home, 'bin/kache-launcher'), readFileSync(lab.launcher()), { mode: 0o755 });
      expect(scripts.right(dir, options)).toEqual([KEPT_RUN]);
      expect(scripts.right(dir, options)).toEqual([HIT]);
    },
    2 * MINUTES,
  );
});
