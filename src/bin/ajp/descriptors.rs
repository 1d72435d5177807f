//! How many files and sockets the program may have open.

/// Raises the limit to the most that the system allows. The usual 1024 is meant for programs
/// that do not know better; servers are expected to ask for more, and most do. What holds
/// then, unless there is no limit.
#[cfg(unix)]
pub(crate) fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        // Some systems have another limit below the one that they name.
        Err(_) => current,
    }
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub(crate) fn raise_limit() -> Option<u64> {
    None
}
