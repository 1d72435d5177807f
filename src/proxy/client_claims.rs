//! Headers that say something about the client of a request, or about where it shall go: only
//! a proxy may write them, so what a client wrote is removed.

/// Names that clients and proxies use for addresses, hosts, schemes and targets.
const CLAIMS: [&str; 17] = [
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-remote-ip",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
    "client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "true-client-ip",
    "front-end-https",
    // CGI programs take it for the variable that names their own proxy ("httpoxy").
    "proxy",
];

/// A name with `_` as `-`: CGI, WSGI and servlet applications make the same variable of both.
pub(super) fn normalised(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Whether a header name, in lower case, is a claim. `more` are normalised names of the caller's.
pub(super) fn is_claim(name: &str, more: &[String]) -> bool {
    // Most names are none of these, and their first letter tells.
    let is_known = name.starts_with(['x', 'f', 'c', 't', 'p'])
        && (begins_with(name, "x-forwarded-") || CLAIMS.iter().any(|claim| is_same(name, claim)));
    is_known || more.iter().any(|claim| is_same(name, claim))
}

fn is_same(name: &str, claim: &str) -> bool {
    name.len() == claim.len() && begins_with(name, claim)
}

/// Whether a name begins with a claim, `_` and `-` being the same.
fn begins_with(name: &str, claim: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || (a == b'_' && b == b'-');
    name.len() >= claim.len() && name.bytes().zip(claim.bytes()).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_by_name() {
        let more = [normalised("X_Remote_User")];
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded_for",
            "x-forwarded-anything",
            "x-real-ip",
            "true_client_ip",
            "cf-connecting-ip",
            "proxy",
            "x-remote-user",
            "x_remote_user",
            "x_remote-user",
        ] {
            assert!(is_claim(name, &more), "{name}");
        }
        for name in [
            "forwarded-by",
            "x-forward",
            "x-real-ipx",
            "proxy-authorization",
            "x-remote-users",
            "cookie",
            "te",
        ] {
            assert!(!is_claim(name, &more), "{name}");
        }
        assert!(!is_claim("x-remote-user", &[]));
    }
}
