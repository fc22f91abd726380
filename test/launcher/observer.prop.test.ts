// What the log is for: when a program would find something else than it found, something at a path of its log is not as it was.
// Random programs look around in random trees of files, folders and links; then one thing in the tree is changed.
import { afterAll, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { isLinux, ObserverLab, type Record } from '../support/observed.ts';

const lab = new ObserverLab();
afterAll(() => lab[Symbol.dispose]());

const tree = lab.path('tree');
/** Where the programs make links of their own. */
const own = lab.path('own');

/** Does what its arguments say, in pairs of a letter and a path, and prints all it finds. */
const walker = lab.compile(
  'walker',
  `#define _GNU_SOURCE
  #include <dirent.h>
  #include <errno.h>
  #include <fcntl.h>
  #include <stdio.h>
  #include <stdlib.h>
  #include <string.h>
  #include <sys/stat.h>
  #include <unistd.h>
  static int by_name(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
  static void say(const struct stat *info) { printf("%o %d\\n", info->st_mode, S_ISREG(info->st_mode) ? (int)info->st_size : 0); }
  int main(int count, char **words) {
    int own = open("../own", O_PATH), base = AT_FDCWD, got; char text[5000], name[2] = ""; struct stat info;
    for (int at = 1; at + 1 < count; at += 2) {
      const char *path = words[at + 1];
      errno = 0;
      switch (words[at][0]) {
        case 'r': got = openat(base, path, O_RDONLY); if (got >= 0) { int n = read(got, text, 4000); if (n > 0) fwrite(text, 1, n, stdout); } break;
        case 's': if (!fstatat(base, path, &info, 0)) say(&info); break;
        case 'l': if (!fstatat(base, path, &info, AT_SYMLINK_NOFOLLOW)) say(&info); break;
        case 'k': got = readlinkat(base, path, text, 4000); if (got >= 0) fwrite(text, 1, got, stdout); break;
        case 'a': faccessat(base, path, X_OK, 0); break;
        case 'c': chdir(path); break;
        case 'x': case 'y': name[0] = words[at][0]; unlinkat(own, name, 0); symlinkat(path, own, name); break;
        case 'v': renameat(own, "x", own, "y"); break;
        case 'w': puts(getcwd(text, 4000) ? text : "gone"); errno = 0; break;
        case 'b': got = openat(base, path, O_PATH | O_DIRECTORY); if (got >= 0) base = got; break;
        case 'd': {
          got = openat(base, path, O_RDONLY | O_DIRECTORY); if (got < 0) break;
          DIR *all = fdopendir(got); struct dirent *one; char *names[100]; int n = 0;
          while ((one = readdir(all))) names[n++] = strdup(one->d_name);
          qsort(names, n, sizeof *names, by_name);
          for (int i = 0; i < n; i++) puts(names[i]);
          errno = 0; break;
        }
      }
      // To find nothing is one thing, whatever is in the way.
      printf("%s %s: %d\\n", words[at], path, errno == ENOTDIR ? ENOENT : errno);
    }
    return 0;
  }`,
);

const name = fc.constantFrom('a', 'b', 'c');
const place = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
const step = fc.constantFrom('a', 'b', 'c', 'a', 'b', 'c', '..', '.');
const way = fc
  .tuple(
    fc.constantFrom('', '', '', `${tree}/`, `${own}/x/`, `${own}/y/`),
    fc.array(step, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('', '', '/'),
  )
  .map(([start, parts, end]) => `${start}${parts.join('/')}${end}`);
const thing = fc.oneof(
  fc.constantFrom('one', 'two', 'three').map((text) => ({ kind: 'file', text }) as const),
  fc.constant({ kind: 'folder' } as const),
  way.map((target) => ({ kind: 'link', target }) as const),
);
type Thing = typeof thing extends fc.Arbitrary<infer T> ? T : never;
const deed = fc.tuple(fc.constantFrom('r', 'r', 's', 'l', 'k', 'a', 'c', 'w', 'b', 'd', 'x', 'y', 'v'), way);
const change = fc.tuple(place, fc.oneof(thing, fc.constantFrom('gone' as const, 'program' as const)));

const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** Whether every folder on the way to a path is one, and no link. */
const isPlain = (path: string): boolean =>
  path === tree ||
  (isPlain(dirname(path)) && lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true);

function make(path: string, what: Thing): void {
  if (!isPlain(dirname(path)) || isThere(path)) return;
  if (what.kind === 'file') writeFileSync(path, what.text);
  else if (what.kind === 'folder') mkdirSync(path);
  else symlinkSync(what.target, path);
}

/** What is at a path, as the key of a run tells it (src/script/key.ts). */
function stateOf(path: string): string {
  try {
    const own = lstatSync(path, { throwIfNoEntry: false });
    if (own === undefined) return 'absent';
    const link = own.isSymbolicLink() ? `-> ${readlinkSync(path)} ` : '';
    if (!existsSync(path)) return `${link}absent`;
    const info = statSync(path);
    return `${link}${info.isDirectory() ? 'folder' : `${info.mode} ${readFileSync(path, 'latin1')}`}`;
  } catch (error) {
    return `absent ${(error as NodeJS.ErrnoException).code}`;
  }
}

const namesIn = (path: string): string => {
  try {
    return readdirSync(path).sort().join('/');
  } catch {
    return 'none';
  }
};

/** The letter of the log for a state. */
const letterOf = (state: string): string => {
  if (state.startsWith('absent')) return '-';
  if (state.endsWith(' absent')) return 'o';
  return state.endsWith('folder') ? 'd' : 'f';
};

/** Whether no part of a path is a link. */
const isWithoutLinks = (path: string): boolean =>
  isPlain(path) || (isPlain(dirname(path)) && lstatSync(path).isFile());

const stateOfAll = (records: readonly Record[]): string =>
  JSON.stringify(
    records
      .filter(([, , path]) => path === tree || path.startsWith(`${tree}/`))
      .map(([kind, , path]) => [path, stateOf(path), kind === 'listed' ? namesIn(path) : '']),
  );

test.if(isLinux)(
  'what a program would find otherwise is otherwise at a path of its log',
  () => {
    let differed = 0;
    const sample = fc.tuple(
      fc.array(fc.tuple(place, thing), { minLength: 3, maxLength: 12 }),
      fc.array(deed, { minLength: 1, maxLength: 8 }),
      fc.array(change, { minLength: 8, maxLength: 8 }),
    );
    fc.assert(
      fc.property(sample, ([things, deeds, changes]) => {
        for (const folder of [tree, own]) {
          rmSync(folder, { recursive: true, force: true });
          mkdirSync(folder);
        }
        const inOrder = [...things].sort(([a], [b]) => a.length - b.length);
        for (const [path, what] of inOrder) make(`${tree}/${path}`, what);
        const argv = [walker, ...deeds.flat()];
        const { status, stdout, records, lost } = lab.observe(argv, { cwd: tree });
        expect({ status, lost }).toEqual({ status: 0, lost: [] });
        const found = stateOfAll(records);
        const ofTree = records.filter(([kind, , path]) => kind !== 'ended' && path.startsWith(`${tree}/`));
        const wrong = ofTree.filter(
          ([, letter, path]) =>
            letter !== letterOf(stateOf(path)) ||
            (existsSync(dirname(path)) && !isWithoutLinks(dirname(path))),
        );
        expect(wrong).toEqual([]);
        for (const [path, what] of changes) {
          const target = `${tree}/${path}`;
          if (!isPlain(dirname(target))) continue;
          if (what === 'program') {
            if (lstatSync(target, { throwIfNoEntry: false })?.isFile()) chmodSync(target, 0o755);
          } else {
            rmSync(target, { recursive: true, force: true });
            if (what !== 'gone') make(target, what);
          }
          for (const name of readdirSync(own)) rmSync(`${own}/${name}`);
          const now = Bun.spawnSync(argv, { cwd: tree }).stdout.toString();
          if (now === stdout) continue;
          differed++;
          expect(stateOfAll(records)).not.toBe(found);
          return;
        }
      }),
      { numRuns: 120, includeErrorInReport: true },
    );
    // Else nothing was tried.
    expect(differed).toBeGreaterThan(5);
  },
  240_000,
);
