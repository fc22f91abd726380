// One build script behind its stand-in, called as Cargo calls it, in two checkouts that share a store; and what a run of it
// must give, whatever fails.
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { FaultPlace } from './fault-place.ts';
import { filesBelow } from './invariants.ts';
import { type Env, KACHE } from './lab.ts';
import { AWAITED_INPUT, KEPT, scriptOf } from './script-lab.ts';
import { until } from './wrapper-call.ts';

/**
 * Leaves a file in a folder, a link, a program, a large file, and bytes that tell one run from another; it writes elsewhere
 * where it is told to.
 */
const SCRIPT = scriptOf(`
    use std::{io::Read, os::unix::fs::PermissionsExt};
    fs::create_dir(out.join("below")).unwrap();
    let input = ${AWAITED_INPUT};
    fs::write(out.join("below/made.txt"), input.replace('a', "b")).unwrap();
    let mut nonce = [0; 16];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut nonce).unwrap();
    fs::write(out.join("nonce"), nonce).unwrap();
    fs::write(out.join("large"), vec![b'x'; 100_000]).unwrap();
    fs::write(out.join("tool"), "#!/bin/sh\\n").unwrap();
    fs::set_permissions(out.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("below/made.txt", out.join("link")).unwrap();
    if let Some(elsewhere) = env::var_os("ELSEWHERE") { fs::write(elsewhere, "").unwrap(); }
    println!("cargo:rustc-link-search={}/below\\ncargo:rerun-if-changed=input.txt", out.display());
    eprintln!("told on the other stream");
    input`);

const INPUT = 'a word\n';

/** What one run gave. */
export interface ScriptResult {
  readonly status: number | null;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunProcess {
  readonly pid: number;
  readonly role: 'kache' | 'observer' | 'tracer' | 'script';
}

export class ScriptRuns extends FaultPlace {
  readonly observer: string;
  /** As Cargo says it: not by the name of rustup's proxy, which would be asked anew in each run. */
  readonly rustc: string;
  readonly #script: string;

