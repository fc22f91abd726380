import { expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  appendFile,
  bestEffort,
  createFile,
  fstat,
  isExecutable,
  isOsError,
  link,
  listDirectory,
  lstat,
  makeDirectory,
  openFile,
  readAll,
  readFile,
  readText,
  realPath,
  removeFile,
  rename,
  signatureOf,
  stat,
  touch,
  touchedMs,
} from '../../src/sys/files.ts';
import { O } from '../../src/sys/libc.ts';
import { Lab } from '../support/lab.ts';

const FILES = JSON.stringify(join(import.meta.dir, '../../src/sys/files.ts'));

/** The errno name an operation fails with. */
function codeOf(run: () => unknown): string {
  try {
    run();
    return 'none';
  } catch (error) {
    return isOsError(error) ? error.code : String(error);
  }
}

const ascending = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, at) => at % 251);

test('stat is what the file system says, to the nanosecond', () => {
  using lab = new Lab();
  const file = lab.path('file');
  writeFileSync(file, 'content');
  const theirs = statSync(file, { bigint: true });
  const ours = stat(file);
  expect(ours).toMatchObject({
    size: 7,
    ino: theirs.ino,
    nlink: 1,
    mode: Number(theirs.mode),
    uid: Number(theirs.uid),
    blocks: Number(theirs.blocks),
  });
  expect(BigInt(ours?.mtimeSec ?? 0) * 1_000_000_000n + BigInt(ours?.mtimeNsec ?? 0)).toBe(theirs.mtimeNs);
  expect(BigInt(ours?.ctimeSec ?? 0) * 1_000_000_000n + BigInt(ours?.ctimeNsec ?? 0)).toBe(theirs.ctimeNs);
  using open = openFile(file, O.RDONLY);
  expect(fstat(open.fd)).toEqual(ours ?? fstat(open.fd));
});

test('what is not there is no error, what is there but unreachable is', () => {
  using lab = new Lab();
  writeFileSync(lab.path('file'), '');
  symlinkSync('nowhere', lab.path('dangling'));
  symlinkSync('loop', lab.path('loop'));
  expect([stat(lab.path('none')), stat(lab.path('file', 'below')), stat(lab.path('dangling'))]).toEqual(
    Array(3).fill(undefined),
  );
  expect(lstat(lab.path('dangling'))).toBeDefined();
  expect([readFile(lab.path('none')), readFile(lab.path('file', 'below'))]).toEqual([undefined, undefined]);
  expect([readText(lab.path('none')), realPath(lab.path('none')), listDirectory(lab.path('none'))]).toEqual(
    Array(3).fill(undefined),
  );
  expect(listDirectory(lab.path('file'))).toBeUndefined();
  const long = `/${'x'.repeat(5000)}`;
  const name = lab.path('x'.repeat(256));
  for (const run of [stat, lstat, readFile, listDirectory, realPath, removeFile])
    expect([run.name, codeOf(() => run(long))]).toEqual([run.name, 'ENAMETOOLONG']);
  expect(codeOf(() => createFile(name, new Uint8Array()))).toBe('ENAMETOOLONG');
  expect(codeOf(() => makeDirectory(name))).toBe('ENAMETOOLONG');
  expect(codeOf(() => rename(lab.path('file'), name))).toBe('ENAMETOOLONG');
  expect(codeOf(() => stat(lab.path('loop')))).toBe('ELOOP');
  expect(codeOf(() => readFile(lab.root))).toBe('EISDIR');
});

test('files of every size around the buffer are written, read and appended whole', () => {
  using lab = new Lab();
  for (const size of [0, 1, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 1_000_003]) {
    const path = lab.path(`f${size}`);
    const bytes = ascending(size);
    createFile(path, bytes);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(Buffer.from(readFile(path) ?? []).equals(bytes)).toBe(true);
    appendFile(path, ascending(3));
    expect(Buffer.from(readFile(path) ?? []).equals(Buffer.concat([bytes, ascending(3)]))).toBe(true);
  }
});

