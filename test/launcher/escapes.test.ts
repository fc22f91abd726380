// What the observer cannot follow it says: calls by which a program reaches other processes, or the kernel's own affairs.
import { afterAll, describe, expect, test } from 'bun:test';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { isLinux, ObserverLab } from '../support/observed.ts';
import { notRun } from '../support/required.ts';

const onLinux = test.if(isLinux);
const lab = new ObserverLab();
afterAll(() => lab[Symbol.dispose]());

const SOURCE = readFileSync(join(import.meta.dir, '../../src/launcher/calls.rs'), 'utf8');

/** Calls that lead away whatever their arguments are. */
const ESCAPES = [...SOURCE.matchAll(/^ {4}\((-?\d+), (-?\d+), Escapes\("(.*)"\)\), \/\/ (\w+)$/gm)].flatMap(
  ([, x86, arm, why = '', name = '']) => {
    const number = Number(process.arch === 'x64' ? x86 : arm);
    return number < 0 ? [] : [{ name, number, why }];
  },
);

const HEAD = `#define _GNU_SOURCE
  #include <arpa/inet.h>
  #include <errno.h>
  #include <fcntl.h>
  #include <sched.h>
  #include <signal.h>
  #include <stdio.h>
  #include <stdlib.h>
  #include <string.h>
  #include <sys/ioctl.h>
  #include <sys/mman.h>
  #include <sys/socket.h>
  #include <sys/syscall.h>
  #include <sys/un.h>
  #include <sys/wait.h>
  #include <unistd.h>
`;

/** Makes one call with arguments that no kernel takes. */
const raw = lab.compile(
  'raw',
  `${HEAD} int main(int n, char **word) { syscall(atol(word[1]), -1L, -1L, -1L, -1L, -1L, -1L); return 0; }`,
);

describe('a call that leads away is said', () => {
  for (const { name, number, why } of ESCAPES)
    onLinux(name, () => {
      const { status, lost } = lab.observe([raw, String(number)]);
      expect({ status, lost }).toEqual({ status: 0, lost: [why] });
    });
});

const NOTHING: readonly string[] = [];
const ASKED = ['it asked another process'];
const SYSTEM = ['it asked the system'];
const AWAY = ['it left its namespaces'];
const UNKNOWN = ['a call that is not known here'];

/** What a program does, and why the log is not the whole then. */
const CASES: readonly (readonly [name: string, code: string, lost: readonly string[]])[] = [
  ['no call of the kind', 'getpid()', NOTHING],
  [
    'a pair of sockets',
    'int ends[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, ends); send(ends[0], "x", 1, 0); struct msghdr one = {0}; sendmsg(ends[0], &one, 0); struct mmsghdr two[2] = {0}; sendmmsg(ends[0], two, 2, 0)',
    NOTHING,
  ],
  [
    'a socket that asks nobody',
    'socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); socket(AF_INET6, SOCK_DGRAM, 0); socket(AF_UNIX, SOCK_STREAM, 0)',
    NOTHING,
  ],
  ['connect to nobody', 'connect_to("/nonexistent/socket")', NOTHING],
  ['connect to somebody', 'connect_to(words[2])', ASKED],
  ['connect to a relative path', 'connect_to("nonexistent")', ASKED],
  ['connect to an abstract name', 'connect_to("")', ASKED],
  [
    'connect over the network',
    'to.sin_port = htons(9); connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&to, sizeof to)',
    ASKED,
  ],
  [
    'connect to an address of nothing',
    'connect(socket(AF_INET, SOCK_STREAM, 0), (void *)16, sizeof to)',
    ['a path that cannot be told'],
  ],
  ['sendto', 'sendto(socket(AF_INET, SOCK_DGRAM, 0), "x", 1, 0, (void *)&to, sizeof to)', ASKED],
  [
    'sendmsg',
    'struct msghdr one = {&to, sizeof to}; sendmsg(socket(AF_INET, SOCK_DGRAM, 0), &one, 0)',
    ASKED,
  ],
  [
    'sendmmsg, the second',
    'struct mmsghdr two[2] = {0}; two[1].msg_hdr.msg_name = &to; sendmmsg(socket(AF_INET, SOCK_DGRAM, 0), two, 2, 0)',
    ASKED,
  ],
  ['a netlink socket', 'socket(AF_NETLINK, SOCK_RAW, 0)', SYSTEM],
  ['a raw socket', 'socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1)', SYSTEM],
  ['a packet socket', 'socket(AF_PACKET, SOCK_DGRAM, 0)', SYSTEM],
  [
    'the addresses of the machine',
    'char text[100] = {0}; ioctl(socket(AF_UNIX, SOCK_DGRAM, 0), 0x8912, text)',
    SYSTEM,
  ],
  ['another ioctl', 'char text[100]; ioctl(0, TCGETS, text)', NOTHING],
  [
    'a thread and a process',
    'if (fork() == 0) _exit(0); if (vfork() == 0) _exit(0); wait(0); wait(0)',
    NOTHING,
  ],
  [
    'clone into a namespace',
    'if (syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0) == 0) _exit(0); wait(0)',
    AWAY,
  ],
  [
    'clone past the observer',
    'if (syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0) == 0) _exit(0); wait(0)',
    AWAY,
  ],
  [
    'clone3 into a namespace',
    'unsigned long how[8] = {CLONE_NEWNS, 0, 0, 0, SIGCHLD}; if (syscall(435, how, sizeof how) == 0) _exit(0); wait(0)',
    AWAY,
  ],
  [
    'clone3',
    'unsigned long how[8] = {0, 0, 0, 0, SIGCHLD}; if (syscall(435, how, sizeof how) == 0) _exit(0); wait(0)',
    NOTHING,
  ],
  ['a filter of its own', 'filter(0)', NOTHING],
  ['a filter with a listener', 'filter(8)', ['it watches its own calls']],
  ['a filter that stops for a tracer', 'filter(0x10000)', UNKNOWN],
  ['a call newer than all', 'syscall(470); syscall(100000)', UNKNOWN],
  ['a call that is none', 'syscall(-1)', UNKNOWN],
];

