//! Cookies as far as a balancer reads them: names, and the pairs of a `Cookie` header.

/// A name that no cookie and no path parameter can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a cookie or path parameter")]
pub struct InvalidSticky(pub(super) String);

/// A name that a cookie and a path parameter can have.
pub(super) fn checked_name(name: &str) -> Result<String, InvalidSticky> {
    let token = |b: u8| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}|".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(InvalidSticky(name.into()));
    }
    Ok(name.into())
}

/// The names and values of a `Cookie` header. Quotes around a value are no part of it.
/// Proxies have joined headers with commas, so that a comma outside quotes ends a value.
pub(super) struct Pairs<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let is_end = |b: &u8| matches!(b, b';' | b',');
        loop {
            self.0 = match self
                .0
                .iter()
                .position(|b| !is_end(b) && !b.is_ascii_whitespace())
            {
                Some(at) => self.0.get(at..)?,
                None => return None,
            };
            let stop = self.0.iter().position(|b| is_end(b) || *b == b'=');
            let (name, rest) = self.0.split_at(stop.unwrap_or(self.0.len()));
            let Some(value) = rest.strip_prefix(b"=") else {
                self.0 = rest;
                continue;
            };
            let value = value.trim_ascii_start();
            let quoted = value.strip_prefix(b"\"").and_then(|inner| {
                let end = inner.iter().position(|&b| b == b'"')?;
                Some((inner.get(..end)?, inner.get(end + 1..)?))
            });
            let (value, rest) = quoted.unwrap_or_else(|| {
                let end = value.iter().position(is_end).unwrap_or(value.len());
                value.split_at(end)
            });
            self.0 = match rest.iter().position(is_end) {
                Some(at) => rest.get(at..).unwrap_or_default(),
                None => &[],
            };
            return Some((name.trim_ascii_end(), value.trim_ascii_end()));
        }
    }
}