test('reading continues where the descriptor stands, and one result does not change with the next read', () => {
  using lab = new Lab();
  createFile(lab.path('a'), ascending(100));
  createFile(lab.path('b'), new Uint8Array(100));
  using file = openFile(lab.path('a'), O.RDONLY);
  expect(Buffer.from(readAll(file)).equals(ascending(100))).toBe(true);
  expect(readAll(file).length).toBe(0);
  const first = readFile(lab.path('a'));
  readFile(lab.path('b'));
  expect(Buffer.from(first ?? []).equals(ascending(100))).toBe(true);
});

test('a file of the kernel, whose size says nothing, is read whole', () => {
  using lab = new Lab();
  const script = lab.path('environ.ts');
  writeFileSync(
    script,
    `import { readFile } from ${FILES};
     const text = new TextDecoder().decode(readFile('/proc/self/environ'));
     console.log(text.split('\\0').filter((item) => item.startsWith('LARGE')).map((item) => item.length).join());`,
  );
  const large = { LARGE1: 'x'.repeat(70_000), LARGE2: 'y'.repeat(90_000), LARGE3: 'z'.repeat(100) };
  const run = lab.run([process.execPath, script], { env: large });
  expect(run.stdout.trim()).toBe('70007,90007,107');
});

test('creating replaces nothing, and a failure halfway leaves no file', () => {
  using lab = new Lab();
  createFile(lab.path('a'), new Uint8Array(1), 0o600);
  expect(codeOf(() => createFile(lab.path('a'), new Uint8Array(2)))).toBe('EEXIST');
  expect(stat(lab.path('a'))).toMatchObject({ size: 1, mode: 0o100600 });
  expect(codeOf(() => createFile(lab.path('no', 'folder'), new Uint8Array(2)))).toBe('ENOENT');
  // A limit on file sizes stands for every way a write can end early.
  const script = lab.path('large.ts');
  writeFileSync(
    script,
    `import { createFile } from ${FILES};
     try { createFile(${JSON.stringify(lab.path('large'))}, new Uint8Array(1 << 20)); console.log('written'); }
     catch (error) { console.log(error.code); }`,
  );
  const limited = `trap '' XFSZ; ulimit -f 8; exec "${process.execPath}" "${script}"`;
  expect(lab.run(['bash', '-c', limited]).stdout.trim()).toBe('E27');
  expect(existsSync(lab.path('large'))).toBe(false);
});

test('modes are those asked for', () => {
  using lab = new Lab();
  createFile(lab.path('program'), new Uint8Array(1), 0o755);
  createFile(lab.path('data'), new Uint8Array(1));
  expect([isExecutable(lab.path('program')), isExecutable(lab.path('data'))]).toEqual([true, false]);
  makeDirectory(lab.path('a', 'b', 'c'), 0o700);
  for (const name of ['a', 'a/b', 'a/b/c']) expect(statSync(lab.path(name)).mode & 0o777).toBe(0o700);
});

test('a folder is made with its parents, twice does no harm, and a file in its place is an error', () => {
  using lab = new Lab();
  makeDirectory(lab.path('a', 'b'));
  makeDirectory(lab.path('a', 'b'));
  chmodSync(lab.path('a'), 0o711);
  makeDirectory(lab.path('a', 'c'));
  expect(statSync(lab.path('a')).mode & 0o777).toBe(0o711);
  expect(readdirSync(lab.path('a'))).toEqual(['b', 'c']);
  writeFileSync(lab.path('file'), '');
  expect(codeOf(() => makeDirectory(lab.path('file')))).toBe('EEXIST');
  expect(codeOf(() => makeDirectory(lab.path('file', 'below')))).toBe('ENOTDIR');
});

test('renaming replaces, linking does not, removing tells whether there was something', () => {
  using lab = new Lab();
  const [a, b] = [lab.path('a'), lab.path('b')];
  writeFileSync(a, 'a');
  writeFileSync(b, 'b');
  expect(codeOf(() => link(a, b))).toBe('EEXIST');
  rename(a, b);
  expect([readFileSync(b, 'utf8'), existsSync(a)]).toEqual(['a', false]);
  link(b, a);
  expect(statSync(a).ino).toBe(statSync(b).ino);
  // rename(2) of two names of one inode keeps both.
  rename(a, b);
  expect(existsSync(a)).toBe(true);
  expect([removeFile(a), removeFile(a), removeFile(lab.path('b', 'below'))]).toEqual([true, false, false]);
  expect(codeOf(() => rename(lab.path('none'), b))).toBe('ENOENT');
  expect(codeOf(() => removeFile(lab.root))).toBe('EISDIR');
});

