// Whatever processes a program is made of, the observer follows them all, ends as the program ends, and is in nobody's way.
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { isLinux, ObserverLab, readLog } from '../support/observed.ts';
import { notRun } from '../support/required.ts';

const onLinux = test.if(isLinux);
const lab = new ObserverLab();
afterAll(() => lab[Symbol.dispose]());

const folder = lab.path('work');
beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
});

const shell = (script: string, more: Parameters<typeof lab.observe>[1] = {}) =>
  lab.observe(['/bin/sh', '-c', script], { cwd: folder, ...more });

/** Waits until something holds. */
async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error('it does not come to hold');
    await Bun.sleep(2);
  }
}

const isAlive = (pid: number): boolean => {
  const status = existsSync(`/proc/${pid}`) ? readFileSync(`/proc/${pid}/status`, 'utf8') : '';
  return status !== '' && !/^State:\s+[ZX]/m.test(status);
};

const HEAD = `#define _GNU_SOURCE
  #include <fcntl.h>
  #include <pthread.h>
  #include <signal.h>
  #include <stdio.h>
  #include <stdlib.h>
  #include <string.h>
  #include <sys/ptrace.h>
  #include <sys/syscall.h>
  #include <sys/types.h>
  #include <sys/wait.h>
  #include <unistd.h>
  static char name[100];
  static const char *numbered(const char *form, int at) { snprintf(name, 100, form, at); return name; }
`;

/** The numbers of the files `look-N` that were looked at. */
const looks = (records: readonly (readonly [string, string, string])[]): number[] =>
  records
    .flatMap(([kind, state, path]) => {
      const number = /\/look-(\d+)$/.exec(path)?.[1];
      return kind === 'saw' && state === '-' && number !== undefined ? [Number(number)] : [];
    })
    .sort((a, b) => a - b);

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

