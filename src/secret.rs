//! The secret that web server and container share: never printed, compared in constant time.

use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

/// So many bytes a secret may have.
const MOST_BYTES: usize = 4096;

/// A shared secret: never printed, compared in constant time.
///
/// ```
/// let secret = ajp::Secret::new("s3cr3t").unwrap();
/// assert_eq!(format!("{secret:?}"), "Secret([redacted])");
/// assert!(ajp::Secret::new("").is_err());
/// ```
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        // Whatever differs, all of it is looked at.
        let pairs = self.0.iter().zip(&other.0);
        let differing = pairs.fold(0, |seen, (a, b)| std::hint::black_box(seen | (a ^ b)));
        self.0.len() == other.0.len() && differing == 0
    }
}

impl Eq for Secret {}

impl Secret {
    /// A secret of 1 to 4096 bytes without control bytes. httpd takes at most 63 bytes.
    ///
    /// # Errors
    /// [`InvalidSecret`] when it is empty, too long, or could not be sent.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, InvalidSecret> {
        let bytes = secret.as_ref();
        match bytes {
            [] => Err(InvalidSecret::new("is empty")),
            _ if bytes.len() > MOST_BYTES => Err(InvalidSecret::new("is longer than 4096 bytes")),
            _ if bytes.iter().any(|&b| b < 0x20 || b == 0x7f) => {
                Err(InvalidSecret::new("contains control bytes"))
            }
            _ => Ok(Self(bytes.into())),
        }
    }

    /// Reads a secret from a file; one line end at the end of the file is not part of it.
    ///
    /// # Errors
    /// When the file cannot be read or holds no valid secret. The text begins with the path.
    pub fn from_file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let of_file = |kind, why: &dyn fmt::Display| {
            io::Error::new(kind, format!("{}: {why}", path.display()))
        };
        // Not more than tells that it is too long: a device has no end.
        let most = MOST_BYTES.saturating_add(b"\r\n".len()).saturating_add(1);
        let read = || {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path)?;
            file.take(most as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error: io::Error| of_file(error.kind(), &error))?;
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Self::new(bytes).map_err(|error| of_file(io::ErrorKind::InvalidData, &error))
    }

    /// Reads a secret from an environment variable.
    ///
    /// # Errors
    /// [`InvalidSecret`] when the variable is not set or holds no valid secret. The text begins
    /// with its name.
    pub fn from_env(variable: &str) -> Result<Self, InvalidSecret> {
        let read = match std::env::var_os(variable) {
            Some(value) => Self::new(value.as_encoded_bytes()),
            None => Err(InvalidSecret::new("is not set")),
        };
        read.map_err(|error| InvalidSecret {
            variable: Some(variable.into()),
            ..error
        })
    }

    /// As [`from_env`](Self::from_env), where a secret need not be: `None` when the variable is not
    /// set, or empty. One that cannot be used is an error all the same, and not left out in
    /// silence.
    ///
    /// ```
    /// use ajp::client::PoolConfig;
    /// let secret = ajp::Secret::from_env_if_set("AJP_SECRET_OF_NOBODY")?;
    /// assert_eq!(secret, None);
    /// let config = PoolConfig::default().with_secret(secret);
    /// # Ok::<(), ajp::InvalidSecret>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidSecret`] when the variable holds no valid secret.
    pub fn from_env_if_set(variable: &str) -> Result<Option<Self>, InvalidSecret> {
        match std::env::var_os(variable) {
            Some(value) if !value.is_empty() => Self::from_env(variable).map(Some),
            _ => Ok(None),
        }
    }

    /// The bytes, for the one place that writes them to the wire.
    #[cfg(feature = "client")]
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Compares in a time that depends on neither content nor the exact length of the
    /// secret: both sides are padded to a multiple of 64 bytes of the secret's length.
    #[cfg(feature = "server")]
    pub(crate) fn matches(&self, given: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        let secret_len = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let given_len = u32::try_from(given.len()).unwrap_or(u32::MAX);
        let mut equal = secret_len.ct_eq(&given_len);
        let padded = self.0.len().next_multiple_of(64);
        let pad = |bytes: &[u8]| {
            let mut block = vec![0u8; padded];
            for (to, from) in block.iter_mut().zip(bytes) {
                *to = *from;
            }
            block
        };
        equal &= pad(&self.0).ct_eq(&pad(given));
        equal.into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// Why a secret cannot be used. Does not contain the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSecret {
    /// Where it was to come from.
    variable: Option<Box<str>>,
    what: &'static str,
}

impl InvalidSecret {
    fn new(what: &'static str) -> Self {
        Self {
            variable: None,
            what,
        }
    }
}

impl fmt::Display for InvalidSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(variable) = &self.variable {
            write!(f, "{variable}: ")?;
        }
        write!(f, "the AJP secret {}", self.what)
    }
}

impl std::error::Error for InvalidSecret {}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn equality_is_of_all_bytes() {
        let secret = |text: &str| Secret::new(text).unwrap();
        assert_eq!(secret("s3cr3t"), secret("s3cr3t"));
        for other in ["S3cr3t", "s3cr3T", "s3cr3", "s3cr3t!"] {
            assert_ne!(secret("s3cr3t"), secret(other));
        }
    }

    #[test]
    fn only_the_same_bytes_match() {
        let secret = Secret::new("s3cr3t").unwrap();
        assert!(secret.matches(b"s3cr3t"));
        for wrong in [&b""[..], b"s3cr3", b"s3cr3t\0", b"s3cr3T", &[b'x'; 5000]] {
            assert!(!secret.matches(wrong));
        }
        let long = Secret::new([b'k'; 64]).unwrap();
        assert!(long.matches(&[b'k'; 64]));
        assert!(!long.matches(&[b'k'; 65]));
    }

    #[test]
    #[cfg(unix)]
    fn a_file_without_end_is_too_long() {
        let error = Secret::from_file("/dev/zero").unwrap_err();
        assert!(
            error.to_string().contains("longer than 4096 bytes"),
            "{error}"
        );
    }

    #[test]
    fn an_error_says_where_the_secret_was_to_come_from() {
        let unset = Secret::from_env("AJP_TEST_UNSET").unwrap_err();
        assert_eq!(
            unset.to_string(),
            "AJP_TEST_UNSET: the AJP secret is not set"
        );
        assert_eq!(Secret::from_env_if_set("AJP_TEST_UNSET"), Ok(None));
        // Set for every test, and not empty.
        assert!(Secret::from_env_if_set("PATH").unwrap().is_some());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ajp.secret");
        let error = |path: &Path| Secret::from_file(path).unwrap_err();
        assert_eq!(error(&path).kind(), io::ErrorKind::NotFound);
        assert!(
            error(&path)
                .to_string()
                .starts_with(&format!("{}: ", path.display()))
        );
        std::fs::write(&path, "a\nb").unwrap();
        let text = format!("{}: the AJP secret contains control bytes", path.display());
        assert_eq!(error(&path).to_string(), text);
    }

    #[test]
    fn a_file_loses_one_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "geheim\r\n").unwrap();
        assert!(Secret::from_file(file.path()).unwrap().matches(b"geheim"));
        let long = "x".repeat(4096);
        std::fs::write(file.path(), format!("{long}\r\n")).unwrap();
        assert!(
            Secret::from_file(file.path())
                .unwrap()
                .matches(long.as_bytes())
        );
        std::fs::write(file.path(), "\n").unwrap();
        assert_eq!(
            Secret::from_file(file.path()).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
