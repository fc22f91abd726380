// One checkout of a generated project on disk: its sources written, changed, copied, digested.
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { Change, TargetPlace } from './case.ts';
import type { Source, Sources } from './parts.ts';

type Edit = Exclude<Change, { op: 'env' }>;

const NUMBER = /\b9\d{3}\b/g;

const LOCKFILE = 'ws/Cargo.lock';

/** What Cargo looks at by itself; after a change of anything else the sources are touched, as a person would do. */
const WATCHED = /\.rs$|Cargo\.toml$|\/(gen|c|link)\/[^/]+$|\.(in|bin)$|\/(täxt|rooted)\.txt$/;
const NOT_OF_SOURCES: readonly Edit['op'][] = ['clean', 'lose', 'lock'];
const IN_PLACE: readonly Edit['op'][] = ['value', 'append', 'replace'];

/** Where the target folder is: `far` where that is not inside. */
export interface Targets {
  readonly place: TargetPlace;
  readonly far: string;
}

export class Checkout {
  path: string;
  readonly #pristine: Sources;
  readonly #targets: Targets;

  constructor(path: string, pristine: Sources, targets: Targets) {
    this.path = path;
    this.#pristine = pristine;
    this.#targets = targets;
    for (const [name, source] of Object.entries(pristine)) this.#put(name, source);
    if (targets.place === 'linked') this.removeTarget();
  }

  get workspace(): string {
    return join(this.path, 'ws');
  }

  get target(): string {
    return this.#targets.place === 'outside' ? this.#targets.far : join(this.workspace, 'target');
  }

  /** Has the next build begin with nothing. */
  removeTarget(): void {
    const { place, far } = this.#targets;
    rmSync(this.target, { recursive: true, force: true });
    if (place !== 'linked') return;
    rmSync(far, { recursive: true, force: true });
    mkdirSync(far, { recursive: true });
    symlinkSync(far, this.target);
  }

