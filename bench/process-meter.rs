// Runs a program to its end and prints what the kernel accounted to it: CPU in microseconds, largest resident size in
// kilobytes. A small process of its own, because a child's figure starts at the size of whoever forked it.
use std::{env, os::raw::c_int, process::{Command, Stdio}};

#[repr(C)]
struct Usage { user: [i64; 2], system: [i64; 2], max_rss: i64, rest: [i64; 13] }

unsafe extern "C" { fn wait4(pid: c_int, status: *mut c_int, options: c_int, usage: *mut Usage) -> c_int; }

fn main() {
    let args: Vec<_> = env::args_os().skip(1).collect();
    let child = Command::new(&args[0]).args(&args[1..]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (mut status, mut usage) = (0, Usage { user: [0; 2], system: [0; 2], max_rss: 0, rest: [0; 13] });
    unsafe { wait4(child.id() as c_int, &mut status, 0, &mut usage) };
    let cpu = (usage.user[0] + usage.system[0]) * 1_000_000 + usage.user[1] + usage.system[1];
    println!("{status} {cpu} {}", usage.max_rss);
}
