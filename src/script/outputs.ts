// What a run leaves behind: the tree of its OUT_DIR. In the store it is a list of names, and a blob for each file.
import type { BlobId } from '../core/ids.ts';
import { parseJson } from '../core/json.ts';
import { BlobWriter, checkBlob, placeBlob, publishBlob } from '../store/blobs.ts';
import type { StoredOutput } from '../store/entries.ts';
import type { Store } from '../store/store.ts';
import {
  bestEffort,
  type FileStat,
  holdsTheSame,
  linkTarget,
  listDirectory,
  lstat,
  makeDirectory,
  makeLink,
  readFile,
  readText,
  removeTree,
  utf8,
} from '../sys/files.ts';
import { checksum, sha256 } from '../sys/hash.ts';
import { dirname } from '../sys/paths.ts';
import type { Run } from './prepare.ts';

/** The names below an OUT_DIR, as its blob holds them: never rename. Links with the paths of this target as tokens. */
interface TreeList {
  readonly folders: readonly string[];
  readonly links: readonly (readonly [name: string, target: string])[];
  /** In the order of their blobs. */
  readonly files: readonly string[];
}

export interface OutTree {
  readonly list: TreeList;
  readonly files: readonly { readonly path: string; readonly info: FileStat; readonly bytes: Uint8Array }[];
}

/** What programs ask for when they make a folder: of those that had another mode nothing is kept. */
const FOLDER_MODE = 0o777;

/** More than this is no longer small beside what the run took. */
const MAX_BYTES = 1024 ** 3;

/** Whether what was read is still there, as it was: a folder that somebody deletes meanwhile is no output of the script. */
export const isStillThere = ({ places: { outDir } }: Run, { list, files }: OutTree): boolean =>
  lstat(outDir) !== undefined &&
  [...list.folders, ...list.links.map(([name]) => name)].every(
    (name) => lstat(`${outDir}/${name}`) !== undefined,
  ) &&
  files.every(({ path, info }) => {
    const now = lstat(path);
    return now !== undefined && holdsTheSame(now, info);
  });

/** The tree below `outDir`, or why it cannot stand in another place. */
export function readTree({ map, places: { outDir }, unshared }: Run): OutTree | { readonly why: string } {
  const list = { folders: [] as string[], links: [] as [string, string][], files: [] as string[] };
  const files: { path: string; info: FileStat; bytes: Uint8Array }[] = [];
  // As Cargo has made one beside it.
  const folderMode = modeOf(lstat(dirname(outDir)));
  if (modeOf(lstat(outDir)) !== folderMode) return { why: 'folder-mode|' };
  let sizeBytes = 0;
  const pending = [''];
  for (let below = pending.pop(); below !== undefined; below = pending.pop()) {
    for (const { name, kind } of listDirectory(`${outDir}/${below}`) ?? []) {
      const path = `${outDir}/${below}${name}`;
      const shown = `${below}${name}`;
      if (name.includes('\uFFFD')) return { why: 'not-utf8' };
      const info = lstat(path);
      if (kind === 'directory' && info !== undefined) {
        if (modeOf(info) !== folderMode) return { why: `folder-mode|${shown}` };
        list.folders.push(shown);
        pending.push(`${shown}/`);
      } else if (kind === 'file' && info !== undefined) {
        sizeBytes += info.size;
        if (sizeBytes > MAX_BYTES) return { why: 'large' };
        const bytes = readFile(path) ?? new Uint8Array();
        if (holdsPlace(bytes, unshared)) return { why: `holds-a-path|${shown}` };
        list.files.push(shown);
        files.push({ path, info, bytes });
      } else if (info !== undefined && (info.mode & 0o170000) === 0o120000) {
        const target = map.tokenize(linkTarget(path));
        if (holdsPlace(utf8(target), unshared)) return { why: `holds-a-path|${shown}` };
        list.links.push([shown, target]);
      } else return { why: `no-file|${shown}` };
    }
  }
  // A folder before what is in it.
  list.folders.sort();
  return { list, files };
}

/** From an OUT_DIR this leads out of the target folder: to which place depends on where that is. */
const WAY_OUT = '../../../../../';

