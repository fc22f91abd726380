// The system calls the observer stops at: all that have a path in them, and those by which a process reaches what has none.
// Their numbers are the kernel's, and final.
use std::ffi::{c_int, c_ulong};

extern "C" {
    pub fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int;
}

const PR_SET_NO_NEW_PRIVS: c_int = 38;
const PR_SET_SECCOMP: c_int = 22;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// Elsewhere nobody knows the numbers of the calls.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: u32 = 0;
pub const IS_KNOWN_HERE: bool = ARCHITECTURE != 0;

/// What a call does with the path in its arguments: which argument holds the folder a relative path starts from (`NONE`: the
/// working folder), and which the path.
#[derive(Clone, Copy)]
pub enum Does {
    Looks(usize, usize),
    /// Looks, and what is there becomes the program.
    Starts(usize, usize),
    /// Reads or writes by the flags in this argument; `HOW`: in the structure it points to.
    Opens(usize, usize, usize),
    /// Makes a file, or writes one that is there.
    Writes(usize, usize),
    /// A name is made, where there is none.
    Makes(usize, usize),
    /// A name is taken away, or a link changed that is not followed.
    Removes(usize, usize),
    /// What is there already is changed, through links unless the flags in this argument say otherwise; without a path
    /// (`NONE`), what the descriptor in the first argument leads to.
    Changes(usize, usize, usize),
    /// Removes the first path, or makes it the same file as the second (link); makes the second.
    Moves((usize, usize), (usize, usize)),
    /// Starts a process or a thread, by flags.
    Forks(Flags),
    Sockets,
    Connects,
    /// Sends a message to whom an address names.
    Sends(Names),
    /// ioctl(2).
    Controls,
    /// seccomp(2).
    Filters,
    /// Reaches what has no path, or changes what paths mean.
    Escapes(&'static str),
}
use Does::*;

#[derive(Clone, Copy)]
pub enum Flags {
    InArgument,
    /// In the structure the first argument points to, first.
    InStructure,
}

/// Where a message says whom it is for.
#[derive(Clone, Copy)]
pub enum Names {
    InArgument(usize),
    /// In the structure the second argument points to, first.
    InHeader,
    /// In an array of such structures, whose length is the third argument.
    InHeaders,
}

pub const NONE: usize = 9;
pub const HOW: usize = 8;

/// The last call this table was written for (Linux 6.18): nobody knows here what those after it do.
const LAST: u32 = 469;

/// System calls by their numbers, on x86-64 and on arm64 (-1: it has none).
#[rustfmt::skip]
const CALLS: &[(i32, i32, Does)] = &[
    (2, -1, Opens(NONE, 0, 1)), // open
    (257, 56, Opens(0, 1, 2)), // openat
    (437, 437, Opens(0, 1, HOW)), // openat2
    (85, -1, Writes(NONE, 0)), // creat
    (4, -1, Looks(NONE, 0)), // stat
    (6, -1, Looks(NONE, 0)), // lstat
    (262, 79, Looks(0, 1)), // newfstatat
    (332, 291, Looks(0, 1)), // statx
    (21, -1, Looks(NONE, 0)), // access
    (269, 48, Looks(0, 1)), // faccessat
    (439, 439, Looks(0, 1)), // faccessat2
    (89, -1, Looks(NONE, 0)), // readlink
    (267, 78, Looks(0, 1)), // readlinkat
    (80, 49, Looks(NONE, 0)), // chdir
    (137, 43, Looks(NONE, 0)), // statfs
    (191, 8, Looks(NONE, 0)), // getxattr
    (192, 9, Looks(NONE, 0)), // lgetxattr
    (464, 464, Looks(0, 1)), // getxattrat
    (194, 11, Looks(NONE, 0)), // listxattr
    (195, 12, Looks(NONE, 0)), // llistxattr
    (465, 465, Looks(0, 1)), // listxattrat
    (468, 468, Looks(0, 1)), // file_getattr
    (134, -1, Looks(NONE, 0)), // uselib
    (59, 221, Starts(NONE, 0)), // execve
    (322, 281, Starts(0, 1)), // execveat
    (82, -1, Moves((NONE, 0), (NONE, 1))), // rename
    (264, 38, Moves((0, 1), (2, 3))), // renameat
    (316, 276, Moves((0, 1), (2, 3))), // renameat2
    (86, -1, Moves((NONE, 0), (NONE, 1))), // link
    (265, 37, Moves((0, 1), (2, 3))), // linkat
    (88, -1, Makes(NONE, 1)), // symlink
    (266, 36, Makes(1, 2)), // symlinkat
    (83, -1, Makes(NONE, 0)), // mkdir
    (258, 34, Makes(0, 1)), // mkdirat
    (133, -1, Makes(NONE, 0)), // mknod
    (259, 33, Makes(0, 1)), // mknodat
    (84, -1, Removes(NONE, 0)), // rmdir
    (87, -1, Removes(NONE, 0)), // unlink
    (263, 35, Removes(0, 1)), // unlinkat
    (76, 45, Changes(NONE, 0, NONE)), // truncate
    (90, -1, Changes(NONE, 0, NONE)), // chmod
    (268, 53, Changes(0, 1, NONE)), // fchmodat
    (452, 452, Changes(0, 1, 3)), // fchmodat2
    (92, -1, Changes(NONE, 0, NONE)), // chown
    (94, -1, Removes(NONE, 0)), // lchown
    (260, 54, Changes(0, 1, 4)), // fchownat
    (132, -1, Changes(NONE, 0, NONE)), // utime
    (235, -1, Changes(NONE, 0, NONE)), // utimes
    (261, -1, Changes(0, 1, NONE)), // futimesat
    (280, 88, Changes(0, 1, 3)), // utimensat
    (188, 5, Changes(NONE, 0, NONE)), // setxattr
    (189, 6, Removes(NONE, 0)), // lsetxattr
    (463, 463, Changes(0, 1, 2)), // setxattrat
    (197, 14, Changes(NONE, 0, NONE)), // removexattr
    (198, 15, Removes(NONE, 0)), // lremovexattr
    (466, 466, Changes(0, 1, 2)), // removexattrat
    (469, 469, Changes(0, 1, 4)), // file_setattr
    (91, 52, Changes(0, NONE, NONE)), // fchmod
    (93, 55, Changes(0, NONE, NONE)), // fchown
    (190, 7, Changes(0, NONE, NONE)), // fsetxattr
    (199, 16, Changes(0, NONE, NONE)), // fremovexattr
    (56, 220, Forks(Flags::InArgument)), // clone
    (435, 435, Forks(Flags::InStructure)), // clone3
    (41, 198, Sockets), // socket
    (42, 203, Connects), // connect
    (44, 206, Sends(Names::InArgument(4))), // sendto
    (46, 211, Sends(Names::InHeader)), // sendmsg
    (307, 269, Sends(Names::InHeaders)), // sendmmsg
    (16, 29, Controls), // ioctl
    (317, 277, Filters), // seccomp
    (49, 200, Escapes("it listened on a socket")), // bind
    (50, 201, Escapes("it listened on a socket")), // listen
    (425, 425, Escapes("it used io_uring")), // io_uring_setup
    (303, 264, Escapes("it opened by a handle")), // name_to_handle_at
    (304, 265, Escapes("it opened by a handle")), // open_by_handle_at
    (101, 117, Escapes("it traced a process")), // ptrace
    (310, 270, Escapes("it reached into another process")), // process_vm_readv
    (311, 271, Escapes("it reached into another process")), // process_vm_writev
    (438, 438, Escapes("it reached into another process")), // pidfd_getfd
    (165, 40, Escapes("it mounted")), // mount
    (166, 39, Escapes("it mounted")), // umount2
    (428, 428, Escapes("it mounted")), // open_tree
    (467, 467, Escapes("it mounted")), // open_tree_attr
    (429, 429, Escapes("it mounted")), // move_mount
    (442, 442, Escapes("it mounted")), // mount_setattr
    (430, 430, Escapes("it mounted")), // fsopen
    (433, 433, Escapes("it mounted")), // fspick
    (457, 457, Escapes("it asked for mounts")), // statmount
    (458, 458, Escapes("it asked for mounts")), // listmount
    (161, 51, Escapes("it changed its root")), // chroot
    (155, 41, Escapes("it changed its root")), // pivot_root
    (272, 97, Escapes("it left its namespaces")), // unshare
    (308, 268, Escapes("it left its namespaces")), // setns
    (29, 194, Escapes("it used shared memory")), // shmget
    (30, 196, Escapes("it used shared memory")), // shmat
    (64, 190, Escapes("it used semaphores")), // semget
    (65, 193, Escapes("it used semaphores")), // semop
    (220, 192, Escapes("it used semaphores")), // semtimedop
    (240, 180, Escapes("it used a message queue")), // mq_open
    (241, 181, Escapes("it used a message queue")), // mq_unlink
    (68, 186, Escapes("it used a message queue")), // msgget
    (70, 188, Escapes("it used a message queue")), // msgrcv
    (248, 217, Escapes("it used the kernel's keys")), // add_key
    (249, 218, Escapes("it used the kernel's keys")), // request_key
    (250, 219, Escapes("it used the kernel's keys")), // keyctl
    (254, 27, Escapes("it watched files")), // inotify_add_watch
    (300, 262, Escapes("it watched files")), // fanotify_init
    (301, 263, Escapes("it watched files")), // fanotify_mark
    (179, 60, Escapes("it asked the system")), // quotactl
    (443, 443, Escapes("it asked the system")), // quotactl_fd
    (103, 116, Escapes("it asked the system")), // syslog
    (321, 280, Escapes("it asked the system")), // bpf
    (298, 241, Escapes("it asked the system")), // perf_event_open
    (212, 18, Escapes("it asked the system")), // lookup_dcookie
    (163, 89, Escapes("it changed the system")), // acct
    (167, 224, Escapes("it changed the system")), // swapon
    (168, 225, Escapes("it changed the system")), // swapoff
    (175, 105, Escapes("it changed the system")), // init_module
    (313, 273, Escapes("it changed the system")), // finit_module
    (176, 106, Escapes("it changed the system")), // delete_module
];

/// What a call does, by its number; None for one of another architecture, and for one that is newer than the table.
pub fn meaning(architecture: u32, number: u64) -> Option<Does> {
    let known = CALLS.iter().find(|call| u64::try_from(number_here(call)) == Ok(number));
    known.filter(|_| architecture == ARCHITECTURE).map(|(_, _, does)| *does)
}

fn number_here(&(x86_64, aarch64, _): &(i32, i32, Does)) -> i32 {
    if cfg!(target_arch = "x86_64") { x86_64 } else { aarch64 }
}

#[repr(C)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

#[repr(C)]
struct FilterProgram {
    length: u16,
    instructions: *const Instruction,
}

/// Has the kernel stop this process, and all it starts, at the calls of the table.
pub fn stop_at_them() -> bool {
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const GREATER: u16 = 0x25;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const TRACE: u32 = 0x7ff0_0000;
    let step = |code, value| Instruction { code, if_true: 0, if_false: 0, value };
    let mut steps = vec![
        step(LOAD, 4),
        Instruction { code: EQUAL, if_true: 1, if_false: 0, value: ARCHITECTURE },
        // Another architecture's calls have other numbers.
        step(RETURN, TRACE),
        step(LOAD, 0),
    ];
    // Calls that are newer; and the x32 calls of x86-64, which begin at 0x4000_0000.
    steps.push(Instruction { code: GREATER, if_true: 0, if_false: 1, value: LAST });
    steps.push(step(RETURN, TRACE));
    for call in CALLS.iter().filter(|call| number_here(call) >= 0) {
        steps.push(Instruction { code: EQUAL, if_true: 0, if_false: 1, value: number_here(call) as u32 });
        steps.push(step(RETURN, TRACE));
    }
    steps.push(step(RETURN, ALLOW));
    let program = FilterProgram { length: steps.len() as u16, instructions: steps.as_ptr() };
    unsafe {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && prctl(PR_SET_SECCOMP, 2, &program as *const _ as c_ulong, 0, 0) == 0
    }
}
