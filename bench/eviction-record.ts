// Recording a trace for bench/eviction.ts: real builds of three applications in many worktrees along the schedule of four
// working days, through a store without a cap. Times are the schedule's; entries, sizes and compile times are real.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { type CompileEvent, parseEvent } from '../src/core/events.ts';
import { occupiedBytes, takeInventory } from '../src/store/inventory.ts';
import { openStore } from '../src/store/store.ts';
import { APPLICATIONS, fetchApplication } from './applications.ts';
import { baseEnv, checkout } from './phases.ts';
import { kacheBinary } from './tools.ts';

/** What was built and when. Lists of numbers: [seconds, entry] and [blob, bytes]. */
export interface Trace {
  readonly recorded: string;
  readonly rustc: string;
  readonly entries: readonly {
    readonly crate: string;
    readonly types: string;
    /** Entries of one unit are the same compile of different inputs. */
    readonly unit: number;
    readonly compileMs: number;
    readonly recordBytes: number;
    readonly blobs: readonly (readonly [blob: number, bytes: number])[];
  }[];
  readonly uses: readonly (readonly [seconds: number, entry: number])[];
}

const DAYS = 4;
const STEPS_A_DAY = 20;
const DAY_S = 24 * 3600;
const WORK_S = 9 * 3600;
/** From the morning of this day on every key is another one, as after an update of the toolchain. */
const NEW_TOOLCHAIN_DAY = 2;

/** A small generator with a written seed: the schedule is the same at every recording (Numerical Recipes' LCG). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Edit {
  readonly file: string;
  readonly id: number;
}

/** A checkout on a branch; a branch is the list of edits on top of the published sources. */
interface Worktree {
  readonly dir: string;
  branch: number;
}

class Project {
  readonly worktrees: Worktree[] = [];
  readonly branches: Edit[][] = [[]];
  readonly #source: string;
  readonly #dir: string;
  readonly #files: readonly string[];
  #serial = 0;

  constructor(source: string, dir: string) {
    this.#source = source;
    this.#dir = dir;
    this.#files = readdirSync(source, { recursive: true, withFileTypes: true })
      .filter(
        ({ name, parentPath }) =>
          name.endsWith('.rs') && /(^|\/)src(\/|$)/.test(relative(source, parentPath)),
      )
      .map(({ name, parentPath }) => relative(source, join(parentPath, name)))
      .sort();
    this.addWorktree(0);
  }

