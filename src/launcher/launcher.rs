// The launcher: what Cargo starts in the place of rustc. It asks the daemon of kache what to do. For a hit it puts the
// files in place and prints; for a miss it runs the compiler, and the daemon stores what that made. No runtime has been
// started then. In every other case, also when nobody answers, it becomes kache; and where kache is gone, the compiler. It
// decides nothing itself.
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{parent_id, CommandExt};
use std::path::{Path, PathBuf};
use std::process::{exit, id, Command};
use std::time::Duration;

mod calls;
mod compile;
mod escapes;
mod fill;
mod observer;
mod paths;

const KACHE: &str = env!("KACHE_LAUNCHER_KACHE");
const SOCKET: &str = env!("KACHE_LAUNCHER_SOCKET");
/// Where the store keeps what builds asked for: there is nothing to fill a new target folder with without it.
const PLANS: &str = env!("KACHE_LAUNCHER_PLANS");
/// Tells one launcher from the next: the hash of this source and of the paths above.
const BUILD: &str = env!("KACHE_LAUNCHER_BUILD");
const PROTOCOL: &str = "kache-launcher-3";
/// A daemon answers within milliseconds. One that does not is taken for dead.
const PATIENCE: Duration = Duration::from_secs(1);
const MAX_FRAME_BYTES: usize = 64 << 20;
const MAX_REQUEST_BYTES: usize = 4 << 20;

fn main() {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.len() < 2 {
        println!("kache-launcher {BUILD}\nkache {KACHE}\nsocket {SOCKET}");
        return;
    }
    if args[1] == "--observe" {
        observer::run(&args[2..]);
    }
    // A build script that is watched asks the compiler itself: what kache would read for it is none of its inputs.
    if std::env::var_os("KACHE_OBSERVED").is_some() {
        become_compiler(&args);
    }
    if may_compile(&args) || is_run(&args) {
        if let Some(printed) = ask(&args[1..]) {
            // Where that fails kache fails as the compiler would.
            if print(&printed).is_ok() {
                exit(0);
            }
        }
    } else if is_first(&args) && Path::new(PLANS).exists() {
        fill::run(&args[1..]);
        become_compiler(&args);
    } else if is_question(&args) && Path::new(SOCKET).exists() {
        become_compiler(&args);
    }
    // Its first argument tells kache who asked, and where: it starts a daemon where there is none.
    let _ = Command::new(KACHE).arg0(Path::new(SOCKET).join("kache-launcher")).args(&args[1..]).exec();
    become_compiler(&args);
}

/// Whether this call names a folder for outputs, or a file that may.
fn may_compile(args: &[OsString]) -> bool {
    args.iter().any(|arg| arg.as_bytes().starts_with(b"--out-dir") || arg.as_bytes().starts_with(b"@"))
}

/// Whether Cargo only asks the compiler something.
fn is_question(args: &[OsString]) -> bool {
    args.iter().any(|arg| arg == "-vV" || arg.as_bytes().starts_with(b"--print"))
}

/// Whether it is what Cargo asks before anything else, where a target folder is new to it.
fn is_first(args: &[OsString]) -> bool {
    args.last().map_or(false, |arg| arg == "-vV")
}

/// Whether the stand-in of a build script calls: with the script in the place of a compiler, its own path, and arguments.
fn is_run(args: &[OsString]) -> bool {
    args[1].as_bytes().ends_with(b".script") && args.len() >= 3
}

/// Becomes what would run without kache.
fn become_compiler(args: &[OsString]) -> ! {
    let (name, program, rest) = if is_run(args) { (&args[2], &args[1], &args[3..]) } else { (&args[1], &args[1], &args[2..]) };
    let error = Command::new(program).arg0(name).args(rest).exec();
    let _ = writeln!(io::stderr(), "kache: cannot run {}: {error}", program.to_string_lossy());
    exit(127);
}

/// What to print when this call was a hit and every file is in its place.
fn ask(call: &[OsString]) -> Option<Printed> {
    let (mut daemon, plan) = open(call, parent_id())?;
    let mut fields = plan.split(|byte| *byte == 0);
    let (verb, proof) = (fields.next()?, path(fields.next()?));
    match verb {
        b"place" => {}
        b"compile" => match compile::run(daemon, &proof, &path(fields.next()?))? {},
        _ => return None,
    }
    let files = files(&mut fields)?;
    let settled = settle(&mut daemon, &proof, &files);
    if settled.is_none() && call[0].as_bytes().ends_with(b".script") {
        // A build script begins with an empty folder.
        for file in &files {
            let _ = fs::remove_file(&file.target);
        }
    }
    settled
}

