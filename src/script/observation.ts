// What a run of a build script was seen to do, by the log of the observer (src/launcher/observer.rs), and whether a list of
// files can stand for it.
import { findInList } from '../core/lists.ts';
import { isOfToolchain, type Toolchain } from '../rustc/toolchain.ts';
import { isDirectory, isRegular, isSymlink, linkTarget, lstat, realPath, stat } from '../sys/files.ts';
import { dirname, isWithin } from '../sys/paths.ts';

/** Everything a run looked at besides its own files. Absolute paths, sorted. */
export interface Inputs {
  /** Files, folders and names at which there was nothing, and what was there: one of {@link FOUND}. */
  readonly looked: readonly (readonly [path: string, found: string])[];
  /** Folders whose names were read. */
  readonly listed: readonly string[];
}

/** What the observer found at a path. Its log says it in these letters. */
export const FOUND = { nothing: '-', file: 'f', folder: 'd', other: 'o' } as const;

/** The places of one run. */
export interface Places {
  readonly outDir: string;
  /** Holds `outDir`, and what other units of the same target folder made. */
  readonly targetDir: string;
  /** The package, where its place does not matter: it is part of the workspace. */
  readonly packageDir: string | undefined;
  /** The build script, by its name and by what the kernel calls it. */
  readonly script: readonly string[];
  /** The observer, through which the compiler is called. */
  readonly observer: string | undefined;
  readonly toolchain: Pick<Toolchain, 'sysroot' | 'host'>;
  /**
   * Folders that the environment names, and that lie in no checkout of the run: what is below them was not found by
   * walking up from the places that are another one in the next target folder.
   */
  readonly named: readonly string[];
  /** The folder Cargo was called in, as a variable says it. */
  readonly calledIn: string | undefined;
  /** Where temporary files are made. */
  readonly temporary: string;
}

/** A pair of the log. */
type Record = readonly [kind: string, what: string];

/** The inputs of the run behind a log, or why nobody can know them all. */
export function inputsOf(log: Uint8Array, places: Places): Inputs | { readonly why: string } {
  const records = recordsOf(log);
  if (records === undefined) return { why: 'not-utf8' };
  if (records.at(-1)?.[0] !== 'ended') return { why: 'no-end' };
  const lost = findInList(records, ([kind]) => kind === 'lost');
  if (lost !== undefined) return { why: `not-followed|${lost[1]}` };
  const ways = new Ways(places);
  const written = new Set<string>();
  const own = new Set<string>();
  for (const [kind, what] of records) {
    if (kind !== 'wrote') continue;
    const path = ways.follow(what.slice(1), 'to the name');
    written.add(path);
    if (isOwn(path, places) || isSink(path)) continue;
    // Made and taken away again: a temporary file.
    if (what[0] !== FOUND.nothing || lstat(path) !== undefined || isOfKernel(path))
      return { why: `wrote-elsewhere|${path}` };
    own.add(path);
  }
  const isTemporary = (path: string): boolean => {
    for (let at = path; at !== '/' && at !== '.'; at = dirname(at)) if (own.has(at)) return true;
    return false;
  };
  const [looked, listed] = [new Map<string, string>(), new Set<string>()];
  for (const path of own) {
    if (isTemporary(dirname(path))) continue;
    if (!isWithin(path, places.temporary) && isBeside(path, places))
      return { why: `wrote-beside-target|${path}` };
    // It could be made since nothing was there.
    looked.set(path, FOUND.nothing);
  }
  // Through a link it has made it may have looked, or written.
  const made = [...written].filter((path) => isOwn(path, places) && ways.isLink(path));
  const seen = [...records, ...made.map((path): Record => ['saw', `${FOUND.nothing}${path}`])];
  for (const [kind, what] of seen) {
    if (kind !== 'saw' && kind !== 'listed') continue;
    const path = ways.follow(what.slice(1), 'to the end');
    const found = what[0] === FOUND.nothing && ways.led(path) ? foundAt(path) : (what[0] ?? '');
    if (places.script.includes(path) || path === places.observer || isSink(path)) continue;
    if (isOwn(path, places) || isTemporary(path)) {
      // A file that is gone, and was not made under this name: there was a link on the way to it.
      if (
        found !== FOUND.nothing &&
        !written.has(path) &&
        path !== places.outDir &&
        lstat(path) === undefined
      )
        return { why: `went-with-a-link|${path}` };
      continue;
    }
    if (isPassing(path) || (kind === 'saw' && found !== FOUND.nothing && isPinned(path, places))) continue;
    if (isOfKernel(path)) return { why: `read-what-changes|${path}` };
    // That it is there is what a place of the run is.
    if (kind === 'saw' && found === FOUND.folder && isAbovePlace(path, places) && !ways.isLink(path))
      continue;
    if (isBeside(path, places) && (kind === 'listed' || !isAboveNamed(path, places)))
      return { why: `read-beside-target|${path}` };
    if (kind === 'listed' && isWithin(path, places.targetDir) && !/\/build\/[^/]+\/out(\/|$)/.test(path))
      return { why: `listed-target|${path}` };
    if (!looked.has(path)) looked.set(path, found);
    if (kind === 'listed') listed.add(path);
  }
  // What is read through a link depends on where it leads.
  for (const link of ways.passed)
    if (!isOwn(link, places) && !looked.has(link)) looked.set(link, FOUND.folder);
  return { looked: [...looked].sort(([a], [b]) => (a < b ? -1 : 1)), listed: [...listed].sort() };
}

