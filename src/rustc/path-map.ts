// Named roots, and the translation between the paths of this checkout and forms that are the same in every checkout.
//
// A rooted path is a string that cannot be confused: `./x` is relative to the compiler's folder, `<name>/x` lies under
// the root of that name, `/x` is a path no root covers. Inside longer texts (env values, diagnostics) a root is written
// as NUL name NUL, which neither can contain.
import { filterList, sortShort } from '../core/lists.ts';
import { isWithin } from '../sys/paths.ts';

export interface Root {
  readonly name: string;
  readonly path: string;
  /** What `--remap-path-prefix` puts in its place in outputs; undefined: real paths stay. */
  readonly placeholder: string | undefined;
}

export type RootedPath = string & { readonly rooted: true };

export class PathMap {
  /** Longest first, so that the most specific root claims a path. */
  readonly roots: readonly Root[];

  /** Of two roots at the same path the first given counts. */
  constructor(roots: readonly Root[]) {
    const distinct: Root[] = [];
    for (const root of roots) {
      let usable = root.path.startsWith('/') && root.path !== '/';
      for (const { path } of distinct) if (path === root.path) usable = false;
      if (usable) distinct.push(root);
    }
    this.roots = sortShort(distinct, (a, b) =>
      a.path.length === b.path.length ? a.name < b.name : a.path.length > b.path.length,
    );
  }

  /** The same map without some roots: their paths stay literal. */
  without(names: readonly string[]): PathMap {
    return names.length === 0
      ? this
      : new PathMap(filterList(this.roots, (root) => !names.includes(root.name)));
  }

  rootCalled(name: string): Root | undefined {
    for (const root of this.roots) if (root.name === name) return root;
    return undefined;
  }

  toRooted(path: string): RootedPath {
    if (!path.startsWith('/')) return `./${path}` as RootedPath;
    for (const root of this.roots) {
      if (isWithin(path, root.path)) return `<${root.name}>${path.slice(root.path.length)}` as RootedPath;
    }
    return path as RootedPath;
  }

  /** The path as it is spelled here; undefined when it lies under a root this call does not have. */
  fromRooted(rooted: string): string | undefined {
    if (rooted.startsWith('./')) return rooted.slice(2);
    if (rooted.startsWith('/')) return rooted;
    const end = rooted.indexOf('>');
    const name = rooted.slice(1, end);
    const root = this.rootCalled(name);
    return root === undefined ? undefined : root.path + rooted.slice(end + 1);
  }

  /** `text` with every root path in it, matched on whole components, replaced by its NUL token. */
  tokenize(text: string, spell: (path: string) => string = (path) => path): string {
    let result = text;
    for (const root of this.roots) result = replacePath(result, spell(root.path), `\0${root.name}\0`);
    return result;
  }

  /** The inverse of {@link tokenize} with the roots of this call; a token of an unknown root stays. */
  detokenize(text: string, spell: (path: string) => string = (path) => path): string {
    if (!text.includes('\0')) return text;
    return text.replace(/\0([^\0]*)\0/g, (token, name: string) => {
      const root = this.rootCalled(name);
      return root === undefined ? token : spell(root.path);
    });
  }

  /** Names of the roots whose path occurs in `value`. */
  rootsIn(value: string): string[] {
    const found: string[] = [];
    for (const root of this.roots) if (value.includes(root.path)) found.push(root.name);
    return found;
  }

  /** `--remap-path-prefix` arguments, most general first: in rustc the last match wins. */
  remapArguments(): string[] {
    return this.roots
      .toReversed()
      .flatMap((root) =>
        root.placeholder === undefined ? [] : [`--remap-path-prefix=${root.path}=${root.placeholder}`],
      );
  }
}

/** Characters that may stand directly before a path inside a text, or directly behind one. */
const isBoundary = (char: string | undefined): boolean =>
  char === undefined || /[\s"'`=:;,(){}[\]<>|&\0\\]/.test(char);

/** The end of a terminal's colour escape, its first character as it is or as JSON writes it. */
const COLOUR_ESCAPE = new RegExp(`(\\\\u001b|${String.fromCharCode(27)})\\[[\\d;]*m$`, 'i');

/** Whether a path may begin at `at`: behind a boundary, or behind an escape as JSON and terminals write them. */
function startsPath(text: string, at: number): boolean {
  if (at === 0 || isBoundary(text[at - 1])) return true;
  if (text[at - 2] === '\\' && /[nrt]/.test(text[at - 1] ?? '')) return true;
  return text[at - 1] === 'm' && COLOUR_ESCAPE.test(text.slice(Math.max(0, at - 24), at));
}

/** Replaces a path in a text wherever it stands as whole components. */
export function replacePath(text: string, path: string, token: string): string {
  let at = text.indexOf(path);
  if (at < 0) return text;
  let result = '';
  let done = 0;
  for (; at >= 0; at = text.indexOf(path, at + 1)) {
    if (at < done) continue;
    const behind = text[at + path.length];
    if (!startsPath(text, at) || (behind !== '/' && !isBoundary(behind))) continue;
    result += text.slice(done, at) + token;
    done = at + path.length;
  }
  return result + text.slice(done);
}