/// The daemon, told of this call, and its first answer.
fn open(call: &[OsString], parent: u32) -> Option<(UnixStream, Vec<u8>)> {
    let request = request(call, parent).filter(|request| request.len() <= MAX_REQUEST_BYTES)?;
    if !is_private(Path::new(SOCKET)) {
        return None;
    }
    let answered = question(&request);
    // The next call need not wait. A daemon that lives puts it back.
    if answered.as_ref().map_or_else(|error| is_silence(error.kind()), |_| false) {
        let _ = fs::remove_file(SOCKET);
    }
    answered.ok()
}

/// Puts the files in place and has the daemon know; what to print then.
fn settle(daemon: &mut UnixStream, proof: &Path, files: &[Placed]) -> Option<Printed> {
    let ways = put_in_place(files)?;
    let report = report(&files.iter().collect::<Vec<_>>(), &ways)?;
    prove(daemon, proof, &report)?;
    let last = receive(daemon).ok()?;
    let mut fields = last.split(|byte| *byte == 0);
    match (fields.next()?, fields.next()?, fields.next()?) {
        (b"done", stdout, stderr) => Some(Printed { stdout: stdout.to_vec(), stderr: stderr.to_vec() }),
        _ => None,
    }
}

/// Sends a frame with the file that shows who speaks: only who can write to the store is believed.
fn prove(daemon: &mut UnixStream, proof: &Path, frame: &[u8]) -> Option<()> {
    create(proof, 0o600).ok()?;
    let sent = send(daemon, frame);
    if sent.is_err() {
        let _ = fs::remove_file(proof);
    }
    sent.ok()
}

/// Whether nobody listens behind the socket, or nobody who answers: any other trouble is this call's own.
fn is_silence(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::*;
    matches!(
        kind,
        ConnectionRefused | ConnectionReset | BrokenPipe | UnexpectedEof | WouldBlock | TimedOut | InvalidData
    )
}

/// The daemon, and its first answer. An error: nobody is there, or nobody who answers in time.
fn question(request: &[u8]) -> io::Result<(UnixStream, Vec<u8>)> {
    let mut daemon = UnixStream::connect(SOCKET)?;
    daemon.set_read_timeout(Some(PATIENCE))?;
    daemon.set_write_timeout(Some(PATIENCE))?;
    send(&mut daemon, request)?;
    let mut plan = receive(&mut daemon)?;
    if let Some(digits) = plan.strip_prefix(b"wait\0") {
        // A remote is asked.
        let patience = number(digits, 10).ok_or(io::ErrorKind::InvalidData)?;
        daemon.set_read_timeout(Some(Duration::from_millis(patience)))?;
        plan = receive(&mut daemon)?;
        daemon.set_read_timeout(Some(PATIENCE))?;
    }
    Ok((daemon, plan))
}

/// Whether nobody else can listen there: what comes from it is done.
fn is_private(socket: &Path) -> bool {
    let folder = socket.parent().and_then(|folder| fs::metadata(folder).ok());
    // The folder of a process belongs to the user it acts for.
    let (Some(folder), Ok(own)) = (folder, fs::metadata("/proc/self")) else { return false };
    folder.uid() == own.uid() && folder.mode() & 0o022 == 0
}

/// This call, which `parent` makes, with everything it depends on: fields that end at a zero byte.
fn request(call: &[OsString], parent: u32) -> Option<Vec<u8>> {
    let mut place = String::new();
    for name in ["mnt", "pid", "user", "uts"] {
        place += &format!("{} ", fs::read_link(format!("/proc/self/ns/{name}")).ok()?.display());
    }
    let root = fs::metadata("/").ok()?;
    place += &format!("{} {}", root.dev(), root.ino());
    let mut request = format!("{PROTOCOL}\0{}\0{}\0{place}\0", id(), parent).into_bytes();
    request.extend(std::env::current_dir().ok()?.as_os_str().as_bytes());
    request.extend(format!("\0{}", call.len()).as_bytes());
    for arg in call {
        request.push(0);
        request.extend(arg.as_bytes());
    }
    for (name, value) in std::env::vars_os() {
        request.push(0);
        request.extend([name.as_bytes(), b"=", value.as_bytes()].concat());
    }
    Some(request)
}

/// A file of a hit: where it is made, and what it becomes.
struct Placed<'a> {
    content: Content<'a>,
    aside: PathBuf,
    target: PathBuf,
}

enum Content<'a> {
    Text(&'a [u8]),
    Blob { source: PathBuf, size: u64, ways: &'a [u8], mode: u32 },
}

fn files<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Option<Vec<Placed<'a>>> {
    let mut files = Vec::new();
    while let Some(kind) = fields.next() {
        files.push(file(kind, fields)?);
    }
    Some(files)
}

