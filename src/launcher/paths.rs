// What a stopped process names: the memory its arguments point to, the path that is meant, and where it leads to, link by link.
use crate::calls::NONE;
use std::ffi::{c_int, c_ulong, c_void, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

extern "C" {
    fn process_vm_readv(pid: c_int, to: *const Span, n: c_ulong, from: *const Span, m: c_ulong, flags: c_ulong) -> isize;
}

#[repr(C)]
struct Span {
    base: *mut c_void,
    length: usize,
}

/// A stopped process and the arguments of its call.
pub struct Call {
    pub pid: c_int,
    pub arguments: [u64; 6],
}

impl Call {
    /// The path in argument `at`, absolute. `Some(None)`: there is none, the call is about a descriptor.
    pub fn path(&self, folder: usize, at: usize) -> Option<Option<PathBuf>> {
        let address = self.arguments[at];
        if address == 0 {
            return Some(None);
        }
        let name = self.text(address)?;
        if name.is_empty() {
            return Some(None);
        }
        let name = PathBuf::from(OsString::from_vec(name));
        if name.is_absolute() {
            return Some(self.everybodys(name));
        }
        let base = match if folder == NONE { AT_CWD } else { self.arguments[folder] as c_int } {
            AT_CWD => self.working_folder()?,
            fd => fs::read_link(format!("/proc/{}/fd/{fd}", self.pid)).ok()?,
        };
        // A folder that is gone has no path, and what is no file never had one.
        if !base.is_absolute() || is_gone(&base) {
            return None;
        }
        Some(self.everybodys(base.join(name)))
    }

    pub fn working_folder(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// What the descriptor in argument `at` leads to, where that has a path.
    pub fn opened(&self, at: usize) -> Option<PathBuf> {
        let leads = fs::read_link(format!("/proc/{}/fd/{}", self.pid, self.arguments[at] as c_int)).ok()?;
        (leads.is_absolute() && !is_gone(&leads)).then_some(leads)
    }

    /// An absolute path as it is to everybody: `/dev/fd` is the process's own, and a process of this run is `/proc/self`. None
    /// for what a descriptor leads to that has no path: a pipe, a socket.
    fn everybodys(&self, path: PathBuf) -> Option<PathBuf> {
        const OWN: [(&str, &str); 6] = [
            ("/proc/self", ""),
            ("/proc/thread-self", ""),
            ("/dev/fd", "fd"),
            ("/dev/stdin", "fd/0"),
            ("/dev/stdout", "fd/1"),
            ("/dev/stderr", "fd/2"),
        ];
        let process = Path::new("/proc").join(self.pid.to_string());
        let found = OWN.iter().find_map(|(name, stands)| Some(process.join(stands).join(path.strip_prefix(name).ok()?)));
        // Without a slash at the end, which would ask for a folder.
        let path: PathBuf = found.as_deref().unwrap_or(&path).components().collect();
        let Ok(below) = path.strip_prefix("/proc") else { return Some(path) };
        let mut parts = below.iter();
        let is_own = |part: &OsStr| {
            part.as_bytes().iter().all(u8::is_ascii_digit)
                && (part == self.pid.to_string().as_str() || is_traced_here(&Path::new("/proc").join(part)))
        };
        if !parts.next().is_some_and(is_own) {
            return Some(path);
        }
        let own = parts.as_path();
        if own.parent() == Some(Path::new("fd")) {
            // What is not there any more is for the call to find out.
            if let Ok(leads) = fs::read_link(&path) {
                return leads.is_absolute().then_some(leads);
            }
        }
        Some(Path::new("/proc/self").join(own))
    }

    /// The text at an address, to its zero byte.
    fn text(&self, address: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < 4096 {
            // Not over the end of a page: the next one may not be there.
            let at = address.wrapping_add(text.len() as u64);
            let piece = self.bytes(at, 512.min(4096 - (at % 4096) as usize))?;
            if let Some(end) = piece.iter().position(|byte| *byte == 0) {
                text.extend(&piece[..end]);
                return Some(text);
            }
            text.extend(piece);
        }
        None
    }

    pub fn bytes(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0u8; length];
        let to = Span { base: bytes.as_mut_ptr() as *mut c_void, length };
        let from = Span { base: address as *mut c_void, length };
        let read = unsafe { process_vm_readv(self.pid, &to, 1, &from, 1, 0) };
        (read == length as isize).then_some(bytes)
    }

    pub fn number_at(&self, address: u64) -> Option<u64> {
        Some(u64::from_ne_bytes(self.bytes(address, 8)?.try_into().ok()?))
    }
}

/// AT_FDCWD.
const AT_CWD: c_int = -100;

fn is_gone(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b" (deleted)")
}

/// Whether a process is traced by this one and still runs.
pub fn is_traced_here(process: &Path) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    field("TracerPid:") == Some(&std::process::id().to_string())
        && !field("State:").is_some_and(|state| state.starts_with(['Z', 'X']))
}

/// Where a path leads to that starts in a folder without links, without links, `.` and `..` itself; and what was crossed on the
/// way that decides it: links, and what `..` starts from, which has to be a folder.
pub fn walk(folder: &Path, path: &Path, follows_last: bool) -> (Vec<PathBuf>, PathBuf) {
    let mut links_left = 40;
    let mut crossed = Vec::new();
    let mut at = folder.to_path_buf();
    let mut rest = parts_behind(path);
    while let Some(part) = rest.pop() {
        // The links of a process lead where only the kernel can go.
        let is_of_process = at.starts_with("/proc") && at != Path::new("/proc");
        if part == ".." && !is_of_process {
            crossed.push(at.clone());
            at.pop();
            continue;
        }
        at.push(part);
        let is_followed = (follows_last || !rest.is_empty()) && links_left > 0 && !at.starts_with("/proc");
        let Some(target) = is_followed.then(|| fs::read_link(&at).ok()).flatten() else { continue };
        links_left -= 1;
        crossed.push(at.clone());
        at.pop();
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        rest.extend(parts_behind(&target));
    }
    (crossed, at)
}

/// The names of a path, the last one first.
fn parts_behind(path: &Path) -> Vec<OsString> {
    let kept = path.components().rev().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    kept.map(|part| part.as_os_str().to_owned()).collect()
}

/// Which program the kernel starts to run the one at `path`: the one a script names in its first line, the loader of a program.
pub fn interpreter(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::FileExt;
    // To open anything else may wait, or do something.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let file = fs::File::open(path).ok()?;
    let mut start = [0; 256];
    let length = file.read_at(&mut start, 0).ok()?;
    if let Some(line) = start[..length].strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n' || *byte == 0).next()?;
        let name = line.split(|byte| b" \t".contains(byte)).find(|word| !word.is_empty())?;
        return Some(OsStr::from_bytes(name).into());
    }
    if !start.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (headers, size, count) = (number(&start[32..40]), number(&start[54..56]), number(&start[56..58]));
    for at in 0..count {
        const INTERPRETER: u64 = 3;
        let mut header = [0; 56];
        file.read_exact_at(&mut header, headers.checked_add(at * size)?).ok()?;
        if number(&header[..4]) == INTERPRETER {
            let mut name = vec![0; number(&header[32..40]).min(4096) as usize];
            file.read_exact_at(&mut name, number(&header[8..16])).ok()?;
            return Some(OsStr::from_bytes(name.split(|byte| *byte == 0).next()?).into());
        }
    }
    None
}
