//! Sizes that both ends must agree on, and what a decoder accepts.

/// Total size of a packet, header included: 8192 (default) to 65536 bytes.
///
/// AJP does not negotiate it; both ends must be configured alike (protocol chapter
/// [packets](crate::docs::protocol::packets#packet-size)). In httpd it is `ProxyIOBufferSize`, in `mod_jk` `max_packet_size`, in Tomcat
/// `packetSize`.
///
/// ```
/// use ajp::wire::PacketSize;
/// let size = PacketSize::new(65536).unwrap();
/// assert_eq!(size.max_request_body(), 65530);
/// assert!(PacketSize::new(4096).is_none());
/// assert_eq!(PacketSize::default().max_body_chunk(), 8184);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketSize(u32);

impl PacketSize {
    /// 8192 bytes, which every peer understands.
    pub const DEFAULT: Self = Self(8192);
    /// 65536 bytes, the largest any peer allows.
    pub const MAX: Self = Self(65536);

    /// A packet size in bytes, or `None` outside 8192..=65536.
    #[must_use]
    pub const fn new(bytes: u32) -> Option<Self> {
        if bytes >= Self::DEFAULT.0 && bytes <= Self::MAX.0 {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// The whole packet in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// Largest payload in bytes: packet size - 4.
    #[must_use]
    pub const fn max_payload(self) -> usize {
        self.bytes() - 4
    }

    /// Most data bytes of one request body packet: packet size - 6.
    #[must_use]
    pub const fn max_request_body(self) -> usize {
        self.bytes() - 6
    }

    /// Most data bytes of one Send Body Chunk: packet size - 8.
    #[must_use]
    pub const fn max_body_chunk(self) -> usize {
        self.bytes() - 8
    }

    /// The packet size that a container shows which asks for so many bytes of a request body
    /// ([`ToWebServer::GetBodyChunk`](super::ToWebServer::GetBodyChunk)): Tomcat asks for all that one
    /// of its packets holds. `None` when the number shows nothing.
    ///
    /// Rounded down to a multiple of 1024, because one container is known to ask for two bytes more
    /// than its packets hold, and `None` beyond what the largest packet holds, because another one
    /// asks for 65535 bytes whatever its packet size is.
    ///
    /// ```
    /// use ajp::wire::PacketSize;
    /// assert_eq!(PacketSize::of_body_request(65530), Some(PacketSize::MAX));
    /// assert_eq!(PacketSize::of_body_request(8188), Some(PacketSize::DEFAULT));
    /// assert_eq!(PacketSize::of_body_request(100), None);
    /// assert_eq!(PacketSize::of_body_request(65535), None);
    /// ```
    #[must_use]
    pub const fn of_body_request(requested: u16) -> Option<Self> {
        if requested as usize > Self::MAX.max_request_body() {
            return None;
        }
        Self::new((requested as u32 + 6) / 1024 * 1024)
    }

    /// Longest payload to accept from a peer: four bytes more than a sender may use, because some
    /// peers count the packet size without the header (protocol chapter
    /// [packets](crate::docs::protocol::packets#packet-size)).
    #[must_use]
    pub const fn max_accepted_payload(self) -> usize {
        let bytes = self.bytes();
        if bytes > 65535 { 65535 } else { bytes }
    }
}

impl Default for PacketSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How a request announces the length of its body. Both sides derive from it who owes which body
/// packet (protocol chapters [framing](crate::docs::protocol::framing#requests) and
/// [exchange](crate::docs::protocol::exchange#the-first-body-packet)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the protocol has exactly these three"
)]
pub enum BodyFraming {
    /// `Content-Length: n`. With `n > 0` the first body packet follows unasked.
    Length(u64),
    /// `Transfer-Encoding: chunked`: unknown length, every packet is asked for.
    Chunked,
    /// Neither header. To Tomcat this is "unknown", to Undertow "none"; our client
    /// never sends it, our server treats it as "may be asked for".
    Absent,
}

impl BodyFraming {
    /// Whether the first body packet is sent without being asked for.
    #[must_use]
    pub const fn is_eager(self) -> bool {
        matches!(self, Self::Length(n) if n > 0)
    }

    /// The announced length, if it is known.
    #[must_use]
    pub const fn length(self) -> Option<u64> {
        match self {
            Self::Length(n) => Some(n),
            Self::Chunked | Self::Absent => None,
        }
    }
}

/// What a container accepts: by default whatever httpd and `mod_jk` send with their default
/// settings, and at most 100 headers. Every other tolerance is for one kind of peer and has
/// to be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent switches, each for one kind of peer"
)]
pub struct DecodeOptions {
    pub(crate) max_headers: u16,
    pub(crate) lenient_uri: bool,
    pub(crate) ascii_query: bool,
    pub(crate) absent_length_as_empty: bool,
    pub(crate) absolute_uri: bool,
    pub(crate) der_certificate: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            max_headers: 100,
            lenient_uri: false,
            ascii_query: false,
            absent_length_as_empty: false,
            absolute_uri: false,
            der_certificate: false,
        }
    }
}

impl DecodeOptions {
    /// Most request headers of one Forward Request. Default 100, as in Tomcat.
    #[must_use]
    pub fn with_max_headers(mut self, count: u16) -> Self {
        self.max_headers = count;
        self
    }

    /// Accept decoded paths, as lighttpd and `mod_jk` with `ForwardURICompat` send them: in
    /// `req_uri` also space, `?`, `#` and bytes from 0x80, in the query also space. Default off.
    ///
    /// A `?` in such a path was `%3F` in the URL and does not begin a query; the query has an
    /// attribute of its own.
    #[must_use]
    pub fn with_lenient_uri(mut self, on: bool) -> Self {
        self.lenient_uri = on;
        self
    }

    /// Refuse bytes from 0x80 in the query. Default off: httpd and `mod_jk` pass the query on
    /// as the browser sent it, and Tomcat serves such requests.
    #[must_use]
    pub fn with_ascii_query(mut self, on: bool) -> Self {
        self.ascii_query = on;
        self
    }

    /// Take a request with neither `Content-Length` nor `Transfer-Encoding` for one without a
    /// body, as Undertow does: [`framing`](super::ForwardRequest::framing) says
    /// [`Length(0)`](BodyFraming::Length), and no body is ever asked for. Default off: the
    /// length is unknown then, as to Tomcat.
    ///
    /// For web servers that announce bodies and never answer Get Body Chunk without one. A
    /// body that such a web server sends all the same is a protocol error.
    #[must_use]
    pub fn with_absent_length_as_empty(mut self, on: bool) -> Self {
        self.absent_length_as_empty = on;
        self
    }

    /// Accept `http://host/path` as `req_uri`. Default off.
    #[must_use]
    pub fn with_absolute_uri(mut self, on: bool) -> Self {
        self.absolute_uri = on;
        self
    }

    /// Accept any bytes in `ssl_cert`, for peers that send DER. Default off.
    #[must_use]
    pub fn with_der_certificate(mut self, on: bool) -> Self {
        self.der_certificate = on;
        self
    }
}
