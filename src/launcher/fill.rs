// Filling a target folder that is new, while the compiler answers the first question of Cargo: the daemon says which units
// are hits, and this process puts them in place, each with Cargo's record of it, behind Cargo's locks. It is a process beside
// the compiler: whatever becomes of it, the compiler has answered. Cargo waits for both, since both could print.
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::raw::{c_int, c_short, c_ulong};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{parent_id, CommandExt};
use std::path::{Path, PathBuf};
use std::process::{exit, Command, Stdio};
use std::time::Duration;

use crate::compile::{flock, LOCK_EX, LOCK_NB};
use crate::{create, file, open, path, prove, put_in_place, receive, report, send, write, Placed, KACHE, SOCKET};

/// A unit is looked up within milliseconds, but where its bytes have to be proven.
const UNIT_PATIENCE: Duration = Duration::from_secs(3);

/// Fills the folder in a process of its own. Returns in the one that is to be the compiler.
pub fn run(call: &[OsString]) {
    let cargo = parent_id();
    if unsafe { fork() } != 0 {
        return;
    }
    let mut answered = if Path::new(SOCKET).exists() { open(call, cargo) } else { None };
    if answered.as_ref().map_or(true, |(_, first)| verb(first) == b"learn") {
        // Kache starts a daemon, and has the store know of the compiler.
        let name = Path::new(SOCKET).join(format!("kache-launcher-learns-for-{cargo}"));
        let mut kache = Command::new(KACHE);
        kache.arg0(name).args(call).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        answered = kache.status().ok().and_then(|_| open(call, cargo));
    }
    fill(answered);
    exit(0)
}

fn verb(frame: &[u8]) -> &[u8] {
    frame.split(|byte| *byte == 0).next().unwrap_or(frame)
}

/// None where the folder is not to be filled, or not to its end.
fn fill(answered: Option<(UnixStream, Vec<u8>)>) -> Option<()> {
    let (mut daemon, first) = answered?;
    let mut fields = first.split(|byte| *byte == 0);
    if fields.next()? != b"fill" {
        return None;
    }
    let proof = path(fields.next()?);
    // Held to the end of this function.
    let mut locks = Vec::new();
    carry_out(&steps(&mut fields)?, &mut locks)?;
    daemon.set_read_timeout(Some(UNIT_PATIENCE)).ok()?;
    prove(&mut daemon, &proof, b"ready")?;
    while is_awaited() {
        let batch = receive(&mut daemon).ok()?;
        let mut fields = batch.split(|byte| *byte == 0);
        if fields.next()? != b"put" {
            return Some(());
        }
        let done = steps(&mut fields).and_then(|steps| carry_out(&steps, &mut locks));
        send(&mut daemon, &done.unwrap_or(b"no".to_vec())).ok()?;
    }
    None
}

/// Whether somebody still reads what the compiler prints: the folder of a Cargo that was killed is somebody else's, to build
/// in or to delete.
fn is_awaited() -> bool {
    let mut stdout = Polled { descriptor: 1, asked: 0, told: 0 };
    unsafe { poll(&mut stdout, 1, 0) };
    stdout.told & (POLLERR | POLLHUP) == 0
}

#[repr(C)]
struct Polled {
    descriptor: c_int,
    asked: c_short,
    told: c_short,
}

const POLLERR: c_short = 8;
const POLLHUP: c_short = 16;

extern "C" {
    fn fork() -> c_int;
    fn poll(polled: *mut Polled, count: c_ulong, milliseconds: c_int) -> c_int;
}

enum Step<'a> {
    Folder(PathBuf),
    Lock(PathBuf),
    New { bytes: Vec<u8>, path: PathBuf },
    Link { from: PathBuf, path: PathBuf },
    Remove(PathBuf),
    /// Files that come together or not.
    Place(Vec<Placed<'a>>),
}

fn steps<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Option<Vec<Step<'a>>> {
    let mut steps = Vec::new();
    while let Some(kind) = fields.next() {
        let step = match kind {
            b"folder" => Step::Folder(path(fields.next()?)),
            b"lock" => Step::Lock(path(fields.next()?)),
            b"new" => Step::New { bytes: unhex(fields.next()?)?, path: path(fields.next()?) },
            b"link" => Step::Link { from: path(fields.next()?), path: path(fields.next()?) },
            b"remove" => Step::Remove(path(fields.next()?)),
            kind => {
                let placed = file(kind, fields)?;
                if let Some(Step::Place(files)) = steps.last_mut() {
                    files.push(placed);
                    continue;
                }
                Step::Place(vec![placed])
            }
        };
        steps.push(step);
    }
    Some(steps)
}

/// Does one step after the other; none where one fails. What to say of the files then.
fn carry_out(steps: &[Step], locks: &mut Vec<File>) -> Option<Vec<u8>> {
    let mut placed: Vec<&Placed> = Vec::new();
    let mut ways = Vec::new();
    for step in steps {
        match step {
            Step::Folder(path) => fs::create_dir_all(path).ok()?,
            Step::Lock(path) => locks.push(lock(path).ok()?),
            Step::New { bytes, path } => make(path, bytes).ok()?,
            Step::Link { from, path } => fs::hard_link(from, path).ok()?,
            Step::Remove(path) => remove(path).ok()?,
            Step::Place(files) => {
                ways.extend(put_in_place(files)?);
                placed.extend(files);
            }
        }
    }
    report(&placed, &ways)
}

/// A lock as Cargo takes it.
fn lock(path: &Path) -> io::Result<File> {
    let file = in_folder(path, || {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o666).open(path)
    })?;
    if unsafe { flock(file.as_raw_fd(), LOCK_EX | LOCK_NB) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// A file as Cargo makes one; none is left where it cannot be whole.
fn make(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = in_folder(path, || create(path, 0o666))?;
    let written = write(file, bytes);
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes the folder of a file where it is missing.
fn in_folder<T>(path: &Path, make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match make() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            make()
        }
        made => made,
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    if digits.len() % 2 != 0 {
        return None;
    }
    digits.chunks(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}
