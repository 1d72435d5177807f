//! The balancer's own cookie, for containers whose session ids name no member.

use super::cookie::{InvalidSticky, checked_name};
use std::fmt::Write;

/// A cookie that names the member which serves a browser, `ROUTEID=.jvm1`, as the recipe in
/// httpd's documentation sets it. It is sent to a browser whose cookie does not name the
/// member that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteCookie {
    name: String,
    path: String,
    secure: bool,
    same_site: Option<SameSite>,
}

/// To whom a browser sends the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the values that browsers know")]
pub enum SameSite {
    /// Only within the site.
    Strict,
    /// Also when a link leads to the site.
    Lax,
    /// Always; browsers want [`secure`](RouteCookie::with_secure) with it.
    None,
}

impl RouteCookie {
    /// A cookie for all paths, `HttpOnly`, `SameSite=Lax`.
    ///
    /// # Errors
    /// [`InvalidSticky`].
    pub fn new(name: &str) -> Result<Self, InvalidSticky> {
        Ok(Self {
            name: checked_name(name)?,
            path: "/".into(),
            secure: false,
            same_site: Some(SameSite::Lax),
        })
    }

    /// The paths it is for.
    ///
    /// # Errors
    /// [`InvalidSticky`] unless it begins with `/` and can stand in a cookie.
    pub fn with_path(mut self, path: &str) -> Result<Self, InvalidSticky> {
        let valid = |b: u8| b.is_ascii_graphic() && b != b';' && b != b',';
        if !path.starts_with('/') || !path.bytes().all(valid) {
            return Err(InvalidSticky(path.into()));
        }
        self.path = path.into();
        Ok(self)
    }

    /// Whether it is for TLS alone. Default no.
    #[must_use]
    pub fn with_secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Its `SameSite` attribute.
    #[must_use]
    pub fn with_same_site(mut self, same_site: impl Into<Option<SameSite>>) -> Self {
        self.same_site = same_site.into();
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a `Set-Cookie` header for a member's route.
    #[must_use]
    pub fn set_cookie(&self, route: &str) -> String {
        let mut text = format!("{}=.{route}; Path={}; HttpOnly", self.name, self.path);
        if self.secure {
            text.push_str("; Secure");
        }
        if let Some(same_site) = self.same_site {
            // Writing to a string cannot fail.
            let _ = write!(text, "; SameSite={same_site:?}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let cookie = RouteCookie::new("ROUTEID").unwrap();
        assert_eq!(
            cookie.set_cookie("jvm1"),
            "ROUTEID=.jvm1; Path=/; HttpOnly; SameSite=Lax"
        );
        let cookie = cookie
            .with_path("/app")
            .unwrap()
            .with_secure(true)
            .with_same_site(None);
        assert_eq!(
            cookie.set_cookie("jvm1"),
            "ROUTEID=.jvm1; Path=/app; HttpOnly; Secure"
        );
        assert!(cookie.clone().with_path("app").is_err());
        assert!(cookie.with_path("/a;b").is_err());
        assert!(RouteCookie::new("a=b").is_err());
        assert!(RouteCookie::new("").is_err());
    }
}
