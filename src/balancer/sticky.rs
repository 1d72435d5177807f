//! Which member a session lives on, read from cookies and path parameters (protocol chapter
//! [balancing](crate::docs::protocol::balancing#httpd-sessions)). Names are compared whole and
//! case-sensitively, never searched for.

use super::cookie::{InvalidSticky, Pairs, checked_name};
use super::route_cookie::RouteCookie;

/// Where session ids are found and how they name the member.
///
/// ```
/// use ajp::balancer::Sticky;
/// let sticky = Sticky::new("JSESSIONID|jsessionid")?;
/// let cookies: [&[u8]; 1] = [b"theme=dark; JSESSIONID=4F1A.jvm2"];
/// let session = sticky.session(b"/app/cart", cookies);
/// assert_eq!(session.routes(), [b"jvm2"]);
/// let session = sticky.session(b"/app/cart;jsessionid=4F1A.jvm1", cookies);
/// assert_eq!(session.routes(), [b"jvm1", b"jvm2"]);
/// # Ok::<(), ajp::balancer::InvalidSticky>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent settings")]
pub struct Sticky {
    cookies: Vec<String>,
    parameters: Vec<String>,
    separator: Option<u8>,
    after_last: bool,
    last_segment: bool,
    force: bool,
    move_when_full: bool,
    route_cookie: Option<RouteCookie>,
}

/// More session ids than this are no browser's.
const MOST_ROUTES: usize = 8;

impl Sticky {
    /// Names as in httpd's `stickysession`: the cookie's, `|`, the path parameter's. One
    /// name stands for both, and several of either are separated by commas, as
    /// [`names`](Self::names) shows them. Tomcat's are `JSESSIONID|jsessionid`.
    ///
    /// # Errors
    /// [`InvalidSticky`].
    pub fn new(names: &str) -> Result<Self, InvalidSticky> {
        let (cookie, parameter) = names.split_once('|').unwrap_or((names, names));
        let mut sticky = Self {
            cookies: Vec::new(),
            parameters: Vec::new(),
            separator: Some(b'.'),
            after_last: false,
            last_segment: false,
            force: false,
            move_when_full: false,
            route_cookie: None,
        };
        for name in cookie.split(',') {
            sticky = sticky.with_cookie(name)?;
        }
        for name in parameter.split(',') {
            sticky = sticky.with_path_parameter(name)?;
        }
        Ok(sticky)
    }

    /// A further cookie.
    ///
    /// # Errors
    /// [`InvalidSticky`].
    pub fn with_cookie(mut self, name: &str) -> Result<Self, InvalidSticky> {
        self.cookies.push(checked_name(name)?);
        Ok(self)
    }

    /// A further path parameter.
    ///
    /// # Errors
    /// [`InvalidSticky`].
    pub fn with_path_parameter(mut self, name: &str) -> Result<Self, InvalidSticky> {
        self.parameters.push(checked_name(name)?);
        Ok(self)
    }

    /// What stands between id and route. `None`: the whole value is the route. Default `.`.
    #[must_use]
    pub fn with_separator(mut self, separator: impl Into<Option<u8>>) -> Self {
        self.separator = separator.into();
        self
    }

    /// Whether the route begins after the last separator. Default after the first, as in
    /// httpd and `mod_jk`: a route may contain it, a session id does not.
    #[must_use]
    pub fn with_route_after_last(mut self, last: bool) -> Self {
        self.after_last = last;
        self
    }

    /// Whether only path parameters of the last segment count. Default those of all.
    #[must_use]
    pub fn with_last_segment_only(mut self, only: bool) -> Self {
        self.last_segment = only;
        self
    }

    /// Whether a request whose member cannot serve is refused rather than sent to a member
    /// that does not know its session (httpd's `nofailover`, `mod_jk`'s
    /// `sticky_session_force`). Default no.
    #[must_use]
    pub fn with_force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Whether a request leaves its session's member because that has
    /// [no free slot](super::Member::with_max_requests). Default no: it is refused for a
    /// moment, the session is kept.
    #[must_use]
    pub fn with_move_when_full(mut self, moves: bool) -> Self {
        self.move_when_full = moves;
        self
    }

