//! Runs one command several times and prints, for each run: user+system CPU in µs, wall clock in µs,
//! peak memory in KiB, exit status. A small parent, because peak memory of a child includes its parent's.
//!
//! process-meter RUNS FILE… -- COMMAND ARGS…   (the files are deleted before every run)
use std::env::args_os;
use std::process::{exit, Command, Stdio};
use std::time::Instant;

#[repr(C)]
#[derive(Default)]
struct Usage {
    user: [i64; 2],
    system: [i64; 2],
    max_rss: i64,
    rest: [i64; 13],
}

extern "C" {
    fn wait4(pid: i32, status: *mut i32, options: i32, usage: *mut Usage) -> i32;
}

fn main() -> std::io::Result<()> {
    let mut args = args_os().skip(1);
    let runs: u32 = args
        .next()
        .and_then(|text| text.to_str()?.parse().ok())
        .unwrap_or_else(|| exit(2));
    let files: Vec<_> = args.by_ref().take_while(|arg| arg != "--").collect();
    let command: Vec<_> = args.collect();
    let Some((program, rest)) = command.split_first() else {
        exit(2)
    };
    for _ in 0..runs {
        for file in &files {
            let _ = std::fs::remove_file(file);
        }
        let mut run = Command::new(program);
        run.args(rest)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let start = Instant::now();
        let child = run.spawn()?;
        let (mut status, mut usage) = (0, Usage::default());
        // SAFETY: both pointers are to live locals, and the layout is that of struct rusage on 64-bit Unix.
        if unsafe { wait4(child.id() as i32, &mut status, 0, &mut usage) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let wall = start.elapsed().as_micros();
        let cpu = (usage.user[0] + usage.system[0]) * 1_000_000 + usage.user[1] + usage.system[1];
        println!("{cpu} {wall} {} {status}", usage.max_rss);
    }
    Ok(())
}
