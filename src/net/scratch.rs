//! Large read buffers, a few of which every thread keeps.
//!
//! A connection that waits holds none: it borrows one for each read, and takes it over only
//! when much has come.

use bytes::BytesMut;
use std::cell::RefCell;

/// Size of a read buffer, in bytes: a head and the largest packet behind it.
pub(super) const SIZE: usize = 4096 + 65536;
/// How many a thread keeps.
const KEPT: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for [`SIZE`] bytes.
pub(super) fn take() -> BytesMut {
    let spare = SPARE.try_with(|spare| spare.try_borrow_mut().ok()?.pop());
    if let Ok(Some(mut buffer)) = spare {
        // What was received through it may still be in use.
        if buffer.try_reclaim(SIZE) {
            return buffer;
        }
    }
    BytesMut::with_capacity(SIZE)
}

/// Keeps a buffer for the next [`take`] of this thread; slices of it may still be in use.
pub(super) fn give_back(mut buffer: BytesMut) {
    buffer.clear();
    // While a thread ends there is nothing left to keep it in.
    let _ = SPARE.try_with(|spare| {
        if let Ok(mut spare) = spare.try_borrow_mut() {
            if spare.len() < KEPT {
                spare.push(buffer);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_nothing_of_it_is() {
        let mut buffer = take();
        assert!(buffer.capacity() >= SIZE);
        let place = buffer.as_ptr();
        buffer.extend_from_slice(b"data");
        let slice = buffer.split_to(2).freeze();
        give_back(buffer);
        let other = take();
        assert_ne!(other.as_ptr(), place, "a slice of it is held");
        assert_eq!(slice, b"da"[..]);
        drop(slice);

        let place = other.as_ptr();
        give_back(other);
        assert_eq!(take().as_ptr(), place);
    }

    #[test]
    fn a_thread_keeps_a_few() {
        let many: Vec<_> = (0..KEPT + 3).map(|_| take()).collect();
        many.into_iter().for_each(give_back);
        SPARE.with(|spare| assert_eq!(spare.borrow().len(), KEPT));
    }
}