    /// A cookie of the balancer's own, for containers whose session ids have no route.
    #[must_use]
    pub fn with_route_cookie(mut self, cookie: impl Into<Option<RouteCookie>>) -> Self {
        self.route_cookie = cookie.into();
        self
    }

    /// The balancer's own cookie.
    #[must_use]
    pub fn own_cookie(&self) -> Option<&RouteCookie> {
        self.route_cookie.as_ref()
    }

    /// The names, as in [`new`](Self::new); further ones behind commas.
    #[must_use]
    pub fn names(&self) -> String {
        format!("{}|{}", self.cookies.join(","), self.parameters.join(","))
    }

    /// Whether sessions are refused rather than moved.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.force
    }

    /// Reads a request's path (a query behind it is ignored) and the values of its
    /// `Cookie` headers. Path parameters come first, as in httpd and `mod_jk`; then cookies
    /// in their order, then the balancer's own.
    pub fn session<'a>(
        &self,
        path: &'a [u8],
        cookies: impl IntoIterator<Item = &'a [u8]>,
    ) -> Session<'a> {
        let mut session = Session {
            force: self.force,
            move_when_full: self.move_when_full,
            ..Session::default()
        };
        let path = path.split(|&b| b == b'?').next().unwrap_or_default();
        let mut segments = path.split(|&b| b == b'/');
        if self.last_segment {
            session.add(self, segments.next_back().unwrap_or_default());
        } else {
            segments.for_each(|segment| session.add(self, segment));
        }
        for header in cookies {
            for (name, value) in Pairs(header) {
                if self.cookies.iter().any(|known| known.as_bytes() == name) {
                    session.add_id(self, value);
                }
                let own = self.route_cookie.as_ref();
                if own.is_some_and(|own| own.name().as_bytes() == name) {
                    session.own_cookie = Some(value.strip_prefix(b".").unwrap_or(value));
                }
            }
        }
        session.routes.extend(session.own_cookie);
        session
    }

    /// The route part of a session id.
    fn route<'a>(&self, id: &'a [u8]) -> Option<&'a [u8]> {
        let Some(separator) = self.separator else {
            return Some(id);
        };
        let mut positions = id.iter();
        let at = if self.after_last {
            positions.rposition(|&b| b == separator)
        } else {
            positions.position(|&b| b == separator)
        };
        id.get(at? + 1..)
    }
}

/// What a request says of its session.
#[derive(Debug, Clone, Default)]
pub struct Session<'a> {
    routes: Vec<&'a [u8]>,
    /// The session ids that the routes stand in, as far as they are session ids.
    ids: Vec<&'a [u8]>,
    present: bool,
    own_cookie: Option<&'a [u8]>,
    pub(super) force: bool,
    pub(super) move_when_full: bool,
}

impl<'a> Session<'a> {
    /// The routes of its session ids, in the order in which they are tried.
    #[must_use]
    pub fn routes(&self) -> &[&'a [u8]] {
        &self.routes
    }

