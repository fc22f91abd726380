// A compile the daemon stores: this process runs the compiler, has what it prints translated on its way, and tells how it
// ended. From the compiler's start on nothing that becomes of the daemon matters to the build: lines are printed as they
// are then, and nothing is stored.
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::raw::c_int;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{exit, id, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::sync::{mpsc, Mutex};
use std::thread;
use std::time::Duration;

use crate::{path, prove, receive, send, state_of};

/// A line is translated within microseconds, but for one that announces metadata, which is hashed.
const LINE_PATIENCE: Duration = Duration::from_secs(10);
/// Outputs are read and hashed, perhaps those of other calls before them.
const STORE_PATIENCE: Duration = Duration::from_secs(60);

const SIGPIPE: c_int = 13;
/// SIGHUP, SIGINT, SIGTERM: who sends one to us means the compiler.
const FORWARDED: [c_int; 3] = [1, 2, 15];
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;

pub const LOCK_EX: c_int = 2;
pub const LOCK_NB: c_int = 4;

extern "C" {
    fn signal(number: c_int, handler: usize) -> usize;
    fn kill(process: c_int, number: c_int) -> c_int;
    pub fn flock(descriptor: c_int, operation: c_int) -> c_int;
}

/// Runs the compiler and ends as it ended. Returns where it was not started.
pub fn run(mut daemon: UnixStream, proof: &Path, lock: &Path) -> Option<Infallible> {
    let lock = if lock.as_os_str().is_empty() { None } else { Some(Lock::take(lock)?) };
    prove(&mut daemon, proof, b"ready")?;
    let start = receive(&mut daemon).ok()?;
    let mut fields = start.split(|byte| *byte == 0);
    if fields.next() != Some(b"start") {
        return None;
    }
    let count = crate::number(fields.next()?, 10)? as usize;
    let argv: Vec<OsString> = fields.by_ref().take(count).map(|arg| OsString::from_vec(arg.to_vec())).collect();
    let outputs: Vec<PathBuf> = fields.map(path).collect();
    let (program, args) = argv.split_first()?;
    daemon.set_read_timeout(Some(LINE_PATIENCE)).ok()?;

    forward_signals();
    unshare(&outputs);
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let followed = follow(&mut command, daemon, &outputs);
    restore_signals();
    let Some((ended, daemon)) = followed else {
        raise_early();
        return None;
    };
    if daemon.and_then(|mut daemon| tell(&mut daemon, ended, &outputs)).is_none() {
        sweep(&outputs);
    }
    drop(lock);
    end(ended)
}

/// The lock of a compile, as kache takes it: it dies with this process, and who holds it has the name, too.
struct Lock {
    path: PathBuf,
    /// Never read: the lock is on its descriptor, which no other program gets.
    _file: File,
}

impl Lock {
    /// None where another has it: kache waits for that one.
    fn take(path: &Path) -> Option<Lock> {
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent()?).ok()?;
                open()
            }
            opened => opened,
        }
        .ok()?;
        let is_taken = unsafe { flock(file.as_raw_fd(), LOCK_EX | LOCK_NB) } == 0;
        // Who had it before may have removed the name meanwhile: then this lock guards nothing.
        let is_named = fs::metadata(path).ok()?.ino() == file.metadata().ok()?.ino();
        if is_taken && is_named { Some(Lock { path: path.into(), _file: file }) } else { None }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The name goes first: who has opened it and waits sees that it leads nowhere.
        let _ = fs::remove_file(&self.path);
    }
}

/// No compiler writes into the store through a link.
fn unshare(outputs: &[PathBuf]) {
    for output in outputs {
        if fs::symlink_metadata(output).map_or(false, |info| info.nlink() > 1) {
            // What cannot be removed cannot be written either.
            let _ = fs::remove_file(output);
        }
    }
}

/// How a program ended: with a code, or by a signal.
#[derive(Clone, Copy, PartialEq)]
enum Ended {
    Exited(i32),
    Signalled(c_int),
}

/// Starts the compiler and hands on what it prints until it ends. The daemon comes back where it answered to the last.
/// None where it could not be started.
fn follow(
    command: &mut Command,
    daemon: UnixStream,
    outputs: &[PathBuf],
) -> Option<(Ended, Option<UnixStream>)> {
    let daemon = Mutex::new(Some(daemon));
    let translate = |descriptor: u8| {
        let daemon = &daemon;
        move |line: &[u8]| translate(line, descriptor, outputs, daemon)
    };
    let (mut child, lost) = thread::scope(|scope| {
        // Before the compiler: where there can be no thread, there is nothing to take back.
        let (give, take) = mpsc::channel();
        let on_stdout = thread::Builder::new()
            .spawn_scoped(scope, || take.into_iter().find_map(|from| relay(from, io::stdout(), &translate(b'1'))))
            .ok()?;
        let mut child = command.spawn().ok()?;
        to_child(child.id() as c_int);
        let _ = give.send(child.stdout.take());
        drop(give);
        let on_stderr = relay(child.stderr.take(), io::stderr(), &translate(b'2'));
        Some((child, on_stdout.join().unwrap_or(None).or(on_stderr)))
    })?;
    let ended = child.wait().map_or(Ended::Exited(101), |status: ExitStatus| match status.code() {
        Some(code) => Ended::Exited(code),
        None => Ended::Signalled(status.signal().unwrap_or(SIGPIPE)),
    });
    // Its number may be another's from here on.
    CHILD.store(0, SeqCst);
    let ended = match lost {
        Some(error) if ended == Ended::Exited(0) => cannot_print(&error),
        _ => ended,
    };
    Some((ended, daemon.into_inner().unwrap_or(None)))
}

