// What lies where Cargo expects a build script: it has kache, the wrapper Cargo names to build scripts, look whether a run of the
// script is known. Where there is no kache, or none that starts, it becomes the script, which lies beside it.
#![no_std]
#![no_main]
use core::ffi::{c_char, c_int};

#[link(name = "c")]
extern "C" {
    fn execve(program: *const c_char, arguments: *const *const c_char, environment: *const *const c_char) -> c_int;
    fn getenv(name: *const c_char) -> *const c_char;
    fn strlen(text: *const c_char) -> usize;
    fn memcpy(to: *mut c_char, from: *const c_char, count: usize) -> *mut c_char;
    static environ: *const *const c_char;
}

const ENDING: &[u8; 8] = b".script\0";
const MAX_PATH: usize = 4096;
const MAX_ARGUMENTS: usize = 64;

#[no_mangle]
pub unsafe extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    let length = strlen(*arguments);
    if length >= MAX_PATH {
        return 127;
    }
    let mut script = [0 as c_char; MAX_PATH + ENDING.len()];
    memcpy(script.as_mut_ptr(), *arguments, length);
    memcpy(script.as_mut_ptr().add(length), ENDING.as_ptr().cast(), ENDING.len());
    let wrapper = getenv(b"RUSTC_WRAPPER\0".as_ptr().cast());
    if !wrapper.is_null() && is_kache(wrapper) && (count as usize) < MAX_ARGUMENTS {
        // As a compiler is called: a version that knows nothing of this takes the script for one, and runs it.
        let mut call = [core::ptr::null::<c_char>(); MAX_ARGUMENTS + 2];
        call[0] = wrapper;
        call[1] = script.as_ptr();
        for at in 0..count as usize {
            call[2 + at] = *arguments.add(at);
        }
        execve(wrapper, call.as_ptr(), environ);
    }
    execve(script.as_ptr(), arguments, environ);
    127
}

/// Whether a program is called kache, or kache-something. A bare name would be one in the package's folder.
unsafe fn is_kache(path: *const c_char) -> bool {
    if *path != b'/' as c_char {
        return false;
    }
    let mut name = path;
    let mut at = path;
    while *at != 0 {
        at = at.add(1);
        if *at.sub(1) == b'/' as c_char {
            name = at;
        }
    }
    (0..5).all(|index| *name.add(index) == b"kache"[index] as c_char)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