    /// Whether it has a session id, with or without route.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.present
    }

    /// The route in the balancer's own cookie.
    #[must_use]
    pub fn own_cookie(&self) -> Option<&'a [u8]> {
        self.own_cookie
    }

    /// Whether its requests leave a member that has no free slot, instead of waiting there.
    pub(crate) fn moves_when_full(&self) -> bool {
        self.move_when_full
    }

    /// Whether a `Set-Cookie` value gives the browser another session id than the one that
    /// named the member: the container did not know the session, or has ended it.
    pub(crate) fn is_replaced_by(&self, sticky: &Sticky, set_cookie: &[u8], route: usize) -> bool {
        let (Some((name, value)), Some(own)) = (Pairs(set_cookie).next(), self.ids.get(route))
        else {
            return false;
        };
        let known = sticky.cookies.iter();
        let is_session = known.map(String::as_bytes).any(|known| known == name);
        is_session && !value.is_empty() && value != *own
    }

    /// The parameters of one path segment.
    fn add(&mut self, sticky: &Sticky, segment: &'a [u8]) {
        for parameter in segment.split(|&b| b == b';').skip(1) {
            let mut parts = parameter.splitn(2, |&b| b == b'=');
            let (name, value) = (parts.next().unwrap_or_default(), parts.next());
            let known = sticky
                .parameters
                .iter()
                .any(|known| known.as_bytes() == name);
            if let (true, Some(value)) = (known, value) {
                self.add_id(sticky, value);
            }
        }
    }

    fn add_id(&mut self, sticky: &Sticky, id: &'a [u8]) {
        if id.is_empty() {
            return;
        }
        self.present = true;
        let route = sticky.route(id).filter(|route| !route.is_empty());
        let new =
            |route: &&'a [u8]| self.routes.len() < MOST_ROUTES && !self.routes.contains(route);
        if let Some(route) = route.filter(new) {
            self.routes.push(route);
            self.ids.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tomcat() -> Sticky {
        Sticky::new("JSESSIONID|jsessionid").unwrap()
    }

    /// What one shows of its names makes one with the same names.
    #[test]
    fn names_are_read_as_they_are_shown() {
        for names in ["JSESSIONID|jsessionid", "A,B|p", "A|p,q,r"] {
            assert_eq!(Sticky::new(names).unwrap().names(), names);
        }
        for wrong in ["A,|p", ",A|p", "A|p,", "A,B|"] {
            assert!(Sticky::new(wrong).is_err(), "{wrong}");
        }
        assert!(!tomcat().is_forced() && tomcat().with_force(true).is_forced());
    }

    fn routes(sticky: &Sticky, path: &str, cookies: &[&str]) -> Vec<String> {
        let session = sticky.session(path.as_bytes(), cookies.iter().map(|c| c.as_bytes()));
        let text = |route: &&[u8]| String::from_utf8(route.to_vec()).unwrap();
        session.routes().iter().map(text).collect()
    }

    #[test]
    fn cookies() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["JSESSIONID=1.a"], &["a"]),
            (&["x=y; JSESSIONID=1.a; z"], &["a"]),
            (&["JSESSIONID = 1.a "], &["a"]),
            // Repeated: all, in their order, each once (BZ 44116).
            (
                &["JSESSIONID=1.a; JSESSIONID=2.b; JSESSIONID=3.a"],
                &["a", "b"],
            ),
            (&["JSESSIONID=1.b", "JSESSIONID=2.a"], &["b", "a"]),
            (&["x=1,JSESSIONID=1.a"], &["a"]),
            // HTTP/2 sends each cookie in a field of its own (RFC 9113 section 8.2.3).
            (&["x=y", "JSESSIONID=1.a", "z=\"1\""], &["a"]),
            // Quoted (BZ 55683).
            (&["JSESSIONID=\"1.a\""], &["a"]),
            (&["x=\"; JSESSIONID=1.b; \"; JSESSIONID=2.a"], &["a"]),
            (&["x=\"JSESSIONID=1.b; JSESSIONID=2.a"], &["a"]),
            // Names are compared whole.
            (&["XJSESSIONID=1.a; JSESSIONIDX=1.a; jsessionid=1.a"], &[]),
            (&["x JSESSIONID=1.a"], &[]),
            (&["x=JSESSIONID=1.a"], &[]),
            // The first dot; a route may have more.
            (&["JSESSIONID=1.a.b"], &["a.b"]),
            // No route.
            (&["JSESSIONID=1"], &[]),
            (&["JSESSIONID=1."], &[]),
            (&["JSESSIONID="], &[]),
            (&["JSESSIONID"], &[]),
            (&["", ";", " ; ,", "=", "=.a"], &[]),
        ];
        for (cookies, expected) in cases {
            assert_eq!(routes(&tomcat(), "/", cookies), *expected, "{cookies:?}");
        }
    }

    #[test]
    fn path_parameters() {
        let cases: &[(&str, &[&str])] = &[
            ("/app;jsessionid=1.a", &["a"]),
            ("/app;jsessionid=1.a?x=y", &["a"]),
            ("/app;jsessionid=1.a/x;jsessionid=2.b", &["a", "b"]),
            ("/app;v=1;jsessionid=1.a;w=2", &["a"]),
            ("/app;jsessionid=1.a=b", &["a=b"]),
            ("/app;xjsessionid=1.a;JSESSIONID=1.a;jsessionid", &[]),
            ("/appjsessionid=1.a", &[]),
            ("/jsessionid=1.a", &[]),
            ("/app?;jsessionid=1.a", &[]),
            ("/app?x=/;jsessionid=1.a", &[]),
            ("", &[]),
        ];
        for (path, expected) in cases {
            assert_eq!(routes(&tomcat(), path, &[]), *expected, "{path}");
        }
        let last = tomcat().with_last_segment_only(true);
        assert_eq!(
            routes(&last, "/a;jsessionid=1.a/b;jsessionid=1.b", &[]),
            ["b"]
        );
        assert!(routes(&last, "/a;jsessionid=1.a/b", &[]).is_empty());
    }

    #[test]
    fn options() {
        let bang = tomcat().with_separator(b'!');
        assert_eq!(routes(&bang, "/", &["JSESSIONID=1.x!a!b"]), ["a!b"]);
        let last = tomcat().with_route_after_last(true);
        assert_eq!(routes(&last, "/", &["JSESSIONID=1.x.a"]), ["a"]);
        let whole = Sticky::new("ROUTE").unwrap().with_separator(None);
        assert_eq!(routes(&whole, "/x;ROUTE=b", &["ROUTE=a.1"]), ["b", "a.1"]);
        let more = tomcat()
            .with_cookie("SID")
            .unwrap()
            .with_path_parameter("sid")
            .unwrap();
        let found = routes(&more, "/;sid=1.a", &["SID=1.b; JSESSIONID=1.c"]);
        assert_eq!(found, ["a", "b", "c"]);
        assert_eq!(more.names(), "JSESSIONID,SID|jsessionid,sid");
        for names in ["", "|", "A|", "|b", "A|b|c", "a b", "a=b", "\u{e4}"] {
            assert!(Sticky::new(names).is_err(), "{names}");
        }
    }

    #[test]
    fn the_balancers_own_cookie_comes_last() {
        let sticky = tomcat().with_route_cookie(RouteCookie::new("ROUTEID").unwrap());
        let cookies: [&[u8]; 1] = [b"ROUTEID=.b; JSESSIONID=1.a"];
        let session = sticky.session(b"/", cookies);
        assert_eq!(session.routes(), [b"a", b"b"]);
        assert_eq!(session.own_cookie(), Some(&b"b"[..]));
        assert!(session.is_present());
        let cookies: [&[u8]; 1] = [b"ROUTEID=b"];
        let session = sticky.session(b"/", cookies);
        assert_eq!(session.routes(), [b"b"]);
        assert!(!session.is_present());
    }

    #[test]
    fn a_session_without_route_is_one() {
        let cookies: [&[u8]; 1] = [b"JSESSIONID=1"];
        assert!(tomcat().session(b"/", cookies).is_present());
        assert!(!tomcat().session(b"/", []).is_present());
    }

    #[test]
    fn no_more_routes_are_looked_at_than_a_browser_may_have() {
        let cookies: Vec<String> = (0..20).map(|n| format!("JSESSIONID=1.r{n}")).collect();
        let cookies: Vec<&str> = cookies.iter().map(String::as_str).collect();
        let expected: Vec<String> = (0..MOST_ROUTES).map(|n| format!("r{n}")).collect();
        assert_eq!(routes(&tomcat(), "/", &cookies), expected);
    }

    #[test]
    fn any_bytes_are_read_to_their_end() {
        let alphabet = b"JSESSIONID=\"; ,.a/?";
        let mut random = fastrand::Rng::with_seed(7);
        let names = Sticky::new("J|a").unwrap();
        for _ in 0..20_000 {
            let len = random.usize(..24);
            let text: Vec<u8> = (0..len)
                .map(|_| alphabet[random.usize(..alphabet.len())])
                .collect();
            let session = names.session(&text, [&text[..]]);
            assert!(session.routes().len() <= MOST_ROUTES);
        }
    }
}
