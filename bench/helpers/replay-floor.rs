//! The replay floor: a RUSTC_WRAPPER that records what each call wrote, and on later calls puts it back
//! without checking anything. No correct cache can be faster; it is a yardstick, never a cache.
//!
//! REPLAY_FLOOR_DIR: the recording. REPLAY_FLOOR_ROOT: the checkout. REPLAY_FLOOR_LIBRARIES_ONLY: compile
//! whatever is linked (executables, proc macros, build scripts) in place.
use std::env::{args_os, var, var_os};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{exit, Command, Stdio};

const ROOT: &[u8] = b"\0ROOT\0";

fn main() -> io::Result<()> {
    let all: Vec<String> = args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let Some((rustc, args)) = all.split_first() else {
        exit(2)
    };
    let option = |name: &str| {
        args.iter()
            .position(|arg| arg == name)
            .and_then(|at| args.get(at + 1))
            .cloned()
    };
    let suffix = args
        .iter()
        .find_map(|arg| arg.strip_prefix("extra-filename="))
        .map(str::to_owned);
    let root = var("REPLAY_FLOOR_ROOT").unwrap_or_default();
    let mut compile = Command::new(rustc);
    compile.args(args);
    let (Some(name), Some(suffix), Some(out)) =
        (option("--crate-name"), suffix, option("--out-dir"))
    else {
        return Err(compile.exec()); // a question to the compiler, not a compile
    };
    compile.arg(format!("--remap-path-prefix={root}=/checkout"));
    let library = option("--crate-type").is_some_and(|kind| kind == "lib" || kind == "rlib");
    if !library && var_os("REPLAY_FLOOR_LIBRARIES_ONLY").is_some() {
        return Err(compile.exec());
    }
    let emits = args
        .iter()
        .find_map(|arg| arg.strip_prefix("--emit="))
        .unwrap_or("")
        .replace(',', "+");
    let kind = option("--crate-type").unwrap_or_else(|| "test".into());
    let record = PathBuf::from(var_os("REPLAY_FLOOR_DIR").unwrap_or_default())
        .join(format!("{name}{suffix}.{kind}.{emits}"));
    let out = Path::new(&out);
    if record.join("stderr").exists() {
        return replay(&record, out, root.as_bytes());
    }
    fs::create_dir_all(&record)?;
    let stderr = run(compile)?;
    for file in fs::read_dir(out)?.flatten() {
        if file.file_name().to_string_lossy().contains(&suffix) {
            put(
                &file.path(),
                &record.join(file.file_name()),
                root.as_bytes(),
                ROOT,
            )?;
        }
    }
    fs::write(
        record.join("stderr"),
        replace(&stderr, root.as_bytes(), ROOT),
    )
}

fn replay(record: &Path, out: &Path, root: &[u8]) -> io::Result<()> {
    for file in fs::read_dir(record)?.flatten() {
        if file.file_name() != "stderr" {
            put(&file.path(), &out.join(file.file_name()), ROOT, root)?;
        }
    }
    io::stderr().write_all(&replace(&fs::read(record.join("stderr"))?, ROOT, root))
}

/// Libraries are linked; the rest is copied, so that Cargo sees a fresh file; dep-info is rewritten.
fn put(from: &Path, to: &Path, old: &[u8], new: &[u8]) -> io::Result<()> {
    let _ = fs::remove_file(to);
    match from.extension().and_then(|extension| extension.to_str()) {
        Some("rlib") => fs::hard_link(from, to),
        Some("d") => fs::write(to, replace(&fs::read(from)?, old, new)),
        _ => fs::copy(from, to).map(drop),
    }
}

/// Runs the compiler, streaming its stderr and keeping a copy; ends this process as the compiler ended.
fn run(mut compile: Command) -> io::Result<Vec<u8>> {
    let mut child = compile.stderr(Stdio::piped()).spawn()?;
    let (mut kept, mut chunk) = (Vec::new(), [0; 65536]);
    if let Some(mut stderr) = child.stderr.take() {
        while let Ok(count @ 1..) = stderr.read(&mut chunk) {
            io::stderr().write_all(&chunk[..count])?;
            kept.extend_from_slice(&chunk[..count]);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        exit(
            status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        );
    }
    Ok(kept)
}

fn replace(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let (mut result, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        if !old.is_empty() && text[at..].starts_with(old) {
            result.extend_from_slice(new);
            at += old.len();
        } else {
            result.push(text[at]);
            at += 1;
        }
    }
    result
}
