//! Buffers that every thread keeps a few of: large ones to read into, small ones to write
//! packets to.
//!
//! A connection that waits holds neither: it borrows one for each read, and takes it over
//! only when much has come; the other it has while something is to be written.

use bytes::BytesMut;
use std::cell::RefCell;
use std::thread::LocalKey;

/// Size of a read buffer, in bytes: a head and the largest packet behind it.
pub(super) const SIZE: usize = 4096 + 65536;
/// How many a thread keeps.
const KEPT: usize = 4;

/// Size of a write buffer, in bytes: a usual head.
const WRITE_SIZE: usize = 1024;
/// Write buffers that have grown beyond this are not kept.
const KEEP_WRITE: usize = 16_384;
/// How many a thread keeps.
const KEPT_WRITE: usize = 16;

thread_local! {
    static READ: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static WRITE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

type Spare = LocalKey<RefCell<Vec<BytesMut>>>;

/// An empty buffer with room for [`SIZE`] bytes.
pub(super) fn take() -> BytesMut {
    take_from(&READ, SIZE)
}

/// Keeps a buffer for the next [`take`] of this thread; slices of it may still be in use.
pub(super) fn give_back(buffer: BytesMut) {
    keep_in(&READ, KEPT, buffer);
}

/// An empty buffer for packets that are to be written.
pub(super) fn take_write() -> BytesMut {
    take_from(&WRITE, WRITE_SIZE)
}

/// Keeps a buffer for the next [`take_write`] of this thread; slices of it may still be in
/// use.
pub(super) fn give_back_write(buffer: BytesMut) {
    if (1..=KEEP_WRITE).contains(&buffer.capacity()) {
        keep_in(&WRITE, KEPT_WRITE, buffer);
    }
}

fn take_from(spare: &'static Spare, size: usize) -> BytesMut {
    let kept = spare.try_with(|spare| spare.try_borrow_mut().ok()?.pop());
    if let Ok(Some(mut buffer)) = kept {
        // What was written to it may still be in use.
        if buffer.try_reclaim(size) {
            return buffer;
        }
    }
    BytesMut::with_capacity(size)
}

fn keep_in(spare: &'static Spare, most: usize, mut buffer: BytesMut) {
    buffer.clear();
    // While a thread ends there is nothing left to keep it in.
    let _ = spare.try_with(|spare| {
        if let Ok(mut spare) = spare.try_borrow_mut() {
            if spare.len() < most {
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
        READ.with(|spare| assert_eq!(spare.borrow().len(), KEPT));
    }

    #[test]
    fn a_write_buffer_is_kept_until_it_is_large() {
        let mut buffer = take_write();
        buffer.extend_from_slice(&[1; 500]);
        let place = buffer.as_ptr();
        give_back_write(buffer);
        let mut buffer = take_write();
        assert_eq!((buffer.len(), buffer.as_ptr()), (0, place));
        buffer.reserve(KEEP_WRITE + 1);
        give_back_write(buffer);
        give_back_write(BytesMut::new());
        WRITE.with(|spare| assert_eq!(spare.borrow().len(), 0));
    }
}