/** Whether one of some paths stands in some bytes, or a way to what is beside the target folder. */
export function holdsPlace(bytes: Uint8Array, paths: readonly string[]): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return [...paths, WAY_OUT].some((path) => text.includes(path));
}

const modeOf = (info: FileStat | undefined): number | undefined => info && info.mode & 0o777;

/** Puts a tree into the store. The first output is the list of its names. */
export function storeTree(
  { store, settings }: Run,
  { list, files }: OutTree,
): { outputs: StoredOutput[]; newBytes: number } {
  let newBytes = 0;
  const named = utf8(JSON.stringify(list));
  const listId = sha256(named) as BlobId;
  using writer = new BlobWriter(store, { id: listId, sizeBytes: named.length, mode: 0o644 });
  writer.write(named);
  if (!writer.existed) newBytes += named.length;
  writer.finish();
  const outputs: StoredOutput[] = [{ kind: 'out-dir', blob: listId, sizeBytes: named.length, mode: 0o644 }];
  for (const { path, info, bytes } of files) {
    const blob = sha256(bytes) as BlobId;
    const mode = info.mode & 0o777;
    const { existed } = publishBlob(store, blob, path, {
      // A later run writes into these files.
      shared: false,
      mode,
      linkMode: settings.linkMode,
      info,
      checksum: () => checksum(bytes),
    });
    if (!existed) newBytes += bytes.length;
    outputs.push({ kind: 'out-file', blob, sizeBytes: bytes.length, mode });
  }
  return { outputs, newBytes };
}

/** The names of a stored tree; undefined when the entry is not one of a run. Its first blob is sound. */
export function readList(store: Store, outputs: readonly StoredOutput[]): TreeList | undefined {
  const [first, ...files] = outputs;
  const text = first?.kind === 'out-dir' ? readText(store.layout.blob(first.blob)) : undefined;
  const list = parseJson(text ?? '') as Partial<TreeList> | undefined | null;
  if (typeof list !== 'object' || list === null) return undefined;
  const { folders, links, files: names } = list;
  if (!Array.isArray(folders) || !Array.isArray(names) || !Array.isArray(links)) return undefined;
  const isWhole =
    [...folders, ...names].every(isBelow) && links.every(isLink) && names.length === files.length;
  return isWhole ? { folders, links, files: names } : undefined;
}

/** Whether a name leads below the folder it is put into, and nowhere else: a pack may say anything. */
const isBelow = (name: unknown): boolean =>
  typeof name === 'string' &&
  !name.includes('\0') &&
  name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');

const isLink = (link: unknown): boolean =>
  Array.isArray(link) && link.length === 2 && isBelow(link[0]) && typeof link[1] === 'string';

/** Makes the tree of an entry below an empty OUT_DIR. When the entry is not whole, nothing is made: returns what it lacks. */
export function restoreTree(
  { store, settings, places, map }: Run,
  outputs: readonly StoredOutput[],
): 'blob-missing' | 'blob-damaged' | 'entry-incomplete' | undefined {
  for (const { blob, sizeBytes } of outputs) {
    const { kind } = checkBlob(store, blob, sizeBytes);
    if (kind !== 'sound') return `blob-${kind}`;
  }
  const list = readList(store, outputs);
  if (list === undefined) return 'entry-incomplete';
  const { outDir } = places;
  for (const folder of list.folders) makeDirectory(`${outDir}/${folder}`, FOLDER_MODE);
  for (const [at, name] of list.files.entries()) {
    const { blob, mode } = outputs[at + 1] as StoredOutput;
    placeBlob(store, blob, `${outDir}/${name}`, { shared: false, mode, linkMode: settings.linkMode });
  }
  for (const [name, target] of list.links) makeLink(map.detokenize(target), `${outDir}/${name}`);
  return undefined;
}

/** Makes an OUT_DIR as empty as Cargo made it, as far as that can be done. */
export function emptyTree(outDir: string): void {
  bestEffort(() => {
    for (const { name } of listDirectory(outDir) ?? []) bestEffort(() => removeTree(`${outDir}/${name}`));
  });
}
