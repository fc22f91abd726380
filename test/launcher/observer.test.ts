// Which paths the observer notices: every system call that takes one, with what is done there and what was there before.
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import { mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { isLinux, ObserverLab, type Record } from '../support/observed.ts';

const onLinux = test.if(isLinux);
const lab = new ObserverLab();
afterAll(() => lab[Symbol.dispose]());

/** A call in C, made in a folder as {@link newFolder} makes it; and what the log says of that folder, in its order. */
type Case = readonly [name: string, code: string, expected: readonly string[]];

/** Calls that arm64 does not have: there the C library makes others of them. */
const ONLY_X86: readonly Case[] = [
  ['open', 'ok(syscall(SYS_open, "file", O_RDONLY))', ['saw f file']],
  ['open to write', 'ok(syscall(SYS_open, "file", O_WRONLY))', ['wrote f file']],
  ['creat', 'ok(syscall(SYS_creat, "new", 0644))', ['wrote - new']],
  ['stat', 'ok(syscall(SYS_stat, "file", &info))', ['saw f file']],
  ['lstat', 'ok(syscall(SYS_lstat, "dangling", &info))', ['saw o dangling', 'saw - nowhere']],
  ['access', 'syscall(SYS_access, "absent", R_OK)', ['saw - absent']],
  ['readlink', 'ok(syscall(SYS_readlink, "link", text, 100))', ['saw f link', 'saw f file']],
  ['rename', 'ok(syscall(SYS_rename, "file", "new"))', ['wrote f file', 'wrote - new']],
  ['link', 'ok(syscall(SYS_link, "file", "new"))', ['wrote f file', 'wrote - new']],
  ['symlink', 'ok(syscall(SYS_symlink, "file", "new"))', ['wrote - new']],
  ['mkdir', 'ok(syscall(SYS_mkdir, "new", 0755))', ['wrote - new']],
  ['mkdir of what is there', 'mkdir("dir", 0755)', ['saw d dir']],
  ['creat of what is there', 'ok(syscall(SYS_creat, "file", 0644))', ['wrote f file']],
  ['mknod', 'ok(syscall(SYS_mknod, "new", S_IFIFO | 0600, 0))', ['wrote - new']],
  ['rmdir', 'ok(syscall(SYS_rmdir, "empty"))', ['wrote d empty']],
  ['unlink', 'ok(syscall(SYS_unlink, "file"))', ['wrote f file']],
  ['unlink of nothing', 'syscall(SYS_unlink, "absent")', ['saw - absent']],
  ['unlink of a link', 'ok(syscall(SYS_unlink, "link"))', ['wrote f link']],
  ['chmod through a link', 'ok(syscall(SYS_chmod, "link", 0600))', ['saw f link', 'wrote f file']],
  ['chown', 'ok(syscall(SYS_chown, "file", -1, -1))', ['wrote f file']],
  ['lchown', 'ok(syscall(SYS_lchown, "link", -1, -1))', ['wrote f link']],
  ['utime', 'ok(syscall(SYS_utime, "file", NULL))', ['wrote f file']],
  ['utimes', 'ok(syscall(SYS_utimes, "file", NULL))', ['wrote f file']],
  ['futimesat', 'ok(syscall(SYS_futimesat, AT_FDCWD, "file", NULL))', ['wrote f file']],
  ['uselib', 'syscall(SYS_uselib, "file")', ['saw f file']],
  ['getdents', 'ok(syscall(SYS_getdents, ok(open("dir", O_RDONLY)), text, 1000))', ['listed d dir']],
];

const EVERYWHERE: readonly Case[] = [
  ['openat', 'ok(openat(AT_FDCWD, "file", O_RDONLY))', ['saw f file']],
  ['a file that is absent', 'open("absent", O_RDONLY)', ['saw - absent']],
  ['to write where nothing is', 'open("absent", O_WRONLY)', ['saw - absent']],
  ['to make a file', 'ok(open("new", O_RDWR | O_CREAT, 0644))', ['wrote - new']],
  ['to make a file that is there', 'ok(open("file", O_RDONLY | O_CREAT, 0644))', ['wrote f file']],
  ['to empty a file', 'ok(open("file", O_RDONLY | O_TRUNC))', ['wrote f file']],
  ['to write through a link', 'ok(open("link", O_WRONLY))', ['saw f link', 'wrote f file']],
  [
    'to make what a link leads to',
    'ok(open("dangling", O_WRONLY | O_CREAT, 0644))',
    ['saw o dangling', 'wrote - nowhere'],
  ],
  ['O_PATH', 'ok(open("dir", O_PATH))', ['saw d dir']],
  ['O_TMPFILE', 'open("dir", O_TMPFILE | O_RDWR, 0600)', ['saw d dir']],
  [
    'below a descriptor',
    'ok(openat(ok(open("dir", O_RDONLY)), "inner", O_RDONLY))',
    ['listed d dir', 'saw f dir/inner'],
  ],
  ['below O_PATH', 'ok(openat(ok(open("dir", O_PATH)), ".", O_RDONLY))', ['saw d dir', 'listed d dir']],
  ['below no descriptor', 'openat(99, "file", O_RDONLY)', ['lost a path that cannot be told']],
  ['absolute, below no descriptor', 'ok(openat(99, absolute("file"), O_RDONLY))', ['saw f file']],
  ['openat2', 'how[0] = O_RDONLY; ok(syscall(437, AT_FDCWD, "file", how, 24))', ['saw f file']],
  ['openat2 to write', 'how[0] = O_WRONLY; ok(syscall(437, AT_FDCWD, "file", how, 24))', ['wrote f file']],
  ['opendir', 'if (!readdir(opendir("dir"))) exit(9)', ['listed d dir']],
  ['fstatat', 'ok(fstatat(AT_FDCWD, "dir", &info, 0))', ['saw d dir']],
  [
    'fstatat of a link',
    'ok(fstatat(AT_FDCWD, "link", &info, AT_SYMLINK_NOFOLLOW))',
    ['saw f link', 'saw f file'],
  ],
  ['fstatat of a descriptor', 'ok(fstatat(0, "", &info, AT_EMPTY_PATH))', []],
  ['statx', 'ok(statx(AT_FDCWD, "file", 0, 0xfff, text))', ['saw f file']],
  ['statx without a path', 'syscall(SYS_statx, 0, NULL, AT_EMPTY_PATH, 0xfff, text)', []],
  ['faccessat', 'ok(faccessat(AT_FDCWD, "file", R_OK, 0))', ['saw f file']],
  ['faccessat2', 'ok(syscall(439, AT_FDCWD, "file", R_OK, AT_EACCESS))', ['saw f file']],
  ['readlinkat', 'ok(readlinkat(AT_FDCWD, "dangling", text, 100))', ['saw o dangling', 'saw - nowhere']],
  ['chdir', 'ok(chdir("dir")); ok(open("inner", O_RDONLY))', ['saw d dir', 'saw f dir/inner']],
  [
    'fchdir',
    'ok(fchdir(ok(open("dir", O_PATH)))); ok(access("inner", R_OK))',
    ['saw d dir', 'saw f dir/inner'],
  ],
  [
    'chdir of another thread',
    'in_thread(move_in); ok(open("inner", O_RDONLY))',
    ['saw d dir', 'saw f dir/inner'],
  ],
  [
    'a folder that is gone',
    'ok(chdir("empty")); ok(rmdir("../empty")); open("x", O_RDONLY)',
    ['saw d empty', 'wrote d empty', 'lost a path that cannot be told'],
  ],
  ['statfs', 'ok(statfs("file", text))', ['saw f file']],
  ['getxattr', 'getxattr("file", "user.x", text, 100)', ['saw f file']],
  ['lgetxattr', 'lgetxattr("file", "user.x", text, 100)', ['saw f file']],
  ['listxattr', 'listxattr("file", text, 100)', ['saw f file']],
  ['llistxattr', 'llistxattr("file", text, 100)', ['saw f file']],
  ['getxattrat', 'syscall(464, AT_FDCWD, "file", 0, "user.x", how, 16)', ['saw f file']],
  ['listxattrat', 'syscall(465, AT_FDCWD, "file", 0, text, 100)', ['saw f file']],
  ['file_getattr', 'syscall(468, AT_FDCWD, "file", how, 24, 0)', ['saw f file']],
  [
    'renameat',
    'ok(renameat(AT_FDCWD, "file", ok(open("dir", O_PATH)), "new"))',
    ['saw d dir', 'wrote f file', 'wrote - dir/new'],
  ],
  [
    'renameat2',
    'ok(syscall(SYS_renameat2, AT_FDCWD, "dir", AT_FDCWD, "new", 0))',
    ['wrote d dir', 'wrote - new'],
  ],
  [
    'renameat2 of nothing',
    'syscall(SYS_renameat2, AT_FDCWD, "absent", AT_FDCWD, "new", 0)',
    ['saw - absent', 'wrote - new'],
  ],
  ['linkat', 'ok(linkat(AT_FDCWD, "file", AT_FDCWD, "new", 0))', ['wrote f file', 'wrote - new']],
  ['symlinkat', 'ok(symlinkat("file", AT_FDCWD, "new"))', ['wrote - new']],
  ['mkdirat', 'ok(mkdirat(AT_FDCWD, "new/", 0755))', ['wrote - new']],
  ['mknodat', 'ok(mknodat(AT_FDCWD, "new", S_IFREG | 0600, 0))', ['wrote - new']],
  ['unlinkat', 'ok(unlinkat(AT_FDCWD, "empty", AT_REMOVEDIR))', ['wrote d empty']],
  ['truncate', 'ok(truncate("file", 1))', ['wrote f file']],
  ['fchmodat', 'ok(fchmodat(AT_FDCWD, "file", 0600, 0))', ['wrote f file']],
  ['fchmodat2', 'syscall(452, AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW)', ['wrote f link']],
  ['fchownat', 'ok(fchownat(AT_FDCWD, "link", -1, -1, 0))', ['saw f link', 'wrote f file']],
  [
    'fchownat of a descriptor',
    'ok(fchownat(ok(open("file", O_PATH)), "", -1, -1, AT_EMPTY_PATH))',
    ['saw f file', 'wrote f file'],
  ],
  ['utimensat', 'ok(utimensat(AT_FDCWD, "link", NULL, AT_SYMLINK_NOFOLLOW))', ['wrote f link']],
  ['futimens', 'ok(futimens(ok(open("file", O_RDONLY)), NULL))', ['saw f file', 'wrote f file']],
  ['fchmod', 'ok(fchmod(ok(open("file", O_RDONLY)), 0600))', ['saw f file', 'wrote f file']],
  ['fchmod of a pipe', 'ok(pipe(ends)); fchmod(ends[0], 0600)', []],
  ['fchown', 'ok(fchown(ok(open("file", O_RDONLY)), -1, -1))', ['saw f file', 'wrote f file']],
  ['setxattr', 'setxattr("file", "user.x", "1", 1, 0)', ['wrote f file']],
  ['lsetxattr', 'lsetxattr("link", "user.x", "1", 1, 0)', ['wrote f link']],
  ['fsetxattr', 'fsetxattr(ok(open("file", O_RDONLY)), "user.x", "1", 1, 0)', ['saw f file', 'wrote f file']],
  ['setxattrat', 'syscall(463, AT_FDCWD, "file", 0, "user.x", how, 16)', ['wrote f file']],
  ['removexattr', 'removexattr("file", "user.x")', ['wrote f file']],
  ['lremovexattr', 'lremovexattr("file", "user.x")', ['wrote f file']],
  ['fremovexattr', 'fremovexattr(ok(open("file", O_RDONLY)), "user.x")', ['saw f file', 'wrote f file']],
  ['removexattrat', 'syscall(466, AT_FDCWD, "file", 0, "user.x")', ['wrote f file']],
  ['file_setattr', 'syscall(469, AT_FDCWD, "file", how, 24, 0)', ['wrote f file']],
  [
    '/proc/self/fd',
    'ok(open(numbered("/proc/self/fd/%d", ok(open("file", O_PATH))), O_RDONLY))',
    ['saw f file'],
  ],
  [
    '/proc/<pid>/fd',
    'how[0] = ok(open("file", O_PATH)); ok(open(numbered(numbered("/proc/%d/fd/%%d", getpid()), how[0]), O_RDONLY))',
    ['saw f file'],
  ],
  [
    '/dev/fd to write',
    'ok(open(numbered("/dev/fd/%d", ok(open("file", O_RDONLY))), O_WRONLY))',
    ['saw f file', 'wrote f file'],
  ],
  [
    '.. behind a descriptor',
    'dup2(ok(open("dir", O_PATH)), 7); ok(open("/dev/fd/7/../file", O_RDONLY))',
    ['saw d dir', 'saw - /proc/self/fd/7/../file'],
  ],
  ['/dev/stdin', 'dup2(ok(open("file", O_RDONLY)), 0); ok(open("/dev/stdin", O_RDONLY))', ['saw f file']],
  ['/dev/fd of a pipe', 'ok(pipe(ends)); ok(open(numbered("/dev/fd/%d", ends[0]), O_RDONLY))', []],
  [
    'a slash at the end',
    'ok(open("dir/", O_RDONLY)); open("file/", O_RDONLY)',
    ['listed d dir', 'saw f file'],
  ],
  ['dots', 'ok(open("././/dir/../dir/.", O_RDONLY))', ['saw d dir', 'listed d dir']],
  [
    '.. behind a link',
    'ok(open("far/../file", O_RDONLY))',
    ['saw d far', 'saw d elsewhere/below', 'saw f elsewhere/file'],
  ],
  ['.. behind nothing', 'open("absent/../file", O_RDONLY)', ['saw - absent', 'saw f file']],
  ['.. behind a file', 'open("file/../dir", O_RDONLY)', ['saw f file', 'listed d dir']],
  ['links on the way', 'ok(open("far/inner", O_RDONLY))', ['saw d far', 'saw f elsewhere/below/inner']],
  [
    'a link that is led elsewhere',
    'for (int i = 0; i < 2; i++) { ok(symlink(i ? "elsewhere" : "dir", "new")); stat("new/inner", &info); ok(unlink("new")); }',
    ['wrote - new', 'saw d new', 'saw f dir/inner', 'saw - elsewhere/inner'],
  ],
  [
    'a link that is renamed',
    'ok(stat("far/inner", &info)); ok(symlink("dir", "new")); ok(rename("new", "far")); ok(stat("far/inner", &info))',
    ['saw d far', 'saw f elsewhere/below/inner', 'wrote - new', 'wrote d far', 'saw f dir/inner'],
  ],
  [
    'links in a circle',
    'symlink("circle", "circle"); open("circle/x", O_RDONLY)',
    ['wrote - circle', 'saw o circle', 'saw - circle/x'],
  ],
  [
    'the first state',
    'stat("new", &info); ok(mkdir("new", 0755)); ok(stat("new", &info))',
    ['saw - new', 'wrote - new'],
  ],
  ['an empty path', 'open("", O_RDONLY); stat("", &info)', []],
  ['a path at the end of a page', 'ok(open(at_end_of_page("file"), O_RDONLY))', ['saw f file']],
  ['a path without an end', 'open(without_end(), O_RDONLY)', ['lost a path that cannot be told']],
  ['a path too long', 'open(long_path(5000), O_RDONLY)', ['lost a path that cannot be told']],
  ['an address of nothing', 'open((char *)16, O_RDONLY)', ['lost a path that cannot be told']],
  ['the last address', 'open((char *)-1, O_RDONLY)', ['lost a path that cannot be told']],
  [
    'execve',
    'char *no[] = {0}; execve("absent", no, no); ok(execve("script", no, no))',
    ['saw - absent', 'saw f script', 'saw f elsewhere/interpreter'],
  ],
  [
    'execveat',
    'char *no[] = {0}; ok(syscall(SYS_execveat, ok(open("dir", O_PATH)), "../script", no, no, 0))',
    ['saw d dir', 'saw f script', 'saw f elsewhere/interpreter'],
  ],
  [
    'execveat of a descriptor',
    'char *no[] = {0}; ok(syscall(SYS_execveat, ok(open("program", O_PATH)), "", no, no, AT_EMPTY_PATH))',
    ['saw f program'],
  ],
];

const CASES = [...EVERYWHERE, ...(process.arch === 'x64' ? ONLY_X86 : [])];

const program = lab.compile(
  'cases',
  `#define _GNU_SOURCE
  #include <dirent.h>
  #include <fcntl.h>
  #include <linux/limits.h>
  #include <pthread.h>
  #include <stdio.h>
  #include <stdlib.h>
  #include <string.h>
  #include <sys/mman.h>
  #include <sys/stat.h>
  #include <sys/syscall.h>
  #include <sys/vfs.h>
  #include <sys/xattr.h>
  #include <unistd.h>
  static char text[65536]; static struct stat info; static unsigned long how[3]; static int ends[2];
  static long ok_(long result, int line) { if (result < 0) { fprintf(stderr, "case %d: %m\\n", line); exit(1); } return result; }
  #define ok(call) ok_((long)(call), line)
  static char *numbered(const char *form, int number) { char *made = malloc(200); snprintf(made, 200, form, number); return made; }
  static char *absolute(const char *name) { char *made = getcwd(malloc(9000), 5000); return strcat(strcat(made, "/"), name); }
  static char *page(void) { char *two = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); munmap(two + 4096, 4096); return two; }
  static char *at_end_of_page(const char *name) { size_t size = strlen(name) + 1; return memcpy(page() + 4096 - size, name, size); }
  static char *without_end(void) { return memset(page(), 'a', 4096) + 4000; }
  static char *long_path(int length) { char *made = calloc(length + 1, 1); return memset(made, 'a', length); }
  static void *move_in(void *unused) { chdir("dir"); return 0; }
  static void in_thread(void *run(void *)) { pthread_t thread; pthread_create(&thread, 0, run, 0); pthread_join(thread, 0); }
  int main(int count, char **words) {
    int line = atoi(words[1]);
    switch (line) {
      ${CASES.map(([, code], at) => `case ${at}: { ${code}; return 0; }`).join('\n')}
    }
    return 8;
  }`,
);

/** A program without shared libraries, which opens nothing. */
const quiet = lab.compile('quiet', 'int main(void) { return 0; }', ['-static']);

let folder = '';
beforeEach(() => {
  folder = lab.path('case');
  rmSync(folder, { recursive: true, force: true });
  for (const dir of ['dir', 'empty', 'elsewhere/below']) mkdirSync(`${folder}/${dir}`, { recursive: true });
  for (const file of ['file', 'dir/inner', 'elsewhere/file', 'elsewhere/below/inner'])
    writeFileSync(`${folder}/${file}`, 'text\n');
  symlinkSync('file', `${folder}/link`);
  symlinkSync('nowhere', `${folder}/dangling`);
  symlinkSync(`${folder}/elsewhere/below`, `${folder}/far`);
  for (const name of ['program', 'elsewhere/interpreter']) Bun.spawnSync(['cp', quiet, `${folder}/${name}`]);
  writeFileSync(`${folder}/script`, '#! elsewhere/interpreter word\n', { mode: 0o755 });
});

/** The records of a folder, and what was lost, a line each. */
const linesOf = (records: readonly Record[]): string[] =>
  records.flatMap(([kind, state, what]) => {
    if (kind === 'lost') return [`lost ${what}`];
    if (what.startsWith(`${folder}/`)) return [`${kind} ${state} ${what.slice(folder.length + 1)}`];
    return what.startsWith('/proc/self/fd/') ? [`${kind} ${state} ${what}`] : [];
  });

describe('a system call', () => {
  for (const [at, [name, , expected]] of CASES.entries())
    onLinux(name, () => {
      const { status, stderr, records } = lab.observe([program, String(at)], { cwd: folder });
      expect({ status, stderr, lines: linesOf(records) }).toEqual({
        status: 0,
        stderr: '',
        lines: [...expected],
      });
      expect(records.at(-1)).toEqual(['ended', '', 'exited 0']);
    });
});

onLinux(
  'what the kernel starts for a program is noticed: interpreters, and interpreters of interpreters',
  () => {
    writeFileSync(`${folder}/outer`, `#!${folder}/inner-script\n`, { mode: 0o755 });
    writeFileSync(`${folder}/inner-script`, '#!/bin/sh -e\nexit 4\n', { mode: 0o755 });
    const { status, records } = lab.observe(['/bin/sh', '-c', './outer'], { cwd: folder });
    expect(status).toBe(4);
    expect(linesOf(records)).toEqual(['saw f outer', 'saw f inner-script']);
    const paths = records.map(([, , path]) => path);
    expect(paths).toContain(realpathSync('/bin/sh'));
    const loader = process.arch === 'x64' ? '/lib64/ld-linux-x86-64.so.2' : '/lib/ld-linux-aarch64.so.1';
    expect(paths).toContain(realpathSync(loader));
    // Which shell it is, a link says.
    if (realpathSync('/bin') !== '/bin') expect(records).toContainEqual(['saw', 'd', '/bin']);
  },
);

onLinux('what a script has made a link to is noticed where it lies', () => {
  const { records } = lab.observe(['/bin/sh', '-c', 'ln -s ../elsewhere empty/here && cat empty/here/file'], {
    cwd: folder,
  });
  expect(linesOf(records)).toContain('saw f elsewhere/file');
});

onLinux('a process of the run is called by no number, one of others by its own', () => {
  const script =
    'read a < /proc/self/stat; read a < /proc/$$/status; (read a < /proc/$$/stat); read a < /proc/1/stat';
  const { records } = lab.observe(['/bin/sh', '-c', script]);
  const paths = records.map(([, , path]) => path).filter((path) => /^\/proc\/(self|\d+)\/stat/.test(path));
  expect(paths).toEqual(['/proc/self/stat', '/proc/self/status', '/proc/1/stat']);
});

onLinux('a descriptor of a process outside is no descriptor of the run', () => {
  const { records } = lab.observe(['/bin/sh', '-c', `read a < /proc/${process.pid}/fd/0`]);
  expect(records.map(([, , path]) => path)).toContain(`/proc/${process.pid}/fd/0`);
});

onLinux('names that are no UTF-8 are said byte by byte', () => {
  const { words, log } = lab.command([
    '/bin/sh',
    '-c',
    'printf x > "$(printf \'caf\\351\')"; cat "$(printf \'\\377\\n\\376\')"',
  ]);
  Bun.spawnSync(words, { cwd: folder, stderr: 'ignore' });
  const said = readFileSync(log);
  for (const name of ['wrote\0-%/caf\xe9\0', 'saw\0-%/\xff\n\xfe\0'])
    expect(said.includes(Buffer.from(name.replace('%', folder), 'latin1'))).toBe(true);
});
