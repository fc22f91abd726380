// The replay floor: a compiler wrapper that checks nothing. Recording, it runs the compiler and keeps what it wrote and
// printed under a name made of the crate's own flags; replaying, it links libraries and copies the rest. No cache can be
// faster than this and still put the same files in place.
use std::{env, fs, io::Write, os::unix::process::CommandExt, path::PathBuf, process::Command};

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let after = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned();
    let codegen = |name: &str| args.iter().find_map(|arg| arg.strip_prefix(name).map(str::to_string));
    let (name, out) = (after("--crate-name"), after("--out-dir"));
    let (extra, metadata) = (codegen("extra-filename="), codegen("metadata="));
    let types: Vec<&String> = args.windows(2).filter(|pair| pair[0] == "--crate-type").map(|pair| &pair[1]).collect();
    let library = !types.is_empty() && types.iter().all(|kind| *kind == "lib" || *kind == "rlib") && !args.iter().any(|arg| arg == "--test");
    let wanted = library || env::var("FLOOR_LINKED").is_ok();
    let (Some(name), Some(out), Some(extra), Some(metadata), true) = (name, out, extra, metadata, wanted) else { become_compiler(&args) };
    let emit = args.iter().find(|arg| arg.starts_with("--emit=")).cloned().unwrap_or_default();
    let kept = PathBuf::from(env::var("FLOOR_DIR").unwrap()).join(format!("{name}{extra}-{metadata}-{}", emit.replace(['=', ',', '/'], "_")));
    let roots = (env::var("FLOOR_FROM").unwrap_or_default(), env::var("FLOOR_TO").unwrap_or_default());
    if kept.exists() { replay(&kept, &out, &roots) } else { record(&args, &kept, &out, &format!("{name}{extra}")) }
}

/// What is compiled each time (the linked outputs) must fit the recorded libraries: no checkout's path in its hash.
fn remap() -> String {
    format!("--remap-path-prefix={}=.", env::var("FLOOR_TO").unwrap())
}

fn become_compiler(args: &[String]) -> ! {
    let mut command = Command::new(&args[0]);
    if args.iter().any(|arg| arg == "--crate-name") { command.arg(remap()); }
    panic!("{}", command.args(&args[1..]).exec())
}

fn record(args: &[String], kept: &PathBuf, out: &str, stem: &str) {
    let mut arguments: Vec<String> = vec![remap()];
    for arg in &args[1..] {
        if arg.starts_with("incremental=") { arguments.pop(); } else { arguments.push(arg.clone()); }
    }
    let done = Command::new(&args[0]).args(&arguments).output().unwrap();
    std::io::stdout().write_all(&done.stdout).unwrap();
    std::io::stderr().write_all(&done.stderr).unwrap();
    if !done.status.success() { std::process::exit(done.status.code().unwrap_or(1)) }
    let aside = kept.with_extension("part");
    fs::create_dir_all(&aside).unwrap();
    for file in fs::read_dir(out).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        let plain = name.strip_prefix("lib").unwrap_or(&name);
        if name == stem || plain.starts_with(&format!("{stem}.")) || name.starts_with(&format!("{stem}.")) {
            if name.ends_with(".rlib") { fs::hard_link(file.path(), aside.join(&name)).unwrap() } else { fs::copy(file.path(), aside.join(&name)).map(|_| ()).unwrap() }
        }
    }
    fs::write(aside.join("stderr"), done.stderr).unwrap();
    fs::rename(aside, kept).unwrap();
}

fn replay(kept: &PathBuf, out: &str, (from, to): &(String, String)) {
    let here = |text: String| if from.is_empty() { text } else { text.replace(from.as_str(), to) };
    for file in fs::read_dir(kept).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        let target = PathBuf::from(out).join(&name);
        let _ = fs::remove_file(&target);
        if name == "stderr" { continue }
        if name.ends_with(".rlib") { fs::hard_link(file.path(), target).unwrap() }
        else if name.ends_with(".d") { fs::write(target, here(fs::read_to_string(file.path()).unwrap())).unwrap() }
        else { fs::copy(file.path(), target).unwrap(); }
    }
    std::io::stderr().write_all(here(fs::read_to_string(kept.join("stderr")).unwrap()).as_bytes()).unwrap();
}