function recordsOf(log: Uint8Array): Record[] | undefined {
  const text = new TextDecoder().decode(log);
  if (text.includes('\uFFFD')) return undefined;
  const fields = text.split('\0');
  const records: Record[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) records.push([fields[at] ?? '', fields[at + 1] ?? '']);
  return records;
}

/** As many links as the kernel follows on one path. */
const MAX_LINKS = 40;

/** Paths of the log as they are meant: a `..` behind a link, and links that the run itself has made, are followed. */
class Ways {
  /** Links that were left by a `..`. */
  readonly passed = new Set<string>();
  readonly #places: Places;
  readonly #links = new Map<string, string | undefined>();
  readonly #led = new Set<string>();

  constructor(places: Places) {
    this.#places = places;
  }

  /** The path without `.` and `..`, and without links below the OUT_DIR on the way to its name, or to what is there. */
  follow(path: string, how: 'to the name' | 'to the end'): string {
    let next: { path: string; isEnd: boolean } = { path, isEnd: false };
    for (let left = MAX_LINKS; left > 0 && !next.isEnd; left--) next = this.#step(next.path, how);
    if (next.path !== path) this.#led.add(next.path);
    return next.path;
  }

  /** Whether a path was come to by a link of the run. */
  led(path: string): boolean {
    return this.#led.has(path);
  }

  isLink(path: string): boolean {
    return path !== '' && this.#target(path) !== undefined;
  }

  /** Goes along a path to the first link of the run. */
  #step(path: string, how: 'to the name' | 'to the end'): { path: string; isEnd: boolean } {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    let at = '';
    for (const [index, part] of parts.entries()) {
      if (part === '..') {
        if (this.isLink(at)) {
          this.passed.add(at);
          at = realPath(at) ?? at;
        }
        at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
        continue;
      }
      at += `/${part}`;
      const isName = index === parts.length - 1 && how === 'to the name';
      const target = isName || !isOwn(at, this.#places) ? undefined : this.#target(at);
      if (target === undefined) continue;
      const rest = parts.slice(index + 1).join('/');
      return {
        path: `${target.startsWith('/') ? target : `${dirname(at)}/${target}`}/${rest}`,
        isEnd: false,
      };
    }
    return { path: at === '' ? '/' : at, isEnd: true };
  }

  #target(path: string): string | undefined {
    if (this.#links.has(path)) return this.#links.get(path);
    const info = lstat(path);
    const target = info !== undefined && isSymlink(info) ? linkTarget(path) : undefined;
    this.#links.set(path, target);
    return target;
  }
}

function foundAt(path: string): string {
  const info = stat(path);
  if (info === undefined) return lstat(path) === undefined ? FOUND.nothing : FOUND.other;
  return isDirectory(info) ? FOUND.folder : isRegular(info) ? FOUND.file : FOUND.other;
}

const isOwn = (path: string, { outDir }: Places): boolean => isWithin(path, outDir);

const isAbovePlace = (path: string, { outDir, packageDir, calledIn }: Places): boolean =>
  [outDir, packageDir, calledIn].some((place) => place !== undefined && isWithin(place, path));

const isAboveNamed = (path: string, { named }: Places): boolean =>
  named.some((folder) => isWithin(folder, path));

/** What takes everything and gives nothing that differs from one run to the next, or gives what nobody can repeat anyway. */
const isSink = (path: string): boolean => /^\/dev\/(null|zero|full|tty|u?random)$/.test(path);

const isOfKernel = (path: string): boolean => /^\/(proc|sys|dev)(\/|$)/.test(path);

/** What tells a process about itself and how much of the machine it may use: nothing of it is in what it makes. */
const isPassing = (path: string): boolean =>
  /^\/proc\/(\d+\/(maps|exe|cgroup|mountinfo|stat|statm|fd(\/\d+)?|task(\/.*)?|comm|limits|auxv)|cpuinfo|meminfo|stat|filesystems|mounts|sys\/vm\/(overcommit_memory|mmap_min_addr)|sys\/kernel\/(osrelease|ngroups_max|cap_last_cap))$/.test(
    path,
  ) ||
  /^\/sys\/(fs\/cgroup(\/|$)|devices\/system\/(cpu|node)(\/|$)|kernel\/mm\/transparent_hugepage\/)/.test(
    path,
  );

/** Whether a file is there in every toolchain of this identity; components and targets come and go. */
const isPinned = (path: string, { toolchain }: Places): boolean =>
  isOfToolchain(toolchain, path) &&
  (dirname(path) === `${toolchain.sysroot}/lib` ||
    isWithin(path, `${toolchain.sysroot}/lib/rustlib/${toolchain.host}/lib`));

/**
 * Whether a path may have been found by walking up from a place of the run, or from where Cargo was called: in another
 * checkout another one is found there. What no folder above such a place holds was not, and neither was what the
 * environment names.
 */
function isBeside(path: string, { targetDir, packageDir, calledIn, named }: Places): boolean {
  if (isWithin(path, targetDir) || (packageDir !== undefined && isWithin(path, packageDir))) return false;
  if (named.some((folder) => isWithin(path, folder))) return false;
  if (calledIn !== undefined && isWithin(path, calledIn)) return true;
  return [targetDir, packageDir].some((place) => place !== undefined && sharesFolder(path, place));
}

/** Whether two paths have more than the root in common. */
const sharesFolder = (a: string, b: string): boolean => a.split('/')[1] === b.split('/')[1];
