//! The PROXY protocol, versions 1 and 2: a load balancer that passes connections on says in
//! front of all other bytes whose they are.

use bytes::{Bytes, BytesMut};
use ppp::{HeaderResult, PartialResult, v1, v2};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt};

/// More than the longest header with sensible extensions.
const MOST: usize = 4096;

/// A header of version 1 with its end.
const LONGEST_LINE: usize = 107;

/// Whose connection it is, by the word of the load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxied {
    /// That of a client at this address, which has connected to that one.
    Client {
        client: SocketAddr,
        local: SocketAddr,
    },
    /// That of a client without an address that could be told: it came over a Unix socket, or
    /// the load balancer does not know.
    Unknown,
    /// The load balancer's own, such as for a health check.
    Own,
}

/// Reads the header: what it says, and the bytes that came after it.
///
/// # Errors
/// There is no such header, or the connection ends before its end.
pub(crate) async fn read(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<(Proxied, Bytes)> {
    let mut buffer = BytesMut::with_capacity(256);
    loop {
        if socket.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A line is looked at as a whole: its parser takes a part of a port for a wrong one.
        if is_part_of_a_line(&buffer) {
            continue;
        }
        let parsed = HeaderResult::parse(&buffer);
        if parsed.is_incomplete() && buffer.len() < MOST {
            continue;
        }
        let wrong = |error: String| {
            let text = format!("no PROXY protocol header: {error}");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let (proxied, length) = match parsed {
            HeaderResult::V1(header) => {
                let header = header.map_err(|error| wrong(error.to_string()))?;
                (of_text(&header), header.header.len())
            }
            HeaderResult::V2(header) => {
                let header = header.map_err(|error| wrong(error.to_string()))?;
                (of_binary(&header), header.len())
            }
        };
        let rest = buffer.split_off(length.min(buffer.len())).freeze();
        return Ok((proxied, rest));
    }
}

/// Whether this is a header of version 1 whose end has not come yet.
fn is_part_of_a_line(bytes: &[u8]) -> bool {
    let known = bytes.len().min(v1::PROTOCOL_PREFIX.len());
    let begins = bytes.get(..known) == v1::PROTOCOL_PREFIX.as_bytes().get(..known);
    begins && bytes.len() < LONGEST_LINE && !bytes.windows(2).any(|pair| pair == b"\r\n")
}

fn of_text(header: &v1::Header<'_>) -> Proxied {
    match &header.addresses {
        v1::Addresses::Unknown => Proxied::Unknown,
        v1::Addresses::Tcp4(of) => Proxied::Client {
            client: (of.source_address, of.source_port).into(),
            local: (of.destination_address, of.destination_port).into(),
        },
        v1::Addresses::Tcp6(of) => Proxied::Client {
            client: (of.source_address, of.source_port).into(),
            local: (of.destination_address, of.destination_port).into(),
        },
    }
}

fn of_binary(header: &v2::Header<'_>) -> Proxied {
    if header.command == v2::Command::Local {
        return Proxied::Own;
    }
    match &header.addresses {
        v2::Addresses::IPv4(of) => Proxied::Client {
            client: (of.source_address, of.source_port).into(),
            local: (of.destination_address, of.destination_port).into(),
        },
        v2::Addresses::IPv6(of) => Proxied::Client {
            client: (of.source_address, of.source_port).into(),
            local: (of.destination_address, of.destination_port).into(),
        },
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => Proxied::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ppp::v2::{Builder, Command, IPv4, Protocol, Version};

    async fn told(bytes: &[u8]) -> io::Result<(Proxied, Bytes)> {
        // Byte by byte, as the network may bring it.
        let mut stream = tokio_stream_of(bytes);
        read(&mut stream).await
    }

    fn tokio_stream_of(bytes: &[u8]) -> impl AsyncRead + Unpin {
        let (client, server) = tokio::io::duplex(1);
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            let mut client = client;
            let _ = client.write_all(&bytes).await;
        });
        server
    }

    #[tokio::test]
    async fn both_versions() {
        let (text, _) = told(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n")
            .await
            .unwrap();
        let proxied = Proxied::Client {
            client: "203.0.113.9:4711".parse().unwrap(),
            local: "192.0.2.1:443".parse().unwrap(),
        };
        assert_eq!(text, proxied);
        let (six, _) = told(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n")
            .await
            .unwrap();
        let proxied_six = Proxied::Client {
            client: "[2001:db8::1]:1".parse().unwrap(),
            local: "[2001:db8::2]:2".parse().unwrap(),
        };
        assert_eq!(six, proxied_six);
        let unknown = told(b"PROXY UNKNOWN\r\n").await.unwrap().0;
        assert_eq!(unknown, Proxied::Unknown);

        let addresses = IPv4::new([203, 0, 113, 9], [192, 0, 2, 1], 4711, 443);
        for (command, expected) in [(Command::Proxy, proxied), (Command::Local, Proxied::Own)] {
            let header =
                Builder::with_addresses(Version::Two | command, Protocol::Stream, addresses);
            let header = header.build().unwrap();
            assert_eq!(told(&header).await.unwrap().0, expected);
        }
    }

    #[tokio::test]
    async fn what_comes_after_it_is_kept() {
        let mut bytes: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\n";
        let (_, rest) = read(&mut bytes).await.unwrap();
        assert_eq!(rest, "GET / HTTP/1.1\r\n");
    }

    #[tokio::test]
    async fn what_is_none_is_an_error() {
        let kind = |result: io::Result<_>| result.map(drop).unwrap_err().kind();
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 x y 1 2\r\n"] {
            assert_eq!(kind(told(bytes).await), io::ErrorKind::InvalidData);
        }
        assert_eq!(
            kind(told(b"PROXY TCP4 203").await),
            io::ErrorKind::UnexpectedEof
        );
        let endless = [b"PROXY TCP4 ", &[b'1'; 10_000][..]].concat();
        assert_eq!(kind(told(&endless).await), io::ErrorKind::InvalidData);
    }
}
