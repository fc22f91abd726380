// Compiles of a small project as Cargo makes them, and what they must give, whatever fails.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FaultPlace } from './fault-place.ts';
import { filesBelow, inspectOutputs, isAside } from './invariants.ts';
import { type Env, type Files, KACHE } from './lab.ts';
import { processesOf } from './launcher.ts';
import { type CallResult, make, moved, type RustcCall, recordCalls } from './rustc-calls.ts';
import { until } from './wrapper-call.ts';

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

/** A library with a module, an included file and a warning, one below it, and a program that prints what they say. */
const PROJECT: Files = {
  'Cargo.toml': manifest('small', '[dependencies]\npart = { path = "part" }\n[workspace]\n'),
  'src/main.rs': 'fn main() { println!("{} {}", small::text(), part::number()); }\n',
  'src/lib.rs':
    'pub mod inner;\npub fn text() -> String { let unused = 1; format!("{}{}", inner::TEXT, part::number()) }\n',
  'src/inner.rs': 'pub const TEXT: &str = include_str!("text.txt");\n',
  'src/text.txt': 'rightly',
  'part/Cargo.toml': manifest('part'),
  'part/src/lib.rs': 'pub fn number() -> u32 { 7 }\n',
};
export const PROGRAM_SAYS = 'rightly7 7\n';

const CRATES = ['part', 'small', 'program'] as const;
export type CrateName = (typeof CRATES)[number];

type Outputs = ReadonlyMap<string, Uint8Array>;

/** What one compile must print and write. */
interface Reference {
  readonly stderr: string;
  /**
   * All of one kind, never some of each: through kache, which remaps paths; by rustc alone; and by rustc alone on
   * libraries that came through kache.
   */
  readonly outputs: readonly Outputs[];
}

/** Compiles of this project, with rustc behind a counter. */
export class FaultLab extends FaultPlace {
  readonly #recordedIn: string;
  readonly #calls: ReadonlyMap<CrateName, RustcCall>;
  readonly #references = new Map<string, Reference>();

