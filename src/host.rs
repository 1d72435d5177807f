//! What may stand in a `Host` header (RFC 9110 section 7.2).

/// Which bytes can stand in the name of a host: one look at a table for each.
static IN_A_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            table[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'-' | b'.'
                        | b'_'
                        | b'~'
                        | b'%'
                        | b'!'
                        | b'$'
                        | b'&'
                        | b'\''
                        | b'('
                        | b')'
                        | b'*'
                        | b'+'
                        | b','
                        | b';'
                        | b'='
                );
        }
        byte += 1;
    }
    table
};

/// Whether it is a host with an optional port. An empty one is allowed: HTTP/1.1 sends it where
/// the target has no host.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (valid, port) = if let [b'[', rest @ ..] = value {
        let Some(end) = rest.iter().position(|&b| b == b']') else {
            return false;
        };
        let (address, after) = rest.split_at(end);
        let valid = address
            .iter()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
        (
            valid && !address.is_empty(),
            after.get(1..).unwrap_or_default(),
        )
    } else {
        let end = value.iter().position(|&b| b == b':').unwrap_or(value.len());
        let (name, port) = value.split_at(end);
        (
            name.iter()
                .all(|b| IN_A_NAME.get(usize::from(*b)).is_some_and(|is| *is)),
            port,
        )
    };
    valid
        && match port {
            [] | [b':'] => true,
            [b':', digits @ ..] => {
                let add = |port: u16, digit: &u8| {
                    let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
                    port.checked_mul(10)?.checked_add(digit.into())
                };
                digits.iter().try_fold(0, add).is_some()
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in [
            "",
            "a",
            "app.example",
            "app.example:8080",
            "192.0.2.1:1",
            "[::1]",
            "[::1]:8009",
            "my_host",
            "a:",
            "a:65535",
            "a:0000080",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b",
            "a/b",
            "user@a",
            "a:b",
            "a:70000",
            "a:65536",
            "a:6553600",
            "a:+1",
            "a:1:",
            "[",
            "[]",
            "[::1",
            "[::1]x",
            "a\"b",
            "a:1:2",
            "<a>",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
