//! Writes one file per call (arguments, directory, environment), then becomes the program named in
//! CALL_RECORDER_TARGET. Stands in front of a wrapper to capture calls, or as `rustc` to count compiles.
use std::env::{args_os, current_dir, var_os, vars_os};
use std::ffi::OsStr;
use std::io;
use std::os::unix::{ffi::OsStrExt, process::CommandExt};
use std::path::PathBuf;
use std::process::{id, Command};
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> io::Result<()> {
    let args: Vec<_> = args_os().skip(1).collect();
    let mut record = Vec::new();
    let mut push = |text: &OsStr| {
        record.extend_from_slice(text.as_bytes());
        record.push(0);
    };
    push(OsStr::new(&args.len().to_string()));
    args.iter().for_each(|arg| push(arg));
    push(current_dir()?.as_os_str());
    for (name, value) in vars_os() {
        let mut pair = name;
        pair.push("=");
        pair.push(value);
        push(&pair);
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|time| time.as_nanos())
        .unwrap_or(0);
    let directory = PathBuf::from(var_os("CALL_RECORDER_DIR").unwrap_or_default());
    std::fs::write(directory.join(format!("{now:020}-{}", id())), record)?;
    Err(
        Command::new(var_os("CALL_RECORDER_TARGET").unwrap_or_default())
            .args(args)
            .exec(),
    )
}
