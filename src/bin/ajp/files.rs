//! Files that a user names: what is read of them has an end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
#[cfg(feature = "gateway")]
use std::path::PathBuf;

/// More than any configuration or certificate has. A device has no end, and what
/// is read of it would take all memory.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// All bytes of a file.
///
/// # Errors
/// It cannot be read, or has more than 64 MiB.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MOST_BYTES.saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("it has more than 64 MiB"));
    }
    Ok(bytes)
}

/// As [`read`], as text.
///
/// # Errors
/// As there, or it is no UTF-8.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read(path)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8"))
}

/// A file beside this one.
#[cfg(feature = "gateway")]
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
