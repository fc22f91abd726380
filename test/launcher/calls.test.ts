// The table of system calls of the observer: its numbers are the kernel's, and no call that leads anywhere is missing.
import { expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { notRun } from '../support/required.ts';

const SOURCE = readFileSync(join(import.meta.dir, '../../src/launcher/calls.rs'), 'utf8');
const TABLE = [...SOURCE.matchAll(/^ {4}\((-?\d+), (-?\d+), .*\), \/\/ (\w+)$/gm)].map(
  ([, x86, arm, name = '']) => ({ name, x86: Number(x86), arm: Number(arm) }),
);

/** Where the C library of a machine keeps the numbers. */
const X86 = ['/usr/include/x86_64-linux-gnu/asm/unistd_64.h', '/usr/include/asm/unistd_64.h'];
const ARM = ['/usr/include/asm-generic/unistd.h'];

/** Calls by their names; undefined where there is no header. */
function numbersIn(places: readonly string[]): Map<string, number> | undefined {
  const header = places.find((path) => existsSync(path));
  if (header === undefined) return undefined;
  const text = readFileSync(header, 'utf8');
  const numbers = [...text.matchAll(/#define __NR(?:3264)?_(\w+)\s+(\d+)/g)];
  // What the generic table calls fstatat is newfstatat on machines of 64 bits.
  return new Map(
    numbers.map(([, name = '', number]) => [name.replace(/^fstatat$/, 'newfstatat'), Number(number)]),
  );
}

/**
 * What a process may call without anybody: it works on descriptors that were noticed when they were opened, on the process
 * itself and its own children, on time, or takes effect without telling anything.
 */
const HARMLESS = `
  read write close fstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn pread64 pwrite64 readv
  writev pipe select sched_yield mremap msync mincore madvise shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid
  sendfile accept recvfrom recvmsg shutdown getsockname getpeername socketpair setsockopt getsockopt fork vfork exit wait4 kill
  uname semctl shmdt msgsnd msgctl fcntl flock fsync fdatasync ftruncate getdents getcwd fchdir umask gettimeofday getrlimit
  getrusage sysinfo times getuid getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid setreuid setregid getgroups
  setgroups setresuid getresuid setresgid getresgid getpgid setfsuid setfsgid getsid capget capset rt_sigpending rt_sigtimedwait
  rt_sigqueueinfo rt_sigsuspend sigaltstack personality ustat fstatfs sysfs getpriority setpriority sched_setparam
  sched_getparam sched_setscheduler sched_getscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock
  munlock mlockall munlockall vhangup modify_ldt prctl arch_prctl adjtimex setrlimit sync settimeofday reboot sethostname
  setdomainname iopl ioperm gettid readahead fgetxattr flistxattr tkill time futex sched_setaffinity sched_getaffinity
  set_thread_area io_setup io_destroy io_getevents io_submit io_cancel get_thread_area epoll_create epoll_wait epoll_ctl
  remap_file_pages getdents64 set_tid_address restart_syscall fadvise64 timer_create timer_settime timer_gettime
  timer_getoverrun timer_delete clock_settime clock_gettime clock_getres clock_nanosleep exit_group tgkill mbind set_mempolicy
  get_mempolicy mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid ioprio_set ioprio_get inotify_init
  inotify_rm_watch migrate_pages pselect6 ppoll set_robust_list get_robust_list splice tee sync_file_range sync_file_range2
  vmsplice move_pages epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4 signalfd4
  eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo recvmmsg prlimit64 clock_adjtime syncfs
  getcpu kcmp sched_setattr sched_getattr getrandom memfd_create kexec_file_load userfaultfd membarrier mlock2 copy_file_range
  preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free io_pgetevents rseq pidfd_send_signal io_uring_enter io_uring_register
  fsconfig fsmount pidfd_open close_range process_madvise epoll_pwait2 landlock_create_ruleset landlock_add_rule
  landlock_restrict_self memfd_secret process_mrelease futex_waitv set_mempolicy_home_node cachestat map_shadow_stack futex_wake
  futex_wait futex_requeue lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal uretprobe uprobe
`
  .trim()
  .split(/\s+/);

/** Calls no kernel has any more, and numbers that are no calls of these machines. */
const GONE =
  /^(_sysctl|create_module|get_kernel_syms|query_module|nfsservctl|getpmsg|putpmsg|afs_syscall|tuxcall|security|epoll_ctl_old|epoll_wait_old|vserver|syscalls|arch_specific_syscall|.*_time64|clock_.*64|timer.*64|llseek|fcntl64|fadvise64_64|mmap2|.*stat(fs)?64|fstatat64|(f?truncate|sendfile)64)$/;

test('the table is read as it is written', () => {
  expect(TABLE.length).toBeGreaterThan(110);
  expect(TABLE.length).toBe(SOURCE.split('\n').filter((line) => /^ {4}\(-?\d/.test(line)).length);
  const twice = (['x86', 'arm'] as const).flatMap((key) => {
    const numbers = TABLE.map((call) => call[key]).filter((number) => number >= 0);
    return numbers.filter((number, at) => numbers.indexOf(number) !== at);
  });
  expect(twice).toEqual([]);
});

for (const [key, name, places] of [
  ['x86', 'x86-64', X86],
  ['arm', 'arm64', ARM],
] as const)
  test(`every number is the one of the kernel's header for ${name}`, () => {
    const numbers = numbersIn(places);
    if (numbers === undefined)
      return notRun(`the numbers of calls on ${name}`, 'there are no kernel headers');
    const last = Math.max(...numbers.values());
    const wrong = TABLE.filter((call) => call[key] <= last && call[key] !== (numbers.get(call.name) ?? -1));
    expect(wrong).toEqual([]);
  });

test('calls since Linux 5.1 have one number everywhere', () => {
  expect(TABLE.filter(({ x86, arm }) => Math.max(x86, arm) >= 424 && x86 !== arm)).toEqual([]);
  // Those that may be in no header of a machine yet: include/uapi/asm-generic/unistd.h of Linux 6.18.
  const recent = {
    fchmodat2: 452,
    statmount: 457,
    listmount: 458,
    setxattrat: 463,
    getxattrat: 464,
    listxattrat: 465,
    removexattrat: 466,
    open_tree_attr: 467,
    file_getattr: 468,
    file_setattr: 469,
  };
  const told = Object.fromEntries(TABLE.filter(({ x86 }) => x86 > 450).map(({ name, x86 }) => [name, x86]));
  expect(told).toEqual(recent);
  expect(/^const LAST: u32 = (\d+);$/m.exec(SOURCE)?.[1]).toBe('469');
});

test('a call that is not in the table is one that leads nowhere', () => {
  const known = new Set([...TABLE.map(({ name }) => name), ...HARMLESS]);
  for (const places of [X86, ARM]) {
    const numbers = numbersIn(places);
    if (numbers === undefined) {
      notRun('whether every call is known', 'there are no kernel headers');
      continue;
    }
    // The filter stops at all that are newer than the table.
    const unknown = [...numbers].filter(
      ([name, number]) => number <= 469 && !known.has(name) && !GONE.test(name),
    );
    expect(unknown).toEqual([]);
  }
  expect(HARMLESS.filter((name) => TABLE.some((call) => call.name === name))).toEqual([]);
});