  /** Every source below the checkout, sorted by path. */
  sources(): [string, Source][] {
    const found: [string, Source][] = [];
    const walk = (folder: string): void => {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (path === this.target || (entry.name === 'Cargo.lock' && !(LOCKFILE in this.#pristine))) continue;
        if (entry.isDirectory()) walk(path);
        else {
          const source = entry.isSymbolicLink() ? { link: readlinkSync(path) } : readFileSync(path, 'utf8');
          found.push([relative(this.path, path), source]);
        }
      }
    };
    walk(this.path);
    return found.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Makes one change; `others` are all checkouts, for what comes from another one. */
  apply(change: Edit, others: readonly Checkout[], root: string): void {
    this.#make(change, others, root);
    const plain =
      IN_PLACE.includes(change.op) &&
      'file' in change &&
      WATCHED.test(change.file ?? '') &&
      !(change.op === 'value' && change.keepTime);
    if (!plain && !NOT_OF_SOURCES.includes(change.op)) this.touch();
  }

  #make(change: Edit, others: readonly Checkout[], root: string): void {
    switch (change.op) {
      case 'value':
        this.#edit(change.file, (text) => withNumber(text, change.value), change.keepTime);
        break;
      case 'append':
        this.#edit(change.file, (text) => text + change.text);
        break;
      case 'replace':
        this.#edit(change.file, (text) => text.replace(change.from, change.to));
        break;
      case 'write':
        this.#put(change.file, change.text);
        break;
      case 'swap':
        this.#swap(change.file, change.other);
        break;
      case 'move':
      case 'copy':
        this.#transfer(change);
        break;
      case 'link':
        if (existsSync(this.#at(change.to)) && change.file !== change.to)
          this.#put(change.file, { link: relative(dirname(change.file), change.to) });
        break;
      case 'lock':
        this.#lock(change);
        break;
      case 'remove':
        rmSync(this.#at(change.file), { recursive: true, force: true });
        break;
      case 'restore':
        this.#restore(change.file);
        break;
      case 'sync':
        this.#become(others[change.from]?.sources() ?? []);
        break;
      case 'relocate':
        this.#relocate(join(root, change.to));
        break;
      case 'clean':
        this.removeTarget();
        break;
      case 'lose':
        this.#lose(change);
        break;
    }
  }

  /** New times for all code: Cargo looks at every unit again. */
  touch(): void {
    const now = new Date();
    for (const [name, source] of this.sources())
      if (typeof source === 'string' && name.endsWith('.rs')) utimesSync(this.#at(name), now, now);
  }

  #at(name: string): string {
    return join(this.path, name);
  }

  #isFile(name: string): boolean {
    return lstatSync(this.#at(name), { throwIfNoEntry: false })?.isFile() ?? false;
  }

  #put(name: string, source: Source): void {
    const path = this.#at(name);
    rmSync(path, { recursive: true, force: true });
    mkdirSync(dirname(path), { recursive: true });
    if (typeof source === 'string') writeFileSync(path, source);
    else symlinkSync(source.link, path);
  }

  /** Written in place, so that inode and, if asked, times stay. */
  #edit(name: string, edited: (text: string) => string, keepTime = false): void {
    if (!this.#isFile(name)) return;
    const path = this.#at(name);
    const { atime, mtime } = lstatSync(path);
    writeFileSync(path, edited(readFileSync(path, 'utf8')));
    if (keepTime) utimesSync(path, atime, mtime);
  }

  #swap(a: string, b: string): void {
    if (!this.#isFile(a) || !this.#isFile(b) || a === b) return;
    const aside = this.#at(`${a}.aside`);
    renameSync(this.#at(a), aside);
    renameSync(this.#at(b), this.#at(a));
    renameSync(aside, this.#at(b));
  }

  #transfer({ op, file, to }: { op: 'move' | 'copy'; file: string; to: string }): void {
    if (!this.#isFile(file) || file === to) return;
    rmSync(this.#at(to), { recursive: true, force: true });
    mkdirSync(dirname(this.#at(to)), { recursive: true });
    if (op === 'move') renameSync(this.#at(file), this.#at(to));
    else cpSync(this.#at(file), this.#at(to), { preserveTimestamps: true });
  }

  #restore(name: string | undefined): void {
    const source = this.#pristine[name ?? ''];
    if (name === undefined) this.#become(Object.entries(this.#pristine));
    else if (source === undefined) rmSync(this.#at(name), { recursive: true, force: true });
    else this.#put(name, source);
  }

  #become(sources: readonly (readonly [string, Source])[]): void {
    const wanted = new Map(sources);
    const present = new Map(this.sources());
    for (const name of present.keys()) if (!wanted.has(name)) rmSync(this.#at(name), { force: true });
    for (const [name, source] of wanted)
      if (JSON.stringify(present.get(name)) !== JSON.stringify(source)) this.#put(name, source);
  }

  #relocate(to: string): void {
    if (existsSync(to)) return;
    mkdirSync(dirname(to), { recursive: true });
    renameSync(this.path, to);
    this.path = to;
  }

  /** Says another version of a package wherever the lockfile names it. */
  #lock({ name, minor, patch }: { name: string; minor: number; patch: number }): void {
    const version = `0.${minor}.${9000 + patch}`;
    this.#edit(LOCKFILE, (text) =>
      text
        .replaceAll(new RegExp(`(name = "${name}"\nversion = )"0\\.${minor}\\.\\d+"`, 'g'), `$1"${version}"`)
        .replaceAll(new RegExp(`"${name} 0\\.${minor}\\.\\d+"`, 'g'), `"${name} ${version}"`),
    );
  }

  /** Deletes one output, or what Cargo knows of one unit. */
  #lose({ pick, what }: { pick: number; what: 'output' | 'fingerprint' }): void {
    const folder = join(this.target, 'debug', what === 'output' ? 'deps' : '.fingerprint');
    if (!existsSync(folder)) return;
    const names = readdirSync(folder).sort();
    const name = names[pick % Math.max(1, names.length)];
    if (name !== undefined) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** Another number in the place of one of those in a text; which one follows from the number. */
function withNumber(text: string, value: number): string {
  const count = [...text.matchAll(NUMBER)].length;
  let index = 0;
  return text.replace(NUMBER, (old) =>
    index++ === value % Math.max(1, count) ? String(9000 + (value % 10)) : old,
  );
}
