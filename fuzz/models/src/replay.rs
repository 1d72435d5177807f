//! A request body that two handles read at the same time.

mod replay_body {
    include!(concat!(env!("OUT_DIR"), "/mapping_replay_body.rs"));
}

use bytes::Bytes;
use http_body::{Body, Frame};
use replay_body::ReplayBody;
use shuttle::future::block_on;
use shuttle::sync::mpsc::{self, Receiver, TryRecvError};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Pieces that another thread gives; it wakes who polled last.
struct Source {
    pieces: Receiver<Bytes>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Body for Source {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        *self.waker.lock().unwrap() = Some(cx.waker().clone());
        match self.pieces.try_recv() {
            Ok(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
        }
    }
}

fn read(mut body: ReplayBody<Source>) -> Result<Vec<u8>, ()> {
    block_on(async move {
        let mut all = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            all.extend_from_slice(frame.map_err(drop)?.data_ref().unwrap());
        }
        Ok(all)
    })
}

/// What two handles read of a body of which so many bytes may be kept.
fn read_twice(most_kept: usize) -> [Result<Vec<u8>, ()>; 2] {
    let (give, pieces) = mpsc::channel();
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let source = Source {
        pieces,
        waker: Arc::clone(&waker),
    };
    let first = ReplayBody::new(source, most_kept);
    let second = first.clone();
    let readers = [first, second].map(|body| thread::spawn(move || read(body)));
    for piece in ["ab", "c"] {
        give.send(Bytes::from(piece)).unwrap();
        wake(&waker);
    }
    drop(give);
    wake(&waker);
    readers.map(|reader| reader.join().unwrap())
}

/// Each handle gets the whole body in order, and nobody waits for a wake that went to another.
pub fn both_get_the_whole_body() {
    for got in read_twice(100) {
        assert_eq!(got, Ok(b"abc".to_vec()));
    }
}

/// Where not all may be kept, a handle gets the whole body or knows that it did not.
pub fn a_body_that_is_not_kept_is_whole_or_fails() {
    for got in read_twice(2) {
        assert!(got.is_err() || got == Ok(b"abc".to_vec()), "{got:?}");
    }
}

fn wake(waker: &Mutex<Option<Waker>>) {
    let waker = waker.lock().unwrap().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}