const ONLY_X86: typeof CASES = [['a call of x32', 'syscall(0x40000000 | 39)', UNKNOWN]];

const ALL = [...CASES, ...(process.arch === 'x64' ? ONLY_X86 : [])];

const program = lab.compile(
  'escaping',
  `${HEAD}
  #include <linux/filter.h>
  #include <linux/seccomp.h>
  #include <sys/prctl.h>
  static void connect_to(const char *path) {
    struct sockaddr_un to = {AF_UNIX};
    strcpy(to.sun_path, path);
    connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, sizeof to);
  }
  static void filter(unsigned how) {
    struct sock_filter steps[] = {
      {0x20, 0, 0, 0}, {0x15, 0, 1, SYS_getppid}, {6, 0, 0, how >> 16 ? SECCOMP_RET_TRACE : SECCOMP_RET_ERRNO | 7}, {6, 0, 0, SECCOMP_RET_ALLOW},
    };
    struct sock_fprog all = {4, steps};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_seccomp, 1, how & 0xffff, &all) < 0) exit(1);
    // What it has forbidden stays forbidden.
    if (syscall(SYS_getppid) != -1 && !(how >> 16)) exit(2);
  }
  int main(int count, char **words) {
    struct sockaddr_in to = {AF_INET, 0, {htonl(0x7f000001)}};
    switch (atoi(words[1])) {
      ${ALL.map(([, code], at) => `case ${at}: { ${code}; return 0; }`).join('\n')}
    }
    return 8;
  }`,
);

describe('a program', () => {
  for (const [at, [name, , expected]] of ALL.entries())
    onLinux(name, async () => {
      const socket = lab.path('socket');
      const server = createServer();
      await new Promise<void>((done) => server.listen(socket, done));
      try {
        const { status, lost } = lab.observe([program, String(at), socket]);
        expect({ status, lost }).toEqual({ status: 0, lost: [...expected] });
      } finally {
        server.close();
        rmSync(socket, { force: true });
      }
    });
});

onLinux('where nobody listens is noticed as a path', () => {
  const at = ALL.findIndex(([name]) => name === 'connect to nobody');
  const { records } = lab.observe([program, String(at)]);
  expect(records).toContainEqual(['saw', '-', '/nonexistent/socket']);
});

onLinux('to look up a user reads files; to look up a host asks another process', () => {
  const look = lab.compile(
    'look-up',
    `#define _GNU_SOURCE
    #include <netdb.h>
    #include <pwd.h>
    #include <stdio.h>
    int main(int count, char **words) {
      struct addrinfo *found;
      if (count == 1) return puts(getpwuid(0)->pw_name) < 0;
      return getaddrinfo(words[1], "80", 0, &found) && 0;
    }`,
  );
  const user = lab.observe([look]);
  expect(user.stdout).toBe('root\n');
  expect(user.records).toContainEqual(['saw', 'f', '/etc/passwd']);
  // Where the machine has a daemon for names, that is another process.
  if (user.lost.length > 0) notRun('the look-up of a user in files', `${user.lost}`);
  else expect(user.records).toContainEqual(['ended', '', 'exited 0']);
  const host = lab.observe([look, 'kache.invalid']);
  expect(host.records).toContainEqual(['saw', 'f', '/etc/resolv.conf']);
  expect(host.lost).not.toEqual([]);
});

onLinux('a call of 32 bits', () => {
  if (process.arch !== 'x64') return;
  const old = lab.compile(
    'of-32-bits',
    'int main(void) { int result; __asm__ volatile ("int $0x80" : "=a"(result) : "a"(20) : "memory"); return result <= 0; }',
  );
  if (Bun.spawnSync([old]).exitCode !== 0) return notRun('a call of 32 bits', 'the kernel has none');
  const { status, lost } = lab.observe([old]);
  expect({ status, lost }).toEqual({ status: 0, lost: [...UNKNOWN] });
});
