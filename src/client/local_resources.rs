//! Which failures of a connection are this machine's own: it has no file descriptor, no memory
//! or no local port left.

use std::error::Error as StdError;
use std::io;

/// Whether a connection could not be opened, or broke, because this machine has run out of file
/// descriptors, memory or local ports, or does not have the source address that was asked
/// for. Nothing of this says anything about the container. An error that wraps another one,
/// as those of TLS do, is looked into.
pub(super) fn is_cause_of(error: &io::Error) -> bool {
    is_or_wraps(error, is_exhaustion)
}

/// Whether it is an error of this kind, or wraps one.
pub(super) fn is_or_wraps(error: &io::Error, is_wanted: impl Fn(&io::Error) -> bool) -> bool {
    let mut error = error;
    loop {
        if is_wanted(error) {
            return true;
        }
        let inner = error.get_ref().map(|inner| inner as &dyn StdError);
        match inner.and_then(first_io_error) {
            Some(inner) => error = inner,
            None => return false,
        }
    }
}

/// The nearest `io::Error` in a chain of causes.
fn first_io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

fn is_exhaustion(error: &io::Error) -> bool {
    match error.kind() {
        // EADDRNOTAVAIL: no local port is left, or the source address is not ours.
        // ENOSPC: the kernel lets this user watch no more sockets (epoll).
        io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::OutOfMemory
        | io::ErrorKind::StorageFull => true,
        // The standard library has no name for the others.
        _ => error
            .raw_os_error()
            .is_some_and(|code| EXHAUSTED.contains(&code)),
    }
}

#[cfg(unix)]
const EXHAUSTED: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];

/// `WSAEMFILE` and `WSAENOBUFS`.
#[cfg(windows)]
const EXHAUSTED: [i32; 2] = [10_024, 10_055];

#[cfg(not(any(unix, windows)))]
const EXHAUSTED: [i32; 0] = [];

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_this_machine_lacks_is_told_from_what_the_container_did() {
        for code in [
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOBUFS,
            libc::ENOMEM,
            libc::EADDRNOTAVAIL,
            libc::ENOSPC,
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert!(is_cause_of(&error), "{error}");
            let wrapped = io::Error::other(io::Error::from_raw_os_error(code));
            assert!(is_cause_of(&wrapped), "{wrapped}");
        }
        for code in [
            libc::ECONNREFUSED,
            libc::ECONNRESET,
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::ETIMEDOUT,
            libc::ENOENT,
            libc::EACCES,
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert!(!is_cause_of(&error), "{error}");
        }
        assert!(!is_cause_of(&io::Error::other("a text")));
    }
}