  addWorktree(branch: number): Worktree {
    const worktree = { dir: checkout(this.#source, join(this.#dir, `worktree-${this.#serial++}`)), branch };
    this.worktrees.push(worktree);
    this.write(worktree);
    return worktree;
  }

  removeWorktree(worktree: Worktree): void {
    rmSync(worktree.dir, { recursive: true, force: true });
    this.worktrees.splice(this.worktrees.indexOf(worktree), 1);
  }

  edit(worktree: Worktree, random: () => number): void {
    const file = this.#files[Math.floor(random() ** 2 * this.#files.length)] ?? '';
    this.branches[worktree.branch]?.push({ file, id: Math.floor(random() * 1e9) });
    this.write(worktree);
  }

  merge(worktree: Worktree, from: number): void {
    const own = this.branches[worktree.branch] ?? [];
    const added = (this.branches[from] ?? []).filter((edit) => !own.includes(edit));
    own.push(...added);
    own.sort((a, b) => a.id - b.id);
    this.write(worktree);
  }

  /** Makes the sources those of the branch; a file that has them already is left alone, as git does. */
  write({ dir, branch }: Worktree): void {
    for (const file of this.#files) {
      const edits = (this.branches[branch] ?? []).filter((edit) => edit.file === file);
      const lines = edits.map(({ id }) => `\n#[allow(dead_code)]\nfn edited_${id}() -> u32 { ${id} }\n`);
      const text = readFileSync(join(this.#source, file), 'utf8') + lines.join('');
      if (readFileSync(join(dir, file), 'utf8') !== text) writeFileSync(join(dir, file), text);
    }
  }
}

const COMMANDS = {
  check: ['check'],
  build: ['build'],
  test: ['test', '--no-run'],
  release: ['build', '--release'],
};
type Command = keyof typeof COMMANDS;

/** Runs the schedule below `workDir`, as far as it gets in `minutes`, and returns its trace. */
export function recordTrace(workDir: string, minutes: number, note: (text: string) => void): Trace {
  const untilMs = Date.now() + minutes * 60_000;
  const random = generator(20260301);
  const store = join(workDir, 'store');
  const log = join(store, 'events/log');
  const uses: { seconds: number; event: CompileEvent }[] = [];
  let seen = 0;
  let seconds = 0;

  const build = (dir: string, command: Command): void => {
    const done = Bun.spawnSync(['cargo', ...COMMANDS[command], '--offline', '--locked'], {
      cwd: dir,
      env: {
        ...baseEnv(),
        RUSTC_WRAPPER: kacheBinary,
        KACHE_CACHE_DIR: store,
        KACHE_MAX_SIZE: '1TiB',
        KACHE_CACHE_EXECUTABLES: '1',
        KACHE_KEY_SALT: seconds >= NEW_TOOLCHAIN_DAY * DAY_S ? 'new' : '',
        CARGO_PROFILE_RELEASE_LTO: 'off',
      },
      stdout: 'ignore',
      stderr: 'pipe',
    });
    if (done.exitCode !== 0) throw new Error(`Cannot build "${dir}": ${done.stderr.toString().slice(-1500)}`);
    const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n') : [];
    const before = uses.length;
    for (const line of lines.slice(seen)) {
      const event = parseEvent(line);
      if (event?.cache_key !== undefined) uses.push({ seconds: Math.round(seconds), event });
    }
    seen = Math.max(seen, lines.length - 1);
    note(
      `day ${Math.floor(seconds / DAY_S)} ${relative(workDir, dir)} ${command}: ${uses.length - before} units`,
    );
  };

  const projects = APPLICATIONS.filter(({ name }) => name !== 'mdbook').map((application) => {
    const dir = join(workDir, 'worktrees', application.name);
    mkdirSync(dir, { recursive: true });
    return new Project(fetchApplication(application, workDir), dir);
  });
  for (let day = 0; day < DAYS; day++) {
    for (let step = 0; step < STEPS_A_DAY; step++) {
      if (Date.now() > untilMs) return traceOf(store, uses);
      seconds = day * DAY_S + (WORK_S * (step + random() / 2)) / STEPS_A_DAY;
      const project = projects[Math.floor(random() * projects.length)];
      if (project === undefined) throw new Error('there are projects');
      oneStep(project, random, build);
    }
    build(projects[0]?.worktrees[0]?.dir ?? '', 'release');
  }
  return traceOf(store, uses);
}

function oneStep(
  project: Project,
  random: () => number,
  build: (dir: string, command: Command) => void,
): void {
  const { worktrees, branches } = project;
  const worktree = worktrees[Math.floor(random() ** 2 * worktrees.length)] ?? project.addWorktree(0);
  const die = random();
  if (die < 0.45) {
    project.edit(worktree, random);
    build(worktree.dir, 'check');
  } else if (die < 0.6) {
    project.edit(worktree, random);
    build(worktree.dir, 'build');
  } else if (die < 0.68) build(worktree.dir, 'test');
  else if (die < 0.76) {
    worktree.branch = Math.floor(random() * branches.length);
    project.write(worktree);
    build(worktree.dir, random() < 0.5 ? 'check' : 'build');
  } else if (die < 0.82) {
    project.merge(worktree, 0);
    build(worktree.dir, 'build');
  } else if (die < 0.9) {
    branches.push([...(branches[0] ?? [])]);
    const added = project.addWorktree(branches.length - 1);
    build(added.dir, 'check');
    build(added.dir, 'build');
  } else if (die < 0.94 && worktrees.length > 1) {
    project.removeWorktree(worktree);
  } else {
    rmSync(join(worktree.dir, 'target'), { recursive: true, force: true });
    build(worktree.dir, 'build');
  }
}

export function traceOf(storeDir: string, uses: readonly { seconds: number; event: CompileEvent }[]): Trace {
  const store = openStore(storeDir);
  if (store.kind === 'problem') throw new Error(store.detail);
  const inventory = takeInventory(store);
  const blobNumbers = new Map([...inventory.blobs.keys()].map((id, index) => [id as string, index]));
  const entryNumbers = new Map<string, number>();
  const units = new Map<string, number>();
  const used = new Set(uses.map(({ event }) => event.cache_key));
  const entries = inventory.entries.flatMap(({ key, entry, recordBytes }) => {
    if (entry === undefined || !used.has(key)) return [];
    entryNumbers.set(key, entryNumbers.size);
    const blobs = entry.outputs.map(({ blob }) => {
      const stored = inventory.blobs.get(blob);
      return [blobNumbers.get(blob) ?? -1, stored === undefined ? 0 : occupiedBytes(stored.info)] as const;
    });
    const unit = units.get(entry.unit) ?? units.size;
    units.set(entry.unit, unit);
    const { crateName: crate, crateTypes: types, compileMs } = entry;
    return [{ crate, types, unit, compileMs, recordBytes, blobs }];
  });
  return {
    recorded: new Date().toISOString().slice(0, 10),
    rustc: Bun.spawnSync(['rustc', '-V']).stdout.toString().trim(),
    entries,
    uses: uses.flatMap(({ seconds, event }) => {
      const number = entryNumbers.get(event.cache_key ?? '');
      return number === undefined ? [] : [[seconds, number] as const];
    }),
  };
}

/** One line an entry: a recording that changes shows where. */
export function writeTrace(path: string, trace: Trace): void {
  const { recorded, rustc, entries, uses } = trace;
  const list = (items: readonly unknown[]): string =>
    `[\n${items.map((item) => JSON.stringify(item)).join(',\n')}\n]`;
  writeFileSync(
    path,
    `{"recorded":${JSON.stringify(recorded)},"rustc":${JSON.stringify(rustc)},"entries":${list(entries)},`,
  );
  appendFileSync(path, `"uses":${JSON.stringify(uses)}}\n`);
}
