// Runs a program and says which files it and everything it started have looked at: a tracer in the kernel's own sense
// (ptrace(2)), that is stopped for by system calls with a path in them and for nothing else (seccomp(2), SECCOMP_RET_TRACE).
// What it cannot follow it says: then nobody may take the list for the whole of it.
//
// The log: fields that end at a zero byte, in pairs. `saw` and `listed`: a path, behind the state it was found in when it was
// first asked for (`-` absent, `f` file, `d` folder, `o` anything else). `wrote`: a path that was made, changed or taken away,
// behind the state before. `lost`: why the rest is not the whole. `ended`, last: `exited N` or `signalled N`. No path leads over
// a link: the links are `saw`, each by itself.
use crate::calls::{self, prctl, Does, Does::*, HOW, NONE};
use crate::escapes::escape;
use crate::paths::{interpreter, is_traced_here, walk, Call};
use std::collections::{HashMap, HashSet};
use std::ffi::{c_int, c_long, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{parent_id, CommandExt};
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

extern "C" {
    fn ptrace(request: c_long, pid: c_int, address: usize, data: usize) -> c_long;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn fork() -> c_int;
    fn pipe2(ends: *mut c_int, flags: c_int) -> c_int;
    fn signal(number: c_int, action: usize) -> usize;
    fn waitid(kind: c_int, pid: c_int, info: usize, options: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn setsid() -> c_int;
}

const PTRACE_CONT: c_long = 7;
const PTRACE_SEIZE: c_long = 0x4206;
const PTRACE_LISTEN: c_long = 0x4208;
const PTRACE_GET_SYSCALL_INFO: c_long = 0x420e;
/// Follow fork, vfork, clone and exec; stop for the filter; nothing traced outlives the tracer.
const OPTIONS: usize = 0x02 | 0x04 | 0x08 | 0x10 | 0x80 | 0x10_0000;
const EVENT_EXEC: c_int = 4;
const EVENT_SECCOMP: c_int = 7;
const EVENT_STOP: c_int = 128;
const SIGTRAP: c_int = 5;
const WALL: c_int = 0x4000_0000;
const O_CLOEXEC: c_int = 0o2_000_000;
const PR_SET_PDEATHSIG: c_int = 1;

/// `--observe LOG NAME PROGRAM ARG…`, with the name the program is to know itself by: ends as the program ends.
pub fn run(args: &[OsString]) -> ! {
    let [log, program @ ..] = args else { exit(2) };
    if program.len() < 2 {
        exit(2);
    }
    // Without kache nobody waits for the end of the program.
    unsafe { prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0) };
    let mut ends = [0; 2];
    let log = File::create(log);
    let (Ok(log), 0) = (log, unsafe { pipe2(ends.as_mut_ptr(), O_CLOEXEC) }) else { become_program(program) };
    let (mut from, to) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    let observer = std::process::id();
    // The tracer is a child: it stays where something the program has started stays behind it.
    match unsafe { fork() } {
        -1 => become_program(program),
        0 => {
            drop(from);
            unsafe { prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0) };
            // It may have ended before this one asked to end with it.
            if parent_id() != observer {
                exit(1);
            }
            trace(log, to, program)
        }
        tracer => {
            drop((log, to));
            let mut ended = [0; 4];
            let status = match from.read_exact(&mut ended) {
                Ok(()) => c_int::from_le_bytes(ended),
                Err(_) => wait_for(tracer).map_or(9, |(_, status)| status),
            };
            end_like(status)
        }
    }
}

fn become_program(program: &[OsString]) -> ! {
    let error = Command::new(&program[1]).arg0(&program[0]).args(&program[2..]).exec();
    let _ = writeln!(io::stderr(), "kache: cannot run {}: {error}", program[1].to_string_lossy());
    exit(127);
}

