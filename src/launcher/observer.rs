// Runs a program and says which files it and everything it started have looked at: a tracer in the kernel's own sense
// (ptrace(2)), that is stopped for by system calls with a path in them and for nothing else (seccomp(2), SECCOMP_RET_TRACE).
// What it cannot follow it says: then nobody may take the list for the whole of it.
//
// The log: fields that end at a zero byte, in pairs. `saw` and `listed`: a path, behind the state it was found in when it was
// first asked for (`-` absent, `f` file, `d` folder, `o` anything else). `wrote`: a path that was made, changed or taken away,
// behind the state before. `lost`: why the rest is not the whole. `ended`, last: `exited N` or `signalled N`.
use crate::calls::{self, prctl, Does, Does::*, Names, HOW, NONE};
use std::collections::HashSet;
use std::ffi::{c_int, c_long, c_ulong, c_void, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

extern "C" {
    fn ptrace(request: c_long, pid: c_int, address: usize, data: usize) -> c_long;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn fork() -> c_int;
    fn pipe2(ends: *mut c_int, flags: c_int) -> c_int;
    fn signal(number: c_int, action: usize) -> usize;
    fn process_vm_readv(pid: c_int, to: *const Span, n: c_ulong, from: *const Span, m: c_ulong, flags: c_ulong) -> isize;
}

#[repr(C)]
struct Span {
    base: *mut c_void,
    length: usize,
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
    // The tracer is a child: it stays where something the program has started stays behind it.
    match unsafe { fork() } {
        -1 => become_program(program),
        0 => {
            drop(from);
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
    unsafe { prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0) };
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
    drop(go);
    let mut tracer = Tracer { file: log, log: Vec::new(), seen: HashSet::new(), main };
    let seized = main > 0 && unsafe { ptrace(PTRACE_SEIZE, main, 0, OPTIONS) } == 0;
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
    if go.read_exact(&mut seized).is_ok() && seized == [1] && !calls::stop_at_them() {
        // Nobody would stop for anything. The program is not run so.
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
    seen: HashSet<Vec<u8>>,
    main: c_int,
}

impl Tracer {
    fn follow(&mut self, mut to: File) -> ! {
        while let Some((pid, status)) = wait_for(-1) {
            if status & 0xff != 0x7f {
                if pid == self.main {
                    self.end(status, &mut to);
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
        // Children that end now, unwaited for, are not left running.
        if fs::read_dir("/proc").is_ok_and(|all| all.flatten().any(|entry| is_traced_here(&entry.path()))) {
            self.say("lost", b"it left something running");
        }
        let ended = match status & 0x7f {
            0 => format!("exited {}", status >> 8 & 0xff),
            number => format!("signalled {number}"),
        };
        self.say("ended", ended.as_bytes());
        // A log that could not be written has no end, and is none.
        let _ = self.file.write_all(&self.log);
        unsafe { prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) };
        if let Ok(nothing) = File::options().read(true).write(true).open("/dev/null") {
            extern "C" {
                fn dup2(from: c_int, to: c_int) -> c_int;
            }
            // Who waits for the end of what the program prints waits for the program alone.
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
        // The interpreter of a script, which no call names.
        match fs::read_link(format!("/proc/{pid}/exe")) {
            Ok(program) => self.saw(&program),
            Err(_) => self.say("lost", b"a program that cannot be told"),
        }
    }

    fn stopped(&mut self, pid: c_int) {
        let mut info = CallInfo::default();
        let size = std::mem::size_of::<CallInfo>();
        let got = unsafe { ptrace(PTRACE_GET_SYSCALL_INFO, pid, size, &mut info as *mut _ as usize) };
        if got <= 0 {
            // Killed in the middle; or a kernel before 5.3.
            return self.say("lost", b"a call that cannot be told");
        }
        let Some(does) = calls::meaning(info.architecture, info.number) else {
            return self.say("lost", b"a call of another architecture");
        };
        let call = Call { pid, arguments: info.arguments };
        if self.watch(&call, does).is_none() {
            self.say("lost", b"a path that cannot be told");
        }
    }

    fn watch(&mut self, call: &Call, does: Does) -> Option<()> {
        match does {
            Looks(folder, at) | Starts(folder, at) => {
                if let Some(path) = call.path(folder, at)? {
                    self.saw(&path);
                }
            }
            Opens(folder, at, flags) => {
                let Some(path) = call.path(folder, at)? else { return Some(()) };
                let flags = if flags == HOW { call.number_at(call.arguments[2])? } else { call.arguments[flags] };
                const WRITING: u64 = 0o3 | 0o100 | 0o1000;
                // O_PATH looks only; a file without a name (O_TMPFILE) is in no folder.
                const LOOKING: u64 = 0o10_000_000;
                const NAMELESS: u64 = 0o20_000_000;
                if flags & NAMELESS != 0 {
                    self.saw(&path);
                } else if flags & LOOKING == 0 && flags & WRITING != 0 {
                    self.wrote(&path);
                } else if path.is_dir() {
                    self.path("listed", &path);
                } else {
                    self.saw(&path);
                }
            }
            Writes(folder, at) => {
                if let Some(path) = call.path(folder, at)? {
                    self.wrote(&path);
                }
            }
            Moves(first, second) => {
                for (folder, at) in [first, second] {
                    if let Some(path) = call.path(folder, at)? {
                        self.wrote(&path);
                    }
                }
            }
            Connects => {
                let address = call.bytes(call.arguments[1], call.arguments[2].min(110) as usize)?;
                const UNIX: u8 = 1;
                let path = match address.as_slice() {
                    [UNIX, 0, rest @ ..] if rest.first().is_some_and(|byte| *byte != 0) => {
                        rest.split(|byte| *byte == 0).next().map(|name| PathBuf::from(OsString::from_vec(name.to_vec())))
                    }
                    _ => None,
                };
                match path {
                    Some(path) if path.is_absolute() && !path.exists() => self.saw(&path),
                    _ => self.say("lost", b"it asked another process"),
                }
            }
            Sends(names) => {
                let address = match names {
                    Names::InArgument(at) => call.arguments[at],
                    Names::InHeader(at) => call.number_at(call.arguments[at])?,
                };
                // What names nobody goes where its socket is connected.
                if address != 0 {
                    self.say("lost", b"it asked another process");
                }
            }
            Escapes(how) => self.say("lost", how.as_bytes()),
        }
        Some(())
    }

    fn saw(&mut self, path: &Path) {
        self.path("saw", path);
    }

    fn wrote(&mut self, path: &Path) {
        self.path("wrote", path);
    }

    /// Notes a path with its state: the call has not happened yet.
    fn path(&mut self, kind: &str, path: &Path) {
        let name = path.as_os_str().as_bytes();
        let first = [kind.as_bytes(), b" ", name].concat();
        if !self.seen.insert(first) {
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

/// Whether a process is traced by this one and still runs.
fn is_traced_here(process: &Path) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    field("TracerPid:") == Some(&std::process::id().to_string()) && !field("State:").is_some_and(|state| state.starts_with('Z'))
}

/// A stopped process and the arguments of its call.
struct Call {
    pid: c_int,
    arguments: [u64; 6],
}

impl Call {
    /// The path in argument `at`, absolute. `Some(None)`: there is none, the call is about a descriptor.
    fn path(&self, folder: usize, at: usize) -> Option<Option<PathBuf>> {
        let address = self.arguments[at];
        if address == 0 {
            return Some(None);
        }
        let name = self.text(address)?;
        if name.first() == Some(&b'/') {
            return self.absolute(PathBuf::from(OsString::from_vec(name)));
        }
        if name.is_empty() {
            return Some(None);
        }
        let descriptor = if folder == NONE { -100 } else { self.arguments[folder] as c_int };
        let base = match descriptor {
            -100 => fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()?,
            fd => fs::read_link(format!("/proc/{}/fd/{fd}", self.pid)).ok()?,
        };
        // A folder that is gone has no path, and what is no file never had one.
        if !base.is_absolute() || base.as_os_str().as_bytes().ends_with(b" (deleted)") {
            return None;
        }
        Some(Some(base.join(OsString::from_vec(name))))
    }

    /// An absolute path as it is to everybody: `/proc/self` and `/dev/fd` are the process's own. None for what a descriptor
    /// leads to that has no path: a pipe, a socket.
    fn absolute(&self, path: PathBuf) -> Option<Option<PathBuf>> {
        const OWN: [(&str, &str); 6] = [
            ("/proc/self", ""),
            ("/proc/thread-self", ""),
            ("/dev/fd", "fd"),
            ("/dev/stdin", "fd/0"),
            ("/dev/stdout", "fd/1"),
            ("/dev/stderr", "fd/2"),
        ];
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        let found = OWN.iter().find_map(|(name, stands)| Some(process.join(stands).join(path.strip_prefix(name).ok()?)));
        let path = found.unwrap_or(path);
        let mut parts = path.strip_prefix("/proc").into_iter().flat_map(|below| below.iter().skip(1));
        if parts.next() != Some(OsStr::new("fd")) || parts.next().is_none() || parts.next().is_some() {
            return Some(Some(path));
        }
        // What is not there any more is for the call to find out.
        let Ok(leads) = fs::read_link(&path) else { return Some(Some(path)) };
        Some(leads.is_absolute().then_some(leads))
    }

    /// The text at an address, to its zero byte.
    fn text(&self, address: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < 4096 {
            // Not over the end of a page: the next one may not be there.
            let at = address + text.len() as u64;
            let piece = self.bytes(at, 512.min(4096 - (at % 4096) as usize))?;
            if let Some(end) = piece.iter().position(|byte| *byte == 0) {
                text.extend(&piece[..end]);
                return Some(text);
            }
            text.extend(piece);
        }
        None
    }

    fn bytes(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0u8; length];
        let to = Span { base: bytes.as_mut_ptr() as *mut c_void, length };
        let from = Span { base: address as *mut c_void, length };
        let read = unsafe { process_vm_readv(self.pid, &to, 1, &from, 1, 0) };
        (read == length as isize).then_some(bytes)
    }

    fn number_at(&self, address: u64) -> Option<u64> {
        Some(u64::from_ne_bytes(self.bytes(address, 8)?.try_into().ok()?))
    }
}
