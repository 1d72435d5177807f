//! A plain copy over TCP, in chunks, to hold large bodies against.

use super::{own_cpu, parent_gone};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The name of this server, beside those of the protocols.
pub(crate) const NAME: &str = "copy";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Download,
    Upload,
    /// An upload of which the server asks for each chunk, with as many bytes as AJP takes for
    /// that, and gets no other meanwhile.
    AskedUpload,
}

/// What asks for a chunk.
const ASK: [u8; 7] = [0x41, 0x42, 0, 3, 6, 0x1f, 0xfa];

/// Answers one order after the other on each connection.
pub(super) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let accept = async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                while let Ok(way) = tcp.read_u8().await {
                    let len = tcp.read_u64().await.unwrap();
                    let chunk = usize::try_from(tcp.read_u64().await.unwrap()).unwrap();
                    match way {
                        0 => write(&mut tcp, len, chunk).await,
                        1 => read(&mut tcp, len, chunk).await,
                        _ => ask(&mut tcp, len, chunk).await,
                    }
                    let spent = u64::try_from(own_cpu().as_nanos()).unwrap();
                    tcp.write_u64(spent).await.unwrap();
                }
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = parent_gone() => {}
    }
}

/// Copies so many bytes: what it took, and the CPU time of both processes so far.
pub(crate) async fn copy(
    tcp: &mut TcpStream,
    way: Way,
    len: u64,
    chunk: usize,
) -> (Duration, Duration) {
    let start = Instant::now();
    tcp.write_u8(way as u8).await.unwrap();
    tcp.write_u64(len).await.unwrap();
    tcp.write_u64(chunk as u64).await.unwrap();
    match way {
        Way::Download => read(tcp, len, chunk).await,
        Way::Upload => write(tcp, len, chunk).await,
        Way::AskedUpload => answer(tcp, len, chunk).await,
    }
    let theirs = Duration::from_nanos(tcp.read_u64().await.unwrap());
    (start.elapsed(), own_cpu() + theirs)
}

async fn write(tcp: &mut TcpStream, len: u64, chunk: usize) {
    let data = vec![b'd'; chunk];
    let mut left = len;
    while left > 0 {
        let now = usize::try_from(left.min(chunk as u64)).unwrap();
        tcp.write_all(&data[..now]).await.unwrap();
        left -= now as u64;
    }
}

async fn read(tcp: &mut TcpStream, len: u64, chunk: usize) {
    let mut data = vec![0; chunk];
    let mut left = len;
    while left > 0 {
        let most = usize::try_from(left.min(chunk as u64)).unwrap();
        let got = tcp.read(&mut data[..most]).await.unwrap();
        assert_ne!(got, 0, "the copy ended early");
        left -= got as u64;
    }
}

async fn ask(tcp: &mut TcpStream, len: u64, chunk: usize) {
    let mut data = vec![0; chunk];
    let mut left = len;
    while left > 0 {
        tcp.write_all(&ASK).await.unwrap();
        let most = usize::try_from(left.min(chunk as u64)).unwrap();
        tcp.read_exact(&mut data[..most]).await.unwrap();
        left -= most as u64;
    }
}

async fn answer(tcp: &mut TcpStream, len: u64, chunk: usize) {
    let data = vec![b'd'; chunk];
    let mut left = len;
    while left > 0 {
        let mut asked = ASK;
        tcp.read_exact(&mut asked).await.unwrap();
        let now = usize::try_from(left.min(chunk as u64)).unwrap();
        tcp.write_all(&data[..now]).await.unwrap();
        left -= now as u64;
    }
}
