// How a call leads to what the observer cannot follow: another process, the kernel's own affairs, what the files of others mean.
use crate::calls::{Does, Does::*, Flags, Names};
use crate::paths::Call;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

const ASKED: &str = "it asked another process";
const ASKED_SYSTEM: &str = "it asked the system";

/// The reason, where a call leads away; None where its arguments cannot be told.
pub fn escape(call: &Call, does: Does) -> Option<Option<&'static str>> {
    let leads = match does {
        Escapes(how) => return Some(Some(how)),
        Forks(flags) => {
            // New namespaces, and CLONE_UNTRACED.
            const AWAY: u64 = 0x7e82_0000;
            const NEW_TIME: u64 = 0x80;
            let flags = match flags {
                Flags::InArgument => call.arguments[0] & !NEW_TIME,
                Flags::InStructure => call.number_at(call.arguments[0])?,
            };
            (flags & (AWAY | NEW_TIME) != 0).then_some("it left its namespaces")
        }
        Sockets => {
            // AF_UNIX, AF_INET and AF_INET6 tell nothing before they are bound or connected, but for raw ones.
            const RAW: u64 = 3;
            let is_quiet = [1, 2, 10].contains(&call.arguments[0]) && call.arguments[1] & 0xf != RAW;
            (!is_quiet).then_some(ASKED_SYSTEM)
        }
        Connects => match call.peer()? {
            Some(path) if !path.exists() => None,
            _ => Some(ASKED),
        },
        Sends(names) => {
            // struct mmsghdr; the kernel takes so many at once.
            const HEADER: u64 = 64;
            const MOST: u64 = 1024;
            let is_addressed = match names {
                Names::InArgument(at) => call.arguments[at] != 0,
                Names::InHeader => call.number_at(call.arguments[1])? != 0,
                Names::InHeaders => {
                    let headers = (0..(call.arguments[2] & 0xffff_ffff).min(MOST)).map(|at| call.arguments[1] + at * HEADER);
                    headers.map(|at| call.number_at(at)).any(|name| name != Some(0))
                }
            };
            // What names nobody goes where its socket is connected.
            is_addressed.then_some(ASKED)
        }
        Controls => {
            const OF_NETWORK: u64 = 0x8900;
            (call.arguments[1] & 0xffff_ff00 == OF_NETWORK).then_some(ASKED_SYSTEM)
        }
        Filters => {
            // With a listener, who listens decides about a call before this one is asked.
            const SET_FILTER: u64 = 1;
            const NEW_LISTENER: u64 = 8;
            let is_deaf = call.arguments[0] == SET_FILTER && call.arguments[1] & NEW_LISTENER != 0;
            is_deaf.then_some("it watches its own calls")
        }
        _ => None,
    };
    Some(leads)
}

impl Call {
    /// The path a socket connects to, where it has an absolute one.
    pub fn peer(&self) -> Option<Option<PathBuf>> {
        const UNIX: u8 = 1;
        let address = self.bytes(self.arguments[1], self.arguments[2].min(110) as usize)?;
        Some(match address.as_slice() {
            [UNIX, 0, name @ ..] if name.starts_with(b"/") => {
                name.split(|byte| *byte == 0).next().map(|name| OsString::from_vec(name.to_vec()).into())
            }
            _ => None,
        })
    }
}