test('a signature changes with content, time, inode and number of links', () => {
  using lab = new Lab();
  const file = lab.path('file');
  writeFileSync(file, 'x');
  utimesSync(file, 1, 1);
  const signature = (): string => {
    const info = stat(file);
    return info === undefined ? 'none' : signatureOf(info);
  };
  const seen = [signature()];
  utimesSync(file, 2, 2);
  seen.push(signature());
  writeFileSync(file, 'xy');
  seen.push(signature());
  writeFileSync(lab.path('other'), 'xy');
  rename(lab.path('other'), file);
  seen.push(signature());
  expect(new Set(seen).size).toBe(seen.length);
  expect(signature()).toBe(seen.at(-1) ?? '');
});

test('touching takes the clock of the kernel and leaves the rest', () => {
  using lab = new Lab();
  const file = lab.path('file');
  writeFileSync(file, 'x');
  utimesSync(file, 100, 100);
  touch(file);
  writeFileSync(lab.path('fresh'), 'x');
  const [touched, fresh] = [statSync(file, { bigint: true }), statSync(lab.path('fresh'), { bigint: true })];
  expect(touched.mtimeNs).toBeLessThanOrEqual(fresh.mtimeNs);
  expect(fresh.mtimeNs - touched.mtimeNs).toBeLessThan(1_000_000_000n);
  expect(touched.atimeMs).toBe(100_000n);
  expect(codeOf(() => touch(lab.path('none')))).toBe('ENOENT');
  utimesSync(file, 1, 1);
  const info = stat(file);
  expect(info && touchedMs(info) > 1000).toBe(true);
});

test('folders list every name, however odd, and what each one is', () => {
  using lab = new Lab();
  const names = [
    'plain',
    'with blank',
    'two\nlines',
    'ünïcode',
    'u\u0308', // the same letter to a reader, another name to the kernel
    '\u00fc',
    '-dash',
    '...',
    '\\back',
    'x'.repeat(255),
    ...Array.from({ length: 3000 }, (_, n) => `many${n}`),
  ];
  for (const name of names) writeFileSync(lab.path('home', name), '');
  mkdirSync(lab.path('home', 'folder'));
  symlinkSync('plain', lab.path('home', 'link'));
  symlinkSync('folder', lab.path('home', 'folder-link'));
  expect(lab.run(['mkfifo', lab.path('home', 'pipe')]).status).toBe(0);
  const listed = listDirectory(lab.path('home')) ?? [];
  const of = (kind: string): string[] =>
    listed
      .filter((entry) => entry.kind === kind)
      .map(({ name }) => name)
      .sort();
  expect(of('file')).toEqual(names.sort());
  expect(of('directory')).toEqual(['folder']);
  expect(of('other')).toEqual(['folder-link', 'link', 'pipe']);
  mkdirSync(lab.path('empty'));
  expect(listDirectory(lab.path('empty'))).toEqual([]);
});

test('a path is resolved through every link', () => {
  using lab = new Lab();
  mkdirSync(lab.path('real'));
  writeFileSync(lab.path('real', 'file'), '');
  symlinkSync('real', lab.path('alias'));
  symlinkSync(lab.path('alias', 'file'), lab.path('twice'));
  const root = realPath(lab.root);
  expect(realPath(lab.path('twice'))).toBe(`${root}/real/file`);
  expect(realPath('/')).toBe('/');
});

test('best effort forgives the file system and nothing else', () => {
  using lab = new Lab();
  expect(bestEffort(() => {})).toBe(true);
  expect(bestEffort(() => rename(lab.path('none'), lab.path('b')))).toBe(false);
  expect(() =>
    bestEffort(() => {
      throw new TypeError('a mistake of ours');
    }),
  ).toThrow(TypeError);
});

test('an error names what was tried, on what, and why it failed', () => {
  using lab = new Lab();
  writeFileSync(lab.path('a'), '');
  linkSync(lab.path('a'), lab.path('b'));
  expect(() => link(lab.path('a'), lab.path('b'))).toThrow(`Cannot link "${lab.path('b')}": EEXIST`);
  expect(() => openFile(lab.path('none'), O.RDONLY)).toThrow(`Cannot open "${lab.path('none')}": ENOENT`);
});
