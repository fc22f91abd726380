// A compile the daemon stores: this process runs the compiler, has what it prints translated on its way, and tells how it
// ended. From the compiler's start on nothing that becomes of the daemon matters to the build: lines are printed as they
// are then, and nothing is stored.
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::raw::c_int;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{exit, id, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::{create, path, receive, send, state_of};

/// A line is translated within microseconds, but for one that announces metadata, which is hashed.
const LINE_PATIENCE: Duration = Duration::from_secs(10);
/// Outputs are read and hashed, perhaps those of other calls before them.
const STORE_PATIENCE: Duration = Duration::from_secs(60);

const SIGPIPE: c_int = 13;
/// SIGHUP, SIGINT, SIGTERM: who sends one to us means the compiler.
const FORWARDED: [c_int; 3] = [1, 2, 15];
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;

extern "C" {
    fn signal(number: c_int, handler: usize) -> usize;
    fn kill(process: c_int, number: c_int) -> c_int;
}

/// Runs the compiler and ends as it ended. Returns where it was not started.
pub fn run(mut daemon: UnixStream, proof: &Path) -> Option<Infallible> {
    // Only who can write to the store is believed.
    create(proof, 0o600).ok()?;
    send(&mut daemon, b"ready").ok()?;
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
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        restore_signals();
        return None;
    };
    to_child(child.id() as c_int);
    let (ended, daemon) = follow(&mut child, daemon);
    restore_signals();
    if let Some(mut daemon) = daemon {
        tell(&mut daemon, ended, &outputs);
    }
    end(ended)
}

/// How a program ended: with a code, or by a signal.
#[derive(Clone, Copy, PartialEq)]
enum Ended {
    Exited(i32),
    Signalled(c_int),
}

/// Hands on what the compiler prints until it ends. The daemon comes back where it answered to the last.
fn follow(child: &mut Child, daemon: UnixStream) -> (Ended, Option<UnixStream>) {
    let daemon = Mutex::new(Some(daemon));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let lost = thread::scope(|scope| {
        let stdout = scope.spawn(|| relay(stdout, io::stdout(), b'1', &daemon));
        let on_stderr = relay(stderr, io::stderr(), b'2', &daemon);
        stdout.join().unwrap_or(None).or(on_stderr)
    });
    let ended = child.wait().map_or(Ended::Exited(101), |status: ExitStatus| match status.code() {
        Some(code) => Ended::Exited(code),
        None => Ended::Signalled(status.signal().unwrap_or(SIGPIPE)),
    });
    let ended = match lost {
        Some(error) if ended == Ended::Exited(0) => cannot_print(&error),
        _ => ended,
    };
    (ended, daemon.into_inner().unwrap_or(None))
}

/// How rustc ends when what it has to say cannot be written.
fn cannot_print(error: &io::Error) -> Ended {
    if error.kind() == io::ErrorKind::BrokenPipe { Ended::Signalled(SIGPIPE) } else { Ended::Exited(101) }
}

/// Prints the lines of a stream as they come, translated; returns why it could not. The compiler goes on all the same.
fn relay(
    from: Option<impl Read>,
    mut to: impl Write,
    descriptor: u8,
    daemon: &Mutex<Option<UnixStream>>,
) -> Option<io::Error> {
    let mut lost = None;
    let mut from = BufReader::new(from?);
    let mut line = Vec::new();
    // What cannot be read has ended.
    while from.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
        let translated = translate(&line, descriptor, daemon);
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
fn translate(line: &[u8], descriptor: u8, daemon: &Mutex<Option<UnixStream>>) -> Option<Vec<u8>> {
    let mut held = daemon.lock().ok()?;
    let stream = held.as_mut()?;
    let frame = [b"line\0", &[descriptor][..], b"\0", line].concat();
    let answered = send(stream, &frame).and_then(|()| receive(stream)).ok();
    if answered.is_none() {
        *held = None;
    }
    answered
}

/// Tells how the compiler ended and what it left, and waits until that is stored: dependents look at once.
fn tell(daemon: &mut UnixStream, ended: Ended, outputs: &[PathBuf]) {
    let (how, number) = match ended {
        Ended::Exited(code) => ("exited", code),
        Ended::Signalled(signal) => ("signalled", signal),
    };
    let mut report = format!("ended\0{how}\0{number}").into_bytes();
    for output in outputs {
        report.push(0);
        report.extend(state_of(output).unwrap_or_default().as_bytes());
    }
    let _ = daemon.set_read_timeout(Some(STORE_PATIENCE));
    let _ = send(daemon, &report).and_then(|()| receive(daemon));
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
    match CHILD.load(SeqCst) {
        0 => EARLY.store(number, SeqCst),
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