  constructor(store?: string) {
    super(PROJECT, store);
    this.#recordedIn = this.lab.write('recorded-project', PROJECT);
    const calls = recordCalls(this.lab, this.#recordedIn, []);
    const named = (name: string, type: string): RustcCall => {
      const call = calls.find(
        ({ crateName, argv }) => crateName === name && argv[argv.indexOf('--crate-type') + 1] === type,
      );
      if (call === undefined) throw new Error(`cargo did not compile ${name}`);
      return call;
    };
    this.#countStarts(calls[0]?.argv[0] ?? 'rustc');
    this.#calls = new Map([
      ['part', named('part', 'lib')],
      ['small', named('small', 'lib')],
      ['program', named('small', 'bin')],
    ]);
  }

  call(name: CrateName, dir: string): RustcCall {
    const call = this.#calls.get(name);
    if (call === undefined) throw new Error(name);
    const { argv, ...rest } = moved(call, this.#recordedIn, dir);
    return { ...rest, argv: [this.#rustc, ...argv.slice(1)] };
  }

  /** A rustc that notes each start. */
  get #rustc(): string {
    return this.lab.path('bin', 'rustc');
  }

  get #starts(): string {
    return this.lab.path('starts');
  }

  #countStarts(rustc: string): void {
    this.lab.write('bin', { rustc: `#!/bin/sh\necho "$*" >> ${this.#starts}\nexec ${rustc} "$@"\n` });
    chmodSync(this.#rustc, 0o755);
  }

  /** How many compilers were started since this was last asked; questions to rustc do not count. */
  takeStarts(): number {
    if (!existsSync(this.#starts)) return 0;
    const lines = readFileSync(this.#starts, 'utf8').split('\n');
    rmSync(this.#starts);
    return lines.filter((line) => line.includes('--out-dir')).length;
  }

  /** Makes a compile in a checkout, through kache, or through the test build with these faults. */
  async make(name: CrateName, dir: string, faults?: Env): Promise<CallResult> {
    const program = faults === undefined ? KACHE : this.faulty;
    const result = await make(program, this.call(name, dir), { ...this.env, ...faults });
    // A compiler outlives a kache that was killed, and writes on.
    const isOver = (): boolean => processesOf(undefined, this.store).length === 0;
    if (result.signal !== undefined) await until('its compiler has ended', isOver);
    return result;
  }

  override setUp(fill: () => Promise<void>): Promise<void> {
    return super.setUp(async () => {
      await this.#learn();
      await fill();
    });
  }

  /** What each compile gives in each checkout when nothing fails, with a store of its own; and that it is right. */
  async #learn(): Promise<void> {
    if (this.#references.size > 0) return;
    const env = { ...this.env, KACHE_CACHE_DIR: this.lab.path('reference-store') };
    const compile = async (name: CrateName, dir: string, through?: string): Promise<void> => {
      const call = this.call(name, dir);
      for (const file of outputsOf(call).keys()) rmSync(join(call.outDir, file));
      const { status, stderr } = await make(through, call, env);
      const known = this.#references.get(`${name} ${dir}`);
      if (status !== 0 || stderr !== (known?.stderr ?? stderr)) throw new Error(stderr);
      const outputs = [...(known?.outputs ?? []), outputsOf(call)];
      this.#references.set(`${name} ${dir}`, { stderr, outputs });
      if (name === 'program') expectProgram(call);
    };
    for (const dir of [this.first, this.second]) {
      for (const name of CRATES) await compile(name, dir);
      for (const name of CRATES) await compile(name, dir, KACHE);
      for (const name of [...CRATES].reverse()) await compile(name, dir);
      rmSync(join(dir, 'target'), { recursive: true, force: true });
    }
  }

  reference(name: CrateName, dir: string): Reference {
    const reference = this.#references.get(`${name} ${dir}`);
    if (reference === undefined) throw new Error(`nothing is known of ${name}`);
    return reference;
  }

  /** What a finished call did wrong: its status, its messages, its outputs. */
  wrongWith(name: CrateName, dir: string, result: CallResult): string[] {
    const { stderr, outputs } = this.reference(name, dir);
    const wrong: string[] = [];
    if (result.status !== 0) wrong.push(`ended with ${result.status ?? result.signal}: ${result.stderr}`);
    if (result.stderr !== stderr) wrong.push(`printed ${JSON.stringify(result.stderr)}`);
    const call = this.call(name, dir);
    const now = outputsOf(call);
    const others = outputs.map((one) => differences(now, one));
    if (!others.some(({ length }) => length === 0)) return [...wrong, ...(others[1] ?? [])];
    if (name === 'program') expectProgram(call);
    return wrong;
  }

  /** What does not hold of the store and of the outputs of the checkouts. */
  override broken(): string[] {
    const wrong = super.broken();
    for (const dir of [this.first, this.second]) {
      const expected = new Map<string, Uint8Array[]>();
      for (const name of CRATES)
        for (const outputs of this.reference(name, dir).outputs)
          for (const [file, bytes] of outputs) expected.set(file, [...(expected.get(file) ?? []), bytes]);
      wrong.push(...inspectOutputs(this.store, this.call('part', dir).outDir, expected));
    }
    return wrong;
  }

  /** Runs a command of the test build with faults. */
  async runFaulty(args: readonly string[], faults: Env): Promise<{ signal: string | undefined }> {
    const env = this.lab.env({ ...this.env, ...faults });
    const child = Bun.spawn([this.faulty, ...args], { env, stdio: ['ignore', 'ignore', 'ignore'] });
    await child.exited;
    return { signal: child.signalCode === null ? undefined : String(child.signalCode) };
  }
}

const suffix = ({ argv }: RustcCall): string =>
  argv.find((arg) => arg.startsWith('extra-filename='))?.slice('extra-filename='.length) ?? '?';

const belongsTo = (call: RustcCall, file: string): boolean => file.includes(suffix(call));

/** The outputs of a call by name, and what kache has left beside them. */
function outputsOf(call: RustcCall): Outputs {
  mkdirSync(call.outDir, { recursive: true });
  const found = new Map<string, Uint8Array>();
  for (const name of readdirSync(call.outDir).filter((file) => belongsTo(call, file)))
    found.set(name, readFileSync(join(call.outDir, name)));
  return found;
}

function differences(now: Outputs, then: Outputs): string[] {
  const wrong: string[] = [];
  for (const [file, bytes] of then) {
    const found = now.get(file);
    if (found === undefined) wrong.push(`no ${file}`);
    else if (!Buffer.from(found).equals(bytes)) wrong.push(`other bytes in ${file}`);
  }
  for (const file of now.keys()) if (!then.has(file)) wrong.push(`left over: ${file}`);
  return wrong;
}

/** What the program that a call has linked prints. */
export const programSays = (call: RustcCall): string =>
  Bun.spawnSync([join(call.outDir, `small${suffix(call)}`)]).stdout.toString();

/** Throws unless it says what it should. */
function expectProgram(call: RustcCall): void {
  const said = programSays(call);
  if (said !== PROGRAM_SAYS) throw new Error(`the program says ${JSON.stringify(said)}`);
}

/** What killed processes have left beside outputs. */
export const asides = (dir: string): string[] =>
  filesBelow(dir)
    .map(({ path }) => path)
    .filter(isAside);
