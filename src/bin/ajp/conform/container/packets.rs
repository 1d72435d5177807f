//! Packets as no writer would make them.

/// A Forward Request, right or wrong.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) method: u8,
    pub(super) protocol: Vec<u8>,
    pub(super) path: Vec<u8>,
    /// The code or the name as bytes, and the value.
    pub(super) headers: Vec<(Name, Vec<u8>)>,
    /// In place of their number.
    pub(super) header_count: Option<u16>,
    /// Bytes before the terminator.
    pub(super) attributes: Vec<u8>,
    /// The terminator, and what follows.
    pub(super) end: Vec<u8>,
}

/// A header's name.
#[derive(Debug, Clone)]
pub(super) enum Name {
    Code(u16),
    Text(Vec<u8>),
}

pub(super) const CONTENT_LENGTH: Name = Name::Code(0xa008);
pub(super) const HOST: Name = Name::Code(0xa00b);

impl Head {
    /// A GET of a path that tells its length.
    pub(super) fn get(path: &str, secret: Option<&[u8]>) -> Self {
        Self::of(2, path, secret).with(CONTENT_LENGTH, "0")
    }

    /// A POST without a length.
    pub(super) fn post(path: &str, secret: Option<&[u8]>) -> Self {
        Self::of(4, path, secret)
    }

    fn of(method: u8, path: &str, secret: Option<&[u8]>) -> Self {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let mut head = Self {
            method,
            protocol: b"HTTP/1.1".to_vec(),
            path: path.as_bytes().to_vec(),
            headers: vec![(HOST, b"conform.example".to_vec())],
            header_count: None,
            attributes: Vec::new(),
            end: vec![0xff],
        };
        if let Some(secret) = secret {
            head = head.with_attribute(0x0c, secret);
        }
        if let Some(query) = query {
            head = head.with_attribute(5, query.as_bytes());
        }
        head
    }

    pub(super) fn with(mut self, name: Name, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    pub(super) fn with_text(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.with(Name::Text(name.as_bytes().to_vec()), value)
    }

    pub(super) fn with_attribute(mut self, code: u8, value: &[u8]) -> Self {
        self.attributes.push(code);
        string(&mut self.attributes, value);
        self
    }

    /// `req_attribute`.
    pub(super) fn with_named(mut self, name: &str, value: &str) -> Self {
        self.attributes.push(0x0a);
        string(&mut self.attributes, name.as_bytes());
        string(&mut self.attributes, value.as_bytes());
        self
    }

    /// The packet.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut payload = vec![2, self.method];
        string(&mut payload, &self.protocol);
        string(&mut payload, &self.path);
        string(&mut payload, b"192.0.2.7");
        // No name of the client.
        payload.extend([0xff, 0xff]);
        string(&mut payload, b"conform.example");
        payload.extend([0, 80, 0]);
        let count = u16::try_from(self.headers.len()).unwrap_or(u16::MAX);
        payload.extend(self.header_count.unwrap_or(count).to_be_bytes());
        for (name, value) in &self.headers {
            match name {
                Name::Code(code) => payload.extend(code.to_be_bytes()),
                Name::Text(name) => string(&mut payload, name),
            }
            string(&mut payload, value);
        }
        payload.extend(&self.attributes);
        payload.extend(&self.end);
        packet(&payload)
    }
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(text);
    out.push(0);
}

/// A payload in a packet to the container.
pub(super) fn packet(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    [&[0x12, 0x34], &len.to_be_bytes()[..], payload].concat()
}

/// A body packet.
pub(super) fn body(data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap_or(u16::MAX);
    packet(&[&len.to_be_bytes()[..], data].concat())
}

/// Data in body packets of at most this size.
pub(super) fn parts(data: &[u8], size: usize) -> Vec<Vec<u8>> {
    data.chunks(size).map(body).collect()
}