/// How rustc ends when what it has to say cannot be written.
fn cannot_print(error: &io::Error) -> Ended {
    if error.kind() == io::ErrorKind::BrokenPipe { Ended::Signalled(SIGPIPE) } else { Ended::Exited(101) }
}

/// Prints the lines of a stream as they come, translated; returns why it could not. The compiler goes on all the same.
fn relay(
    from: Option<impl Read>,
    mut to: impl Write,
    translate: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<io::Error> {
    let mut lost = None;
    let mut from = BufReader::new(from?);
    let mut line = Vec::new();
    // What cannot be read has ended.
    while from.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
        let translated = translate(&line);
        // The end of a text that ends in no newline is no line: it is told, and printed as it is.
        let shown = if line.ends_with(b"\n") { translated.as_ref().unwrap_or(&line) } else { &line };
        if lost.is_none() {
            lost = to.write_all(shown).and_then(|()| to.flush()).err();
        }
        line.clear();
    }
    lost
}

/// What to print for a line; none where the daemon does not answer, now or any more.
fn translate(
    line: &[u8],
    descriptor: u8,
    outputs: &[PathBuf],
    daemon: &Mutex<Option<UnixStream>>,
) -> Option<Vec<u8>> {
    let mut held = daemon.lock().ok()?;
    let stream = held.as_mut()?;
    let mut frame = [b"line\0", &[descriptor][..]].concat();
    frame.extend(states_of(outputs));
    frame.push(0);
    frame.extend(line);
    let answered = send(stream, &frame).and_then(|()| receive(stream)).ok();
    if answered.is_none() {
        *held = None;
    }
    answered
}

/// The state of each output, behind a zero byte; what is not there has an empty one. Whatever comes into their places when
/// this process is no more is not theirs.
fn states_of(outputs: &[PathBuf]) -> Vec<u8> {
    outputs.iter().flat_map(|output| [vec![0], state_of(output).unwrap_or_default().into_bytes()].concat()).collect()
}

/// Tells how the compiler ended and what it left, and waits until that is stored: dependents look at once.
fn tell(daemon: &mut UnixStream, ended: Ended, outputs: &[PathBuf]) -> Option<()> {
    let (how, number) = match ended {
        Ended::Exited(code) => ("exited", code),
        Ended::Signalled(signal) => ("signalled", signal),
    };
    let mut report = format!("ended\0{how}\0{number}").into_bytes();
    report.extend(states_of(outputs));
    let _ = daemon.set_read_timeout(Some(STORE_PATIENCE));
    send(daemon, &report).and_then(|()| receive(daemon)).ok().map(|_| ())
}

/// Removes what lies aside in the name of this process, as what the linker said: nobody has taken it.
fn sweep(outputs: &[PathBuf]) {
    let Some(aside) = outputs.first().and_then(|output| output.parent()).map(|dir| dir.join(".kache")) else { return };
    let own = format!("{}-", id());
    for file in fs::read_dir(aside).into_iter().flatten().flatten() {
        if file.file_name().as_bytes().starts_with(own.as_bytes()) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Ends this process as the compiler ended.
fn end(ended: Ended) -> ! {
    match ended {
        Ended::Exited(code) => exit(code),
        Ended::Signalled(number) => {
            unsafe {
                signal(number, SIG_DFL);
                kill(id() as c_int, number);
            }
            exit(128 + number)
        }
    }
}

/// The compiler's process; 0 before there is one.
static CHILD: AtomicI32 = AtomicI32::new(0);
/// A signal that came before.
static EARLY: AtomicI32 = AtomicI32::new(0);

extern "C" fn forward(number: c_int) {
    if CHILD.load(SeqCst) == 0 {
        EARLY.store(number, SeqCst);
    }
    // Looked at once more: it may have been started on the other thread just now.
    match CHILD.load(SeqCst) {
        0 => {}
        child => unsafe {
            kill(child, number);
        },
    }
}

/// Signals go to the compiler from here on, but for those that are ignored, as under nohup.
fn forward_signals() {
    for number in FORWARDED {
        unsafe {
            if signal(number, forward as *const () as usize) == SIG_IGN {
                signal(number, SIG_IGN);
            }
        }
    }
}

/// A signal that came when there was no compiler yet, and will be none.
fn raise_early() {
    match EARLY.load(SeqCst) {
        0 => {}
        number => unsafe {
            kill(id() as c_int, number);
        },
    }
}

fn to_child(child: c_int) {
    CHILD.store(child, SeqCst);
    match EARLY.load(SeqCst) {
        0 => {}
        number => unsafe {
            kill(child, number);
        },
    }
}

/// Signals mean this process again.
fn restore_signals() {
    for number in FORWARDED {
        unsafe {
            if signal(number, SIG_DFL) == SIG_IGN {
                signal(number, SIG_IGN);
            }
        }
    }
}