describe('every process is followed', () => {
  const many = lab.compile(
    'many',
    `${HEAD}
    static void look(int at) { if (access(numbered("look-%d", at), R_OK) == 0) exit(9); }
    static void *look_in_thread(void *at) { char own[100]; snprintf(own, 100, "look-%d", (int)(long)at); open(own, O_RDONLY); return 0; }
    static void *become(void *words) { char **to = words; execv(to[0], to); exit(9); }
    static void *stay(void *unused) { for (;;) pause(); }
    static void deep(int at, int depth) {
      look(at);
      if (at + 1 == depth) exit(0);
      if (fork() == 0) deep(at + 1, depth);
      int status; wait(&status); exit(WEXITSTATUS(status));
    }
    int main(int count, char **words) {
      const char *way = words[1]; int much = atoi(words[2]); pthread_t threads[1000]; int status;
      if (!strcmp(way, "look")) { look(much); return 0; }
      if (!strcmp(way, "forks")) {
        for (int at = 0; at < much; at++) if (fork() == 0) { look(at); _exit(0); }
        while (wait(&status) > 0) if (status) return 1;
        return 0;
      }
      if (!strcmp(way, "threads")) {
        for (int at = 0; at < much; at++) if (pthread_create(threads + at, 0, look_in_thread, (void *)(long)at)) return 1;
        for (int at = 0; at < much; at++) pthread_join(threads[at], 0);
        return 0;
      }
      if (!strcmp(way, "deep")) deep(0, much);
      if (!strcmp(way, "vfork")) {
        for (int at = 0; at < much; at++) {
          char text[20]; snprintf(text, 20, "%d", at); char *to[] = {words[0], "look", text, 0};
          if (vfork() == 0) { execv(to[0], to); _exit(9); }
          wait(&status); if (status) return 1;
        }
        return 0;
      }
      if (!strcmp(way, "exec-of-thread")) {
        look(0);
        char *to[] = {words[0], "look", "1", 0};
        for (int at = 0; at < 20; at++) pthread_create(threads + at, 0, stay, 0);
        pthread_create(threads, 0, become, to);
        for (;;) pause();
      }
      if (!strcmp(way, "leader-first")) {
        pthread_create(threads, 0, look_in_thread, (void *)0);
        pthread_exit(0);
      }
      if (!strcmp(way, "killed-threads")) {
        // Threads that are killed in the middle of their calls.
        for (int at = 0; at < 20; at++) pthread_create(threads + at, 0, look_in_thread, (void *)(long)at);
        exit(0);
      }
      return 8;
    }`,
  );
  for (const [way, count, expected] of [
    ['forks', 200, 200],
    ['threads', 100, 100],
    ['deep', 60, 60],
    ['vfork', 20, 20],
    ['exec-of-thread', 1, 2],
    ['leader-first', 1, 1],
  ] as const)
    onLinux(way, () => {
      const { status, stderr, records, lost } = lab.observe([many, way, String(count)], { cwd: folder });
      expect({ status, stderr, lost }).toEqual({ status: 0, stderr: '', lost: [] });
      expect(looks(records)).toEqual(upTo(expected));
      expect(records.at(-1)).toEqual(['ended', '', 'exited 0']);
    });

  onLinux('threads that are killed in the middle of a call lose nothing', () => {
    for (let at = 0; at < 30; at++) {
      const { status, lost } = lab.observe([many, 'killed-threads', '1'], { cwd: folder });
      expect({ status, lost }).toEqual({ status: 0, lost: [] });
    }
  });

  onLinux('a program in Rust', () => {
    const source = lab.write(
      'threads.rs',
      `use std::process::Command;
      fn main() {
        let all: Vec<_> = (0..8).map(|at| std::thread::spawn(move || std::fs::metadata(format!("look-{at}")).is_err())).collect();
        assert!(all.into_iter().all(|one| one.join().unwrap()));
        assert!(Command::new("cat").arg("look-8").status().unwrap().code() == Some(1));
        println!("{:?}", std::fs::read_dir(".").unwrap().count());
      }`,
    );
    const made = Bun.spawnSync(['rustc', '-o', lab.path('threads'), source]);
    expect(made.stderr.toString()).toBe('');
    const { status, stdout, records, lost } = lab.observe([lab.path('threads')], { cwd: folder });
    expect({ status, stdout, lost }).toEqual({ status: 0, stdout: '0\n', lost: [] });
    expect(looks(records)).toEqual(upTo(9));
    expect(records).toContainEqual(['listed', 'd', folder]);
  });

  onLinux('a static program', () => {
    const quiet = lab.compile('static', 'int main(int n, char **w) { return access("look-0", 0) != -1; }', [
      '-static',
    ]);
    const { status, records } = lab.observe([quiet], { cwd: folder });
    expect(status).toBe(0);
    const program: [string, string, string] = ['saw', 'f', quiet];
    // Where it lies the C library asks for itself.
    const others = records.filter(([, , path]) => path !== '/proc/self/exe');
    expect(others).toEqual([program, ['saw', '-', `${folder}/look-0`], ['ended', '', 'exited 0']]);
  });
});

