//! Sizes that both ends must agree on, and what a decoder accepts.

/// Total size of a packet, header included: 8192 (default) to 65536 bytes.
///
/// AJP does not negotiate it; both ends must be configured alike (protocol section
/// 1.4). In httpd it is `ProxyIOBufferSize`, in `mod_jk` `max_packet_size`, in Tomcat
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
        self.bytes().saturating_sub(4)
    }

    /// Most data bytes of one request body packet: packet size - 6.
    #[must_use]
    pub const fn max_request_body(self) -> usize {
        self.bytes().saturating_sub(6)
    }

    /// Most data bytes of one Send Body Chunk: packet size - 8.
    #[must_use]
    pub const fn max_body_chunk(self) -> usize {
        self.bytes().saturating_sub(8)
    }

    /// Longest payload to accept from a peer: four bytes more than a sender may use,
    /// because some peers count the packet size without the header (section 1.4.2).
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

/// How a request announces the length of its body. Both sides derive from it who owes
/// which body packet (protocol sections 4.2 to 4.5).
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

/// What a container accepts beyond the strict rules of protocol section 6.4, and its
/// limit of request headers. Strict by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeOptions {
    pub(crate) max_headers: u16,
    pub(crate) lenient_uri: bool,
    pub(crate) absolute_uri: bool,
    pub(crate) der_certificate: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            max_headers: 100,
            lenient_uri: false,
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

    /// Accept space and bytes from 0x80 in `req_uri` and query, as lighttpd and `mod_jk`
    /// with `ForwardURICompat` send them. Default off.
    #[must_use]
    pub fn with_lenient_uri(mut self, on: bool) -> Self {
        self.lenient_uri = on;
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