fn file<'a>(kind: &[u8], fields: &mut impl Iterator<Item = &'a [u8]>) -> Option<Placed<'a>> {
    let content = match kind {
        b"text" => Content::Text(fields.next()?),
        b"blob" => Content::Blob {
            source: path(fields.next()?),
            size: number(fields.next()?, 10)?,
            ways: fields.next()?,
            mode: number(fields.next()?, 8)? as u32,
        },
        _ => return None,
    };
    Some(Placed { content, aside: path(fields.next()?), target: path(fields.next()?) })
}

/// Makes every file aside, then renames them all. None, and nothing left aside, where that cannot be done.
fn put_in_place(files: &[Placed]) -> Option<Vec<u8>> {
    let made: io::Result<Vec<u8>> = files.iter().map(make_aside).collect();
    let moved = made.and_then(|ways| {
        for file in files {
            rename(file)?;
            // rename(2) does nothing when both names are one inode already.
            let _ = fs::remove_file(&file.aside);
        }
        Ok(ways)
    });
    if moved.is_err() {
        for file in files {
            let _ = fs::remove_file(&file.aside);
        }
    }
    moved.ok()
}

/// Gives a file its name, and makes the folder for it when that is missing.
fn rename(file: &Placed) -> io::Result<()> {
    match fs::rename(&file.aside, &file.target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(file.target.parent().unwrap_or(Path::new("/")))?;
            fs::rename(&file.aside, &file.target)
        }
        renamed => renamed,
    }
}

/// The way of each file, and its state in its place: the daemon may hear of it when something else is there.
fn report(files: &[&Placed], ways: &[u8]) -> Option<Vec<u8>> {
    let mut report = [b"placed", ways].join(&0);
    for file in files {
        report.push(0);
        report.extend(state_of(&file.target)?.as_bytes());
    }
    Some(report)
}

/// The state of a file as the daemon compares it.
fn state_of(file: &Path) -> Option<String> {
    let info = fs::symlink_metadata(file).ok()?;
    let (modified, changed) = ((info.mtime(), info.mtime_nsec()), (info.ctime(), info.ctime_nsec()));
    let times = format!("{}.{}:{}.{}", modified.0, modified.1, changed.0, changed.1);
    Some(format!("{}:{}:{times}", info.ino(), info.size()))
}

/// Makes one file under its name aside, and its folder when that is missing; says by which way.
fn make_aside(file: &Placed) -> io::Result<u8> {
    match make(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(file.aside.parent().unwrap_or(Path::new("/")))?;
            make(file)
        }
        made => made,
    }
}

fn make(file: &Placed) -> io::Result<u8> {
    let (source, size, ways, mode) = match &file.content {
        Content::Text(text) => {
            write(create(&file.aside, 0o644)?, text)?;
            return Ok(b'-');
        }
        Content::Blob { source, size, ways, mode } => (source, *size, *ways, *mode),
    };
    let linked = ways.contains(&b'h') && !ways.contains(&b'r') && fs::hard_link(source, &file.aside).is_ok();
    if linked {
        return Ok(b'h');
    }
    let (mut from, mut to) = (File::open(source)?, create(&file.aside, mode)?);
    // copy_file_range(2): the kernel shares the blocks where the file system can.
    if io::copy(&mut from, &mut to)? != size {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let is_shared = ways.contains(&b'r') && from.metadata()?.dev() == to.metadata()?.dev();
    finish(to)?;
    Ok(if is_shared { b'r' } else { b'c' })
}

/// Writes a new file.
fn write(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    finish(file)
}

/// Closes a file that was written: over a network, a full disk or quota is said only then, and std does not look.
fn finish(file: File) -> io::Result<()> {
    extern "C" {
        fn close(fd: std::os::raw::c_int) -> std::os::raw::c_int;
    }
    // Nobody else has this descriptor: it was the file's own.
    match unsafe { close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A new file: what another process has left there is never written to, it may be a link into the store.
fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

struct Printed {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Prints what the compiler printed.
fn print(printed: &Printed) -> io::Result<()> {
    io::stdout().write_all(&printed.stdout)?;
    io::stdout().flush()?;
    io::stderr().write_all(&printed.stderr)
}

fn send(daemon: &mut UnixStream, body: &[u8]) -> io::Result<()> {
    daemon.write_all(&[&(body.len() as u32).to_le_bytes(), body].concat())
}

fn receive(daemon: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    daemon.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    daemon.read_exact(&mut body)?;
    Ok(body)
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(OsStr::from_bytes(digits).to_str()?, radix).ok()
}