describe('it ends as the program ends', () => {
  onLinux('with every code', () => {
    for (const code of [0, 1, 2, 77, 126, 127, 128, 255]) {
      const { status, records } = shell(`exit ${code}`);
      expect(status).toBe(code);
      expect(records.at(-1)).toEqual(['ended', '', `exited ${code}`]);
    }
  });

  for (const [signal, number] of [
    ['SIGTERM', 15],
    ['SIGKILL', 9],
    ['SIGINT', 2],
    ['SIGABRT', 6],
    ['SIGPIPE', 13],
    ['SIGTRAP', 5],
    ['SIGUSR1', 10],
  ] as const)
    onLinux(`by ${signal}`, () => {
      const done = shell(`ulimit -c 0; kill -${number} $$`);
      expect(done.signal).toBe(signal);
      expect(done.records.at(-1)).toEqual(['ended', '', `signalled ${number}`]);
    });

  onLinux('by a fault of its own', () => {
    const faulty = lab.compile('faulty', 'int main(void) { return *(volatile int *)16; }');
    const done = shell(`ulimit -c 0; exec ${faulty}`);
    expect(done.signal).toBe('SIGSEGV');
    expect(done.records.at(-1)).toEqual(['ended', '', 'signalled 11']);
  });

  onLinux('with 127 when it cannot be started', () => {
    const missing = lab.observe([lab.path('missing')]);
    expect(missing.status).toBe(127);
    expect(missing.stderr).toContain('cannot run');
    expect(lab.observe([lab.write('no-program', 'text\n', 0o755)]).status).toBe(127);
    expect(lab.observe([lab.write('no-interpreter', '#!/nonexistent/sh\n', 0o755)]).status).toBe(127);
  });

  onLinux('where no log can be written the program runs, and there is no log', () => {
    const { words } = lab.command(['/bin/sh', '-c', 'echo ran; exit 3']);
    words[2] = lab.path('missing-folder', 'log');
    const done = Bun.spawnSync(words);
    expect([done.exitCode, done.stdout.toString()]).toEqual([3, 'ran\n']);
    expect(existsSync(lab.path('missing-folder'))).toBe(false);
  });

  onLinux('where the log does not fit it has no end', () => {
    const { words } = lab.command(['/bin/sh', '-c', 'cat /etc/passwd > /dev/null; exit 3']);
    words[2] = '/dev/full';
    expect(Bun.spawnSync(words).exitCode).toBe(3);
    // A file that may not grow stands for a disk that is full in the middle.
    const limited = lab.command([
      '/bin/sh',
      '-c',
      'trap "" XFSZ; for a in $(seq 200); do [ -e /absent-$a ]; done; exit 3',
    ]);
    const done = Bun.spawnSync([
      '/bin/sh',
      '-c',
      'trap "" XFSZ; ulimit -f 1; exec "$0" "$@"',
      ...limited.words,
    ]);
    expect(done.exitCode).toBe(3);
    const { records } = readLog(limited.log);
    expect(records.length).toBeGreaterThan(5);
    expect(records.filter(([kind]) => kind === 'ended')).toEqual([]);
  });

  onLinux('where it cannot start a process it becomes the program', () => {
    if (process.getuid?.() !== 0)
      return notRun('the observer without processes', 'only root can be another user');
    const limited = lab.compile(
      'limited',
      `${HEAD}
      #include <sys/resource.h>
      int main(int count, char **words) {
        int most = atoi(words[1]); struct rlimit limit = {most, most};
        if (setrlimit(RLIMIT_NPROC, &limit) || setuid(3141592)) return 9;
        execv(words[2], words + 2); return 8;
      }`,
    );
    chmodSync(lab.root, 0o755);
    for (const processes of [1, 2]) {
      const { words, log } = lab.command(['/bin/sh', '-c', 'echo ran; exit 3']);
      chmodSync(dirname(log), 0o777);
      const done = Bun.spawnSync([limited, String(processes), ...words]);
      expect([done.exitCode, done.stdout.toString()]).toEqual([3, 'ran\n']);
      expect(readLog(log).records).toEqual([]);
    }
  });

  onLinux('called without a program it does nothing', () => {
    expect(Bun.spawnSync([lab.launcher, '--observe']).exitCode).toBe(2);
    expect(Bun.spawnSync([lab.launcher, '--observe', lab.path('log'), 'name']).exitCode).toBe(2);
  });
});

