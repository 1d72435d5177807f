//! Why the requests of a listener are believed, and the check of their secret.

use crate::Secret;
use crate::wire::{Attribute, AttributeCode, ForwardRequest};

/// Why requests on this listener are believed. There is no default: an AJP peer decides about
/// client addresses, users and TLS facts (protocol chapter
/// [security](crate::docs::protocol::security#ghostcat)).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Trust {
    /// Every request must carry one of these secrets. Several allow a rotation: have the
    /// container take both, change the one that web servers send, then leave the old one out. A
    /// web server that tries several secrets itself takes a 403 of the application for a refusal
    /// where the connection is closed behind it, and sends the request again; what this crate's
    /// pools do then is said where they are given several. One side with several is enough.
    Secrets(Vec<Secret>),
    /// Whoever can connect is trusted: a loopback or Unix socket, or a network that only
    /// web servers can reach.
    TrustedNetwork,
}

impl Trust {
    /// Whether the request proves what is asked for. Missing and wrong look the same.
    pub(super) fn admits(&self, request: &ForwardRequest) -> bool {
        let Self::Secrets(secrets) = self else {
            return true;
        };
        let mut seen = false;
        let mut right = true;
        for attribute in request.attributes() {
            if let Attribute::Coded {
                code: AttributeCode::Secret,
                value,
            } = attribute
            {
                seen = true;
                // All are compared, whatever the result so far.
                let matches = secrets.iter().fold(false, |found, secret| {
                    found | value.is_some_and(|value| secret.matches(value))
                });
                right &= matches;
            }
        }
        seen & right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{PacketSize, RequestLine};

    #[test]
    fn every_secret_of_a_request_must_be_one_of_the_containers() {
        let secret = |text| Secret::new(text).unwrap();
        let request = |secrets: &[Option<&[u8]>]| {
            let mut payload =
                ForwardRequest::build(PacketSize::DEFAULT, &RequestLine::default(), |_| Ok(()))
                    .unwrap()
                    .payload()
                    .to_vec();
            // Before the end of the attributes; the writer takes no second one.
            payload.pop();
            for secret in secrets {
                payload.push(AttributeCode::Secret.code());
                match secret {
                    Some(secret) => {
                        payload.extend([0, u8::try_from(secret.len()).unwrap()]);
                        payload.extend_from_slice(secret);
                        payload.push(0);
                    }
                    None => payload.extend([0xff, 0xff]),
                }
            }
            payload.push(0xff);
            ForwardRequest::parse(payload.into()).unwrap()
        };
        let (old, new) = (Some(&b"old"[..]), Some(&b"new"[..]));
        let both = Trust::Secrets(vec![secret("old"), secret("new")]);
        let twice = Trust::Secrets(vec![secret("new"), secret("new")]);
        for (secrets, by_both, by_twice) in [
            (&[][..], false, false),
            (&[old], true, false),
            (&[new], true, true),
            (&[None], false, false),
            (&[Some(b"other")], false, false),
            (&[new, new], true, true),
            (&[old, new], true, false),
            (&[Some(b"other"), new], false, false),
            (&[new, Some(b"other")], false, false),
        ] {
            let request = request(secrets);
            assert_eq!(both.admits(&request), by_both, "{secrets:?}");
            assert_eq!(twice.admits(&request), by_twice, "{secrets:?}");
            assert!(Trust::TrustedNetwork.admits(&request));
        }
    }
}