/// A process that has changed state, and its status; None when there is none left.
fn wait_for(pid: c_int) -> Option<(c_int, c_int)> {
    let mut status = 0;
    loop {
        let waited = unsafe { waitpid(pid, &mut status, WALL) };
        if waited > 0 {
            return Some((waited, status));
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

fn end_like(status: c_int) -> ! {
    let number = status & 0x7f;
    if number == 0 {
        exit(status >> 8 & 0xff);
    }
    extern "C" {
        fn raise(number: c_int) -> c_int;
    }
    unsafe {
        signal(number, 0);
        raise(number);
    }
    exit(128 + number);
}

/// Starts the program and follows it to its end, and everything it has started to theirs.
fn trace(log: File, to: File, program: &[OsString]) -> ! {
    let mut ends = [0; 2];
    if unsafe { pipe2(ends.as_mut_ptr(), O_CLOEXEC) } != 0 {
        become_program(program);
    }
    let (mut go, mut ready) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    let main = unsafe { fork() };
    if main == 0 {
        drop(ready);
        start(&mut go, program);
    }
    if main < 0 {
        become_program(program);
    }
    drop(go);
    let (walked, folders, making) = (HashSet::new(), HashMap::new(), HashSet::new());
    let mut tracer = Tracer { file: log, log: Vec::new(), seen: HashSet::new(), walked, folders, making, main };
    let seized = calls::IS_KNOWN_HERE && unsafe { ptrace(PTRACE_SEIZE, main, 0, OPTIONS) } == 0;
    if !seized {
        tracer.say("lost", "it cannot be traced here".as_bytes());
    }
    // What the program is told decides: without a tracer the filter would refuse what it should report.
    let _ = ready.write_all(&[u8::from(seized)]);
    drop(ready);
    tracer.follow(to)
}

/// The child: waits for the tracer, puts the filter on itself and becomes the program.
fn start(go: &mut File, program: &[OsString]) -> ! {
    let mut seized = [0];
    // Without a tracer nobody waits for it any more; without the filter nobody would stop for anything.
    if go.read_exact(&mut seized).is_err() || seized == [1] && !calls::stop_at_them() {
        exit(126);
    }
    become_program(program)
}

/// struct ptrace_syscall_info, as far as a stop for the filter fills it.
#[repr(C)]
#[derive(Default)]
struct CallInfo {
    kind: u8,
    pad: [u8; 3],
    architecture: u32,
    instruction: u64,
    stack: u64,
    number: u64,
    arguments: [u64; 6],
    data: u32,
}

struct Tracer {
    file: File,
    log: Vec<u8>,
    /// Records, and paths with what is said of them.
    seen: HashSet<Vec<u8>>,
    /// Paths as they were named, with what was done there: to follow them again would find the same.
    walked: HashSet<(Deed, PathBuf)>,
    /// Folders as they were named, with what they are without links.
    folders: HashMap<PathBuf, PathBuf>,
    /// Who is in a call that makes a name: it may be a link, and lead elsewhere.
    making: HashSet<c_int>,
    main: c_int,
}

/// What is done to a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Deed {
    Look,
    Read,
    /// Makes a file, or changes one that is there.
    Write,
    Make,
    /// Makes what must not be there: where something is, that is all there is to find out.
    MakeNew,
    Remove,
    Change,
}

impl Tracer {
    fn follow(&mut self, mut to: File) -> ! {
        while let Some((pid, status)) = wait_for(-1) {
            self.making.remove(&pid);
            if status & 0xff != 0x7f {
                if pid == self.main {
                    self.end(status, &mut to);
                    // Another process may have its number from now on.
                    self.main = 0;
                }
                continue;
            }
            let (number, event) = (status >> 8 & 0xff, status >> 16);
            let (mut request, mut passed) = (PTRACE_CONT, 0);
            match event {
                EVENT_SECCOMP => self.stopped(pid),
                EVENT_EXEC => self.started(pid),
                EVENT_STOP if number != SIGTRAP => request = PTRACE_LISTEN,
                0 => passed = number,
                _ => {}
            }
            unsafe { ptrace(request, pid, 0, passed as usize) };
        }
        exit(0)
    }

    /// The program has ended; what it has left running goes on, watched, since the filter needs a watcher.
    fn end(&mut self, status: c_int, to: &mut File) {
        // Look only, at those that have ended or stopped: with an error, when there is nobody at all.
        const ANYBODY: c_int = 0x1 | 0x2 | 0x4 | 0x100_0000 | WALL;
        let is_alone = unsafe { waitid(0, 0, 0, ANYBODY) } != 0;
        // Children that end now, unwaited for, are not left running.
        let is_left = |entry: fs::DirEntry| is_traced_here(&entry.path());
        if !is_alone && fs::read_dir("/proc").map_or(true, |all| all.flatten().any(is_left)) {
            self.say("lost", b"it left something running");
        }
        let ended = match status & 0x7f {
            0 => format!("exited {}", status >> 8 & 0xff),
            number => format!("signalled {number}"),
        };
        self.say("ended", ended.as_bytes());
        // A log that could not be written has no end, and is none.
        let _ = self.file.write_all(&self.log);
        // What stays behind is nobody's any more, neither the terminal's nor a waiter's.
        unsafe {
            prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
            setsid();
        }
        if let Ok(nothing) = File::options().read(true).write(true).open("/dev/null") {
            for fd in 0..3 {
                unsafe { dup2(nothing.as_raw_fd(), fd) };
            }
        }
        let _ = to.write_all(&status.to_le_bytes());
    }

    fn say(&mut self, kind: &str, what: &[u8]) {
        let record = [kind.as_bytes(), b"\0", what, b"\0"].concat();
        if self.seen.insert(record.clone()) {
            self.log.extend(record);
        }
    }

    fn started(&mut self, pid: c_int) {
        match fs::read_link(format!("/proc/{pid}/exe")) {
            Ok(program) => {
                // Under watch it does not get them: what it did is not what it would have done.
                if fs::metadata(&program).is_ok_and(|info| info.mode() & 0o6000 != 0) {
                    self.say("lost", b"a program with rights of its own");
                }
                self.note(Deed::Look, program)
            }
            Err(_) if call_of(pid).is_err_and(|error| error.raw_os_error() == Some(GONE)) => {}
            Err(_) => self.say("lost", b"a program that cannot be told"),
        }
    }

    fn stopped(&mut self, pid: c_int) {
        let info = match call_of(pid) {
            Ok(info) => info,
            // Killed before its call was made.
            Err(error) if error.raw_os_error() == Some(GONE) => return,
            // A kernel before 5.3.
            Err(_) => return self.say("lost", b"a call that cannot be told"),
        };
        let Some(does) = calls::meaning(info.architecture, info.number) else {
            return self.say("lost", b"a call that is not known here");
        };
        let call = Call { pid, arguments: info.arguments };
        if self.watch(&call, does).is_none() && call_of(pid).is_ok() {
            self.say("lost", b"a path that cannot be told");
        }
    }

    fn watch(&mut self, call: &Call, does: Does) -> Option<()> {
        match does {
            Looks(folder, at) => self.note_at(call, Deed::Look, (folder, at))?,
            Starts(folder, at) => {
                self.note_at(call, Deed::Look, (folder, at))?;
                let mut program = call.path(folder, at)?;
                // A script may name a script; the kernel goes on to the fifth.
                for _ in 0..5 {
                    let Some(next) = program.as_deref().and_then(interpreter) else { break };
                    let next = call.working_folder()?.join(next);
                    self.note(Deed::Look, next.clone());
                    program = Some(next);
                }
            }
            Opens(folder, at, flags) => {
                let flags = if flags == HOW { call.number_at(call.arguments[2])? } else { call.arguments[flags] };
                // O_PATH looks only; a file without a name (O_TMPFILE) is in no folder.
                const LOOKING: u64 = 0o10_000_000 | 0o20_000_000;
                const MAKING: u64 = 0o100;
                const WRITING: u64 = 0o3 | 0o1000;
                let deed = match flags {
                    _ if flags & LOOKING != 0 => Deed::Look,
                    _ if flags & MAKING != 0 => Deed::Write,
                    _ if flags & WRITING != 0 => Deed::Change,
                    _ => Deed::Read,
                };
                self.note_at(call, deed, (folder, at))?;
            }
            Writes(folder, at) => {
                self.making.insert(call.pid);
                self.note_at(call, Deed::Write, (folder, at))?;
            }
            Makes(folder, at) => {
                self.making.insert(call.pid);
                self.note_at(call, Deed::MakeNew, (folder, at))?;
            }
            Removes(folder, at) => self.note_at(call, Deed::Remove, (folder, at))?,
            Changes(folder, at, flags) => {
                const NOT_THROUGH_LINKS: u64 = 0x100;
                let is_name = flags != NONE && call.arguments[flags] & NOT_THROUGH_LINKS != 0;
                let path = if at == NONE { None } else { call.path(folder, at)? };
                match path {
                    Some(path) => self.note(if is_name { Deed::Remove } else { Deed::Change }, path),
                    None if folder == NONE => {}
                    None => call.opened(folder).into_iter().for_each(|path| self.note(Deed::Change, path)),
                }
            }
            Moves(first, second) => {
                self.making.insert(call.pid);
                self.note_at(call, Deed::Remove, first)?;
                self.note_at(call, Deed::Make, second)?;
            }
            Connects if escape(call, does)?.is_none() => call.peer()?.into_iter().for_each(|path| self.note(Deed::Look, path)),
            _ => escape(call, does)?.into_iter().for_each(|how| self.say("lost", how.as_bytes())),
        }
        Some(())
    }

    fn note_at(&mut self, call: &Call, deed: Deed, (folder, at): (usize, usize)) -> Option<()> {
        if let Some(path) = call.path(folder, at)? {
            self.note(deed, path);
        }
        Some(())
    }

    /// Notes what is about to be done to a path, which the call names.
    fn note(&mut self, deed: Deed, path: PathBuf) {
        if !self.making.is_empty() {
            self.walked.clear();
            self.folders.clear();
        }
        let key = (deed, path);
        if self.walked.contains(&key) {
            return;
        }
        let follows = !matches!(deed, Deed::Make | Deed::MakeNew | Deed::Remove);
        let end = match (key.1.parent(), key.1.file_name()) {
            (Some(folder), Some(name)) => {
                let folder = self.folder(folder);
                self.follow_links(&folder, name.as_ref(), follows)
            }
            _ => self.follow_links(Path::new("/"), &key.1, follows),
        };
        if self.making.is_empty() {
            self.walked.insert(key);
        }
        let kind = match deed {
            Deed::Look => "saw",
            Deed::Read if end.is_dir() => "listed",
            Deed::Read => "saw",
            Deed::MakeNew if fs::symlink_metadata(&end).is_ok() => "saw",
            Deed::Write | Deed::Make | Deed::MakeNew => "wrote",
            // What is not there is neither changed nor taken away: that is all there is to find out.
            Deed::Remove | Deed::Change if fs::symlink_metadata(&end).is_err() => "saw",
            Deed::Remove | Deed::Change => "wrote",
        };
        self.record(kind, &end);
    }

    fn folder(&mut self, named: &Path) -> PathBuf {
        if let Some(folder) = self.folders.get(named) {
            return folder.clone();
        }
        let folder = self.follow_links(Path::new("/"), named, true);
        if self.making.is_empty() {
            self.folders.insert(named.to_path_buf(), folder.clone());
        }
        folder
    }

    fn follow_links(&mut self, folder: &Path, path: &Path, follows_last: bool) -> PathBuf {
        let (crossed, end) = walk(folder, path, follows_last);
        for link in crossed {
            self.record("saw", &link);
        }
        end
    }

    /// Says a path with its state: the call has not happened yet.
    fn record(&mut self, kind: &str, path: &Path) {
        let name = path.as_os_str().as_bytes();
        if !self.seen.insert([kind.as_bytes(), b" ", name].concat()) {
            return;
        }
        let state = match fs::metadata(path) {
            Ok(info) if info.is_file() => b'f',
            Ok(info) if info.is_dir() => b'd',
            Ok(_) => b'o',
            Err(_) if fs::symlink_metadata(path).is_ok() => b'o',
            Err(_) => b'-',
        };
        self.say(kind, &[&[state], name].concat());
    }
}

/// ESRCH: a stopped process has been killed.
const GONE: i32 = 3;

/// The call a process has stopped at.
fn call_of(pid: c_int) -> io::Result<CallInfo> {
    let mut info = CallInfo::default();
    let size = std::mem::size_of::<CallInfo>();
    match unsafe { ptrace(PTRACE_GET_SYSCALL_INFO, pid, size, &mut info as *mut _ as usize) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(info),
    }
}