describe('signals', () => {
  onLinux('handlers run, and calls they interrupt go on', () => {
    const handled = lab.compile(
      'handled',
      `${HEAD}
      static int caught;
      static void catch(int number) { caught++; access("look-0", R_OK); }
      int main(void) {
        struct sigaction how = {.sa_handler = catch, .sa_flags = SA_RESTART};
        int ends[2]; char one; pipe(ends);
        sigaction(SIGUSR1, &how, 0); sigaction(SIGTRAP, &how, 0); sigaction(SIGCHLD, &how, 0);
        if (fork() == 0) {
          for (int at = 0; at < 50; at++) kill(getppid(), at % 2 ? SIGUSR1 : SIGTRAP), usleep(200);
          write(ends[1], "x", 1); _exit(0);
        }
        if (read(ends[0], &one, 1) != 1) return 1;
        while (wait(0) > 0);
        return caught > 2 ? 0 : 2;
      }`,
    );
    const { status, records, lost } = lab.observe([handled], { cwd: folder });
    expect({ status, lost }).toEqual({ status: 0, lost: [] });
    expect(looks(records)).toEqual([0]);
  });

  onLinux('a process that is stopped stays so until it is told to go on', () => {
    const stopped = lab.compile(
      'stopped',
      `${HEAD}
      int main(void) {
        int status; pid_t child = fork();
        if (child == 0) { raise(SIGSTOP); access("look-0", R_OK); raise(SIGSTOP); access("look-1", R_OK); _exit(7); }
        for (int at = 0; at < 2; at++) {
          if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status)) return 1;
          kill(child, SIGCONT);
          if (waitpid(child, &status, WCONTINUED) != child || !WIFCONTINUED(status)) return 2;
        }
        return waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7 ? 0 : 3;
      }`,
    );
    const { status, records, lost } = lab.observe([stopped], { cwd: folder });
    expect({ status, lost }).toEqual({ status: 0, lost: [] });
    expect(looks(records)).toEqual([0, 1]);
  });

  onLinux('an observer under an observer lets the program run', () => {
    const { words, log } = lab.command(['/bin/sh', '-c', 'echo ran; cat look-0; exit 3']);
    const outer = lab.observe(words, { cwd: folder });
    expect(outer).toMatchObject({ status: 3, stdout: 'ran\n' });
    expect(outer.lost).toContain('it traced a process');
    const inner = readLog(log);
    expect(inner.lost).toEqual(['it cannot be traced here']);
    expect(inner.records.at(-1)).toEqual(['ended', '', 'exited 3']);
  });

  onLinux('a program that traces is told so, and the log is not the whole', () => {
    const tracing = lab.compile(
      'tracing',
      `${HEAD} int main(void) { return ptrace(PTRACE_TRACEME, 0, 0, 0) == -1 ? 0 : 1; }`,
    );
    expect(lab.observe([tracing])).toMatchObject({ status: 0, lost: ['it traced a process'] });
  });

  onLinux('with the observer the program and all it has started are killed', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      rmSync(`${folder}/pids`, { force: true });
      const { words, log } = lab.command([
        '/bin/sh',
        '-c',
        'sleep 600 & echo $$ $! > pids.new; mv pids.new pids; wait',
      ]);
      const observer = spawn(words[0] ?? '', words.slice(1), { cwd: folder, stdio: 'ignore' });
      await until(() => existsSync(`${folder}/pids`));
      const pids = readFileSync(`${folder}/pids`, 'utf8').trim().split(' ').map(Number);
      expect(pids.map(isAlive)).toEqual([true, true]);
      observer.kill(signal);
      expect(await once(observer, 'exit')).toEqual([null, signal]);
      await until(() => !pids.some(isAlive));
      expect(readLog(log).records).toEqual([]);
    }
  });

  onLinux('with the tracer the program is killed, and the observer ends so', async () => {
    const { words } = lab.command(['/bin/sh', '-c', 'echo $PPID > pid.new; mv pid.new pid; sleep 600']);
    const observer = spawn(words[0] ?? '', words.slice(1), { cwd: folder, stdio: 'ignore' });
    await until(() => existsSync(`${folder}/pid`));
    process.kill(Number(readFileSync(`${folder}/pid`, 'utf8')), 'SIGKILL');
    expect(await once(observer, 'exit')).toEqual([null, 'SIGKILL']);
  });
});