  constructor() {
    super({ 'input.txt': INPUT });
    this.#script = this.lab.path('script/script');
    this.lab.write('script', { 'script.rs': SCRIPT });
    this.rustc = join(this.lab.run(['rustc', '--print', 'sysroot']).stdout.trim(), 'bin/rustc');
    // Small: it is copied, and hashed, after every time it is put back.
    const flags = ['--edition=2021', '-C', 'strip=symbols'];
    const made = this.lab.run([this.rustc, ...flags, '-o', this.#script, `${this.#script}.rs`]);
    if (made.status !== 0) throw new Error(made.stderr);
    this.observer = this.lab.launcher(this.store);
  }

  outDir(dir: string): string {
    return join(dir, 'target/debug/build/small-2/out');
  }

  standIn(dir: string): string {
    return join(dir, 'target/debug/build/small-1/build-script-build');
  }

  override setUp(fill: () => Promise<void> = async () => {}): Promise<void> {
    return super.setUp(async () => {
      for (const dir of [this.first, this.second]) {
        const script = `${this.standIn(dir)}.script`;
        mkdirSync(dirname(script), { recursive: true });
        copyFileSync(this.#script, script);
        // It was there before any run began.
        for (const path of [script, join(dir, 'input.txt')]) utimesSync(path, 1_600_000_000, 1_600_000_000);
      }
      await fill();
    });
  }

  /** The environment in which Cargo runs the script of a checkout. */
  scriptEnv(dir: string, changes: Env = {}): Record<string, string> {
    return this.lab.env({
      ...this.env,
      ...KEPT,
      RUSTC: this.rustc,
      RUSTC_WRAPPER: this.observer,
      CARGO_MANIFEST_DIR: dir,
      PWD: dir,
      CARGO_PKG_NAME: 'small',
      CARGO_PKG_VERSION: '0.1.0',
      OUT_DIR: this.outDir(dir),
      ...changes,
    });
  }

  /** Starts the script of a checkout as its stand-in does, in an OUT_DIR as Cargo makes it: empty. */
  start(dir: string, changes: Env = {}, program: readonly string[] = [KACHE]) {
    const standIn = this.standIn(dir);
    rmSync(this.outDir(dir), { recursive: true, force: true });
    mkdirSync(this.outDir(dir), { recursive: true });
    return Bun.spawn([...program, `${standIn}.script`, standIn], {
      cwd: dir,
      env: this.scriptEnv(dir, changes),
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, as a shell makes one for a command.
      detached: true,
    });
  }

  /** Runs it; with faults, by the test build. */
  async run(dir: string, faults?: Env): Promise<ScriptResult> {
    return await ended(this.start(dir, faults, [faults === undefined ? KACHE : this.faulty]));
  }

  /** The processes of a run in a checkout that are still there. */
  processes(dir: string): RunProcess[] {
    const mine = `OUT_DIR=${this.outDir(dir)}`;
    const found = readdirSync('/proc').flatMap((name) => {
      const pid = Number(name);
      if (Number.isNaN(pid)) return [];
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(mine)) return [];
        const parent = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
        return [{ pid, parent, program: readlinkSync(`/proc/${pid}/exe`) }];
      } catch {
        return [];
      }
    });
    return found.map(({ pid, parent, program }) => {
      if (program.endsWith('.script')) return { pid, role: 'script' };
      if (program !== this.observer) return { pid, role: 'kache' };
      // The observer that follows is the child of the one that waits.
      const isBelow = found.some((other) => other.pid === parent && other.program === this.observer);
      return { pid, role: isBelow ? 'tracer' : 'observer' };
    });
  }

  /** Has the script of a checkout wait, or go on. */
  tell(dir: string, what: 'wait' | 'go on'): void {
    writeFileSync(join(dir, 'input.txt'), what === 'wait' ? what : INPUT);
  }

  /** Waits until the script of a checkout waits. */
  async waiting(dir: string): Promise<void> {
    await until('the script waits', () => existsSync(join(this.outDir(dir), 'below')));
  }

  /** What a run that has ended did wrong: its status, what it printed, what it left. */
  wrongWith(dir: string, { status, signal, stdout, stderr }: ScriptResult): string[] {
    const wrong: string[] = [];
    const outDir = this.outDir(dir);
    if (status !== 0) wrong.push(`ended with ${status ?? signal}: ${stderr}`);
    if (stdout !== `cargo:rustc-link-search=${outDir}/below\ncargo:rerun-if-changed=input.txt\n`)
      wrong.push(`printed ${JSON.stringify(stdout)}`);
    if (stderr !== 'told on the other stream\n') wrong.push(`complained ${JSON.stringify(stderr)}`);
    const tree = treeOf(outDir);
    // A later run writes into these files.
    for (const { path } of filesBelow(outDir)) if (statSync(path).nlink > 1) wrong.push(`shared: ${path}`);
    for (const [name, what] of Object.entries(EXPECTED_TREE))
      if (tree[name] !== what && !(name === 'nonce' && tree[name]?.length === what.length))
        wrong.push(`${name} is ${JSON.stringify(tree[name]?.slice(0, 100))}`);
    for (const name of Object.keys(tree)) if (!(name in EXPECTED_TREE)) wrong.push(`left over: ${name}`);
    return wrong;
  }

  override [Symbol.dispose](): void {
    for (const dir of [this.first, this.second])
      for (const { pid } of this.processes(dir)) process.kill(pid, 'SIGKILL');
    super[Symbol.dispose]();
  }
}

/** Waits for the end of a run. */
export async function ended(child: ReturnType<ScriptRuns['start']>): Promise<ScriptResult> {
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  const signal = child.signalCode === null ? undefined : String(child.signalCode);
  return { status: child.exitCode, signal, stdout, stderr };
}

const EXPECTED_TREE: Readonly<Record<string, string>> = {
  'below/made.txt': '644 b word\n',
  large: `644 ${'x'.repeat(100_000)}`,
  link: '-> below/made.txt',
  'out.txt': `644 ${INPUT}`,
  nonce: `644 ${'?'.repeat(16)}`,
  tool: '755 #!/bin/sh\n',
};

/** Mode and bytes of every file below a folder, one character a byte, and where links lead. */
function treeOf(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path);
    if (entry.isSymbolicLink()) found[name] = `-> ${readlinkSync(path)}`;
    else if (entry.isFile())
      found[name] = `${(lstatSync(path).mode & 0o7777).toString(8)} ${readFileSync(path).toString('latin1')}`;
    else if (name !== 'below') found[name] = 'folder';
  }
  return found;
}
