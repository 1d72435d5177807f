//! Headers that say something about the client of a request, or about where it shall go: only
//! a proxy may write them, so what a client wrote is removed.

/// Names that clients and proxies use for addresses, hosts, schemes and targets. What they say is
/// read, or nobody needs it: whoever sends them, they do not go on.
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

/// Names for users, certificates and addresses that a proxy in front may add for an application, and
/// that applications believe. A client's own do not go on, a trusted proxy's do.
const IDENTITIES: [&str; 20] = [
    "remote-user",
    "x-remote-user",
    "x-webauth-user",
    "x-authenticated-user",
    "x-ms-client-principal",
    "client-cert",
    "client-cert-chain",
    "x-client-cert",
    "x-client-verify",
    "remote-addr",
    "x-remote-addr",
    "proxy-client-ip",
    "wl-proxy-client-ip",
    "x-proxyuser-ip",
    "x-envoy-external-address",
    "x-original-forwarded-for",
    "x-original-for",
    "x-original-proto",
    "x-original-uri",
    "x-original-method",
];

/// How such names begin.
const IDENTITY_PREFIXES: [&str; 7] = [
    "x-ssl-",
    "ssl-client-",
    "x-auth-request-",
    "x-amzn-oidc-",
    "x-amzn-mtls-",
    "x-ms-client-principal-",
    "x-goog-authenticated-user-",
];

/// A name with `_` as `-`: CGI, WSGI and servlet applications make the same variable of both.
pub(super) fn normalised(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Whether a header name, in lower case, is a claim. `more` are normalised names of the caller's.
pub(super) fn is_claim(name: &str, more: &[String]) -> bool {
    let is_known = may_be_known(name)
        && (begins_with(name, "x-forwarded-") || CLAIMS.iter().any(|claim| is_same(name, claim)));
    is_known || more.iter().any(|claim| is_same(name, claim))
}

/// Whether a header name, in lower case, is one that only a trusted proxy may add.
pub(super) fn is_identity(name: &str) -> bool {
    let mut prefixes = IDENTITY_PREFIXES.iter();
    may_be_known(name)
        && (prefixes.any(|prefix| begins_with(name, prefix))
            || IDENTITIES.iter().any(|identity| is_same(name, identity)))
}

/// Most names are none of these, and their first letters tell.
fn may_be_known(name: &str) -> bool {
    matches!(
        name.as_bytes(),
        [b'x', b'-' | b'_', ..]
            | [b'f', b'o' | b'a' | b'r', ..]
            | [b'c', b'l' | b'f', ..]
            | [b'r', b'e', b'm', ..]
            | [b'p', b'r', b'o', ..]
            | [b't', b'r', ..]
            | [b's', b's', ..]
            | [b'w', b'l', ..]
    )
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
    #[test]
    fn who_somebody_is() {
        for name in IDENTITIES.iter().chain(&[
            "remote_user",
            "x_ssl_client_cert",
            "x-ssl-anything",
            "ssl_client_s_dn",
            "x-auth-request-email",
            "wl_proxy_client_ip",
        ]) {
            assert!(is_identity(name), "{name}");
        }
        for name in [
            "x-original-filename",
            "x-ssl",
            "remote",
            "client-id",
            "cookie",
            "referer",
        ] {
            assert!(!is_identity(name), "{name}");
        }
        // Each is found by its first letters.
        for name in CLAIMS {
            assert!(is_claim(name, &[]), "{name}");
        }
    }
}
