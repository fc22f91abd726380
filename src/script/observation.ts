// What a run of a build script was seen to do, by the log of the observer (src/launcher/observer.rs), and whether a list of
// files can stand for it.
import { findInList } from '../core/lists.ts';
import { isOfToolchain, type Toolchain } from '../rustc/toolchain.ts';
import { lstat, realPath } from '../sys/files.ts';
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
  /** Where Cargo puts what it was asked for, when that is not in `targetDir`. */
  readonly artifactDir: string | undefined;
  /** The package, where its place does not matter: it is part of the workspace. */
  readonly packageDir: string | undefined;
  readonly script: string;
  /** The observer, through which the compiler is called. */
  readonly observer: string | undefined;
  readonly toolchain: Pick<Toolchain, 'sysroot' | 'host'>;
  /**
   * Folders that the environment names, and that lie in no checkout of the run: what is below them was not found by
   * walking up from the places that are other ones in another checkout.
   */
  readonly named: readonly string[];
  /** The folder Cargo was called in, as a variable says it; undefined where that is the working folder. */
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
  const pathOf = namesOf(places);
  const own = new Set<string>();
  for (const [kind, what] of records) {
    const path = pathOf(what);
    if (kind !== 'wrote' || isOwn(path, places) || isSink(path)) continue;
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
  for (const [kind, what] of records) {
    if (kind !== 'saw' && kind !== 'listed') continue;
    const path = pathOf(what);
    if (
      path === places.script ||
      path === places.observer ||
      isOwn(path, places) ||
      isTemporary(path) ||
      isSink(path)
    )
      continue;
    const found = what[0] ?? '';
    if (isPassing(path) || (kind === 'saw' && found !== FOUND.nothing && isPinned(path, places))) continue;
    // That the kernel has nothing of this name is the same until it has.
    if (isOfKernel(path) && (found !== FOUND.nothing || path.startsWith('/proc/self/')))
      return { why: `read-what-changes|${path}` };
    // That it is there is what a place of the run is.
    if (kind === 'saw' && found === FOUND.folder && isAbovePlace(path, places)) continue;
    // How one leads there from the other places is not in the unit: the loader asks in a profile's
    // folder, and finds nothing.
    const isSearched = found === FOUND.folder && dirname(path) === places.artifactDir;
    if (isArtifact(path, places) && (kind === 'listed' || !(found === FOUND.nothing || isSearched)))
      return { why: `read-beside-target|${path}` };
    if (isBeside(path, places) && (kind === 'listed' || !isAboveNamed(path, places)))
      return { why: `read-beside-target|${path}` };
    if (kind === 'listed' && isWithin(path, places.targetDir) && !/\/build\/[^/]+\/out(\/|$)/.test(path))
      return { why: `listed-target|${path}` };
    if (!looked.has(path)) looked.set(path, found);
    if (kind === 'listed') listed.add(path);
  }
  return { looked: [...looked].sort(([a], [b]) => (a < b ? -1 : 1)), listed: [...listed].sort() };
}

/** Whether a run may have gone another way because it was watched: it started what sudo and the like are. */
export const wasHindered = (log: Uint8Array): boolean =>
  recordsOf(log)?.some(([kind, what]) => kind === 'lost' && what === 'a program with rights of its own') ===
  true;

function recordsOf(log: Uint8Array): Record[] | undefined {
  const text = new TextDecoder().decode(log);
  if (text.includes('\uFFFD')) return undefined;
  const fields = text.split('\0');
  const records: Record[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) records.push([fields[at] ?? '', fields[at + 1] ?? '']);
  return records;
}

/**
 * Reads the path of a `saw`, `listed` or `wrote`, which follows its state. It leads over no link, while the places of a run
 * may: what is in one of them is called as the place is.
 */
function namesOf({
  outDir,
  targetDir,
  packageDir,
  script,
  observer,
  toolchain: { sysroot },
}: Places): (what: string) => string {
  const names = [outDir, script, observer, targetDir, packageDir, sysroot].flatMap((name) => {
    const real = name === undefined ? undefined : realPath(name);
    return name === undefined || real === undefined || real === name ? [] : [{ name, real }];
  });
  return (what) => {
    const path = what.slice(1);
    const place = findInList(names, ({ real }) => isWithin(path, real));
    return place === undefined ? path : `${place.name}${path.slice(place.real.length)}`;
  };
}

const isOwn = (path: string, { outDir }: Places): boolean => isWithin(path, outDir);

const isAbovePlace = (path: string, { outDir, packageDir, calledIn, artifactDir }: Places): boolean =>
  [outDir, packageDir, calledIn, artifactDir].some((place) => place !== undefined && isWithin(place, path));

const isArtifact = (path: string, { artifactDir, targetDir }: Places): boolean =>
  artifactDir !== undefined && isWithin(path, artifactDir) && !isWithin(path, targetDir);

const isAboveNamed = (path: string, { named }: Places): boolean =>
  named.some((folder) => isWithin(folder, path));

const isOfKernel = (path: string): boolean => /^\/(proc|sys|dev)(\/|$)/.test(path);

/** What takes everything and gives nothing that differs from one run to the next, or gives what nobody can repeat anyway. */
const isSink = (path: string): boolean => /^\/dev\/(null|zero|full|tty|u?random)$/.test(path);

/** What tells a process about itself and how much of the machine it may use: nothing of it is in what it makes. */
const isPassing = (path: string): boolean =>
  /^\/proc\/(self\/(maps|exe|cgroup|mountinfo|mounts|stat|statm|fd(\/\d+)?|task(\/\d+(\/(stat|comm))?)?|comm|limits|auxv)|cpuinfo|meminfo|stat|filesystems|mounts|sys\/vm\/(overcommit_memory|mmap_min_addr)|sys\/kernel\/(osrelease|ngroups_max|cap_last_cap))$/.test(
    path,
  ) ||
  /^\/sys\/(fs\/cgroup(\/|$)|devices\/system\/(cpu|node)(\/|$)|kernel\/mm\/transparent_hugepage\/|fs\/selinux$)/.test(
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
function isBeside(path: string, { targetDir, artifactDir, packageDir, calledIn, named }: Places): boolean {
  const moving = [targetDir, artifactDir, packageDir].filter((place) => place !== undefined);
  if (moving.some((place) => isWithin(path, place))) return false;
  if (named.some((folder) => isWithin(path, folder))) return false;
  if (calledIn !== undefined && isWithin(path, calledIn)) return true;
  return moving.some((place) => sharesFolder(path, place));
}

/** Whether two paths have more than the root in common. */
const sharesFolder = (a: string, b: string): boolean => a.split('/')[1] === b.split('/')[1];
