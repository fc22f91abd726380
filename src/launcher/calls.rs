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

/// What a call does with the path in its arguments: which argument holds the folder a relative path starts from (`NONE`: the
/// working folder), and which the path.
#[derive(Clone, Copy)]
pub enum Does {
    Looks(usize, usize),
    /// Looks, and what is there becomes the program.
    Starts(usize, usize),
    /// Reads or writes by the flags in this argument; `HOW`: in the structure it points to.
    Opens(usize, usize, usize),
    Writes(usize, usize),
    /// Two paths: the first is read where it stays (link), the second is made.
    Moves((usize, usize), (usize, usize)),
    Connects,
    /// Sends a message: the argument that holds the address, or a structure that begins with it.
    Sends(Names),
    /// Reaches what has no path, or changes what paths mean.
    Escapes(&'static str),
}
use Does::*;

/// Where a message says whom it is for.
#[derive(Clone, Copy)]
pub enum Names {
    InArgument(usize),
    /// In the structure an argument points to, first.
    InHeader(usize),
}

pub const NONE: usize = 9;
pub const HOW: usize = 8;

/// System calls by their numbers, on x86-64 and on arm64 (-1: it has none).
const CALLS: &[(i32, i32, Does)] = &[
    (2, -1, Opens(NONE, 0, 1)),
    (257, 56, Opens(0, 1, 2)),
    (437, 437, Opens(0, 1, HOW)),
    (85, -1, Writes(NONE, 0)),
    (4, -1, Looks(NONE, 0)),
    (6, -1, Looks(NONE, 0)),
    (262, 79, Looks(0, 1)),
    (332, 291, Looks(0, 1)),
    (21, -1, Looks(NONE, 0)),
    (269, 48, Looks(0, 1)),
    (439, 439, Looks(0, 1)),
    (89, -1, Looks(NONE, 0)),
    (267, 78, Looks(0, 1)),
    (80, 49, Looks(NONE, 0)),
    (137, 43, Looks(NONE, 0)),
    (191, 8, Looks(NONE, 0)),
    (192, 9, Looks(NONE, 0)),
    (59, 221, Starts(NONE, 0)),
    (322, 281, Starts(0, 1)),
    (82, -1, Moves((NONE, 0), (NONE, 1))),
    (264, 38, Moves((0, 1), (2, 3))),
    (316, 276, Moves((0, 1), (2, 3))),
    (86, -1, Moves((NONE, 0), (NONE, 1))),
    (265, 37, Moves((0, 1), (2, 3))),
    (88, -1, Writes(NONE, 1)),
    (266, 36, Writes(1, 2)),
    (83, -1, Writes(NONE, 0)),
    (258, 34, Writes(0, 1)),
    (84, -1, Writes(NONE, 0)),
    (87, -1, Writes(NONE, 0)),
    (263, 35, Writes(0, 1)),
    (133, -1, Writes(NONE, 0)),
    (259, 33, Writes(0, 1)),
    (76, 45, Writes(NONE, 0)),
    (90, -1, Writes(NONE, 0)),
    (268, 53, Writes(0, 1)),
    (452, 452, Writes(0, 1)),
    (92, -1, Writes(NONE, 0)),
    (94, -1, Writes(NONE, 0)),
    (260, 54, Writes(0, 1)),
    (132, -1, Writes(NONE, 0)),
    (235, -1, Writes(NONE, 0)),
    (261, -1, Writes(0, 1)),
    (280, 88, Writes(0, 1)),
    (188, 5, Writes(NONE, 0)),
    (189, 6, Writes(NONE, 0)),
    (42, 203, Connects),
    (49, 200, Escapes("it listened on a socket")),
    (44, 206, Sends(Names::InArgument(4))),
    (46, 211, Sends(Names::InHeader(1))),
    (307, 269, Sends(Names::InHeader(1))),
    (425, 425, Escapes("it used io_uring")),
    (303, 264, Escapes("it opened by a handle")),
    (304, 265, Escapes("it opened by a handle")),
    (101, 117, Escapes("it traced a process")),
    (438, 438, Escapes("it took a descriptor of another process")),
    (165, 40, Escapes("it mounted")),
    (428, 428, Escapes("it mounted")),
    (430, 430, Escapes("it mounted")),
    (161, 51, Escapes("it changed its root")),
    (155, 41, Escapes("it changed its root")),
    (272, 97, Escapes("it left its namespaces")),
    (308, 268, Escapes("it left its namespaces")),
    (29, 194, Escapes("it used shared memory")),
    (240, 180, Escapes("it used a message queue")),
    (68, 186, Escapes("it used a message queue")),
    (248, 217, Escapes("it used the kernel's keys")),
    (250, 219, Escapes("it used the kernel's keys")),
];

/// What a call does, by its number; None for one of another architecture.
pub fn meaning(architecture: u32, number: u64) -> Option<Does> {
    let known = CALLS.iter().find(|call| u64::from(number_here(call) as u32) == number);
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
    // The x32 calls of x86-64.
    steps.push(Instruction { code: 0x35, if_true: 0, if_false: 1, value: 0x4000_0000 });
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