describe('what is left running', () => {
  onLinux('is said, goes on with its work, and nobody waits for it', async () => {
    const background = 'read go < gate; ls / > did; cat /etc/hostname >> did; mv did done';
    const done = shell(`mkfifo gate; (${background}) > /dev/null 2>&1 & echo $! > pid; echo ran`);
    const pid = Number(readFileSync(`${folder}/pid`, 'utf8'));
    expect(done).toMatchObject({ status: 0, stdout: 'ran\n', lost: ['it left something running'] });
    expect(done.records.at(-1)).toEqual(['ended', '', 'exited 0']);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const tracer = Number(/TracerPid:\s+(\d+)/.exec(status)?.[1]);
    expect([pid, tracer].map(isAlive)).toEqual([true, true]);
    writeFileSync(`${folder}/gate`, 'go\n');
    await until(() => ![pid, tracer].some(isAlive));
    expect(readFileSync(`${folder}/done`, 'utf8')).toContain('etc\n');
  });

  onLinux('is out of reach of the terminal, and of who waits for the end of what is printed', () => {
    const done = shell('mkfifo gate; (read go < gate) > /dev/null 2>&1 & echo $!');
    const pid = Number(done.stdout);
    const tracer = /TracerPid:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    const [, , , session] = readFileSync(`/proc/${tracer}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    expect(session).toBe(tracer ?? '');
    expect([0, 1, 2].map((fd) => readlinkSync(`/proc/${tracer}/fd/${fd}`))).toEqual(
      Array(3).fill('/dev/null'),
    );
    writeFileSync(`${folder}/gate`, 'go\n');
  });

  onLinux('children that have ended unwaited for are not', () => {
    const careless = lab.compile(
      'careless',
      `${HEAD} int main(void) { for (int at = 0; at < 20; at++) if (fork() == 0) _exit(0); siginfo_t info; for (int at = 0; at < 20; at++) usleep(1000);
        for (;;) { int ended = 0; FILE *all = popen("cat /proc/*/stat 2>/dev/null", "r"); char line[1000]; 
          while (fgets(line, 1000, all)) if (strstr(line, "(careless) Z")) ended++;
          pclose(all); if (ended >= 20) return 0; } }`,
    );
    expect(lab.observe([careless])).toMatchObject({ status: 0, lost: [] });
  });
});

describe('what it was given passes through', () => {
  onLinux('input, output and errors', () => {
    const done = shell('cat; echo to errors >&2; readlink /proc/self/fd/9 || echo closed', {
      stdin: 'from input\n',
    });
    expect(done).toMatchObject({ status: 0, stdout: 'from input\nclosed\n', stderr: 'to errors\n' });
  });

  onLinux('descriptors, and no others', () => {
    const listing = lab.compile(
      'listing',
      `${HEAD} int main(void) { for (int at = 0; at < 200; at++) if (fcntl(at, F_GETFD) >= 0) printf("%d ", at); char c; read(9, &c, 1); putchar(c); write(10, "back", 4); return 0; }`,
    );
    const { words } = lab.command([listing]);
    const quoted = words.map((word) => `'${word}'`).join(' ');
    const script = `mkfifo a b; exec 9<>a 10<>b; printf x >&9; ${quoted} 3<&- 4<&-; head -c 4 <&10`;
    const done = Bun.spawnSync(['/bin/bash', '-c', script], { cwd: folder });
    expect(done.stdout.toString()).toBe('0 1 2 9 10 xback');
  });

  onLinux('name, arguments and environment', () => {
    const { words } = lab.command([
      '/bin/sh',
      '-c',
      'echo "$0|$*|$KACHE_TEST_VALUE"',
      'zero',
      'one two',
      '',
      'ü',
    ]);
    words[3] = 'other-name';
    const done = Bun.spawnSync(words, { env: { KACHE_TEST_VALUE: 'a b' } });
    expect(done.stdout.toString()).toBe('zero|one two  ü|a b\n');
    const named = lab.compile('named', 'int main(int n, char **word) { return puts(word[0]) < 0; }');
    const { words: more } = lab.command([named]);
    more[3] = 'other-name';
    expect(Bun.spawnSync(more).stdout.toString()).toBe('other-name\n');
  });
});

onLinux('nothing but the log is left behind', () => {
  shell('true');
  expect(readdirSync(folder)).toEqual([]);
});
