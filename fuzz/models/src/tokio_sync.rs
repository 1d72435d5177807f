//! Tokio's primitives with a point before each operation at which another thread may go on.
//! Inside they are atomic, as far as anybody can see.

use crate::sync::atomic::{AtomicUsize, Ordering};
pub(crate) use tokio::sync::{AcquireError, Notify, SemaphorePermit, TryAcquireError};

pub(crate) mod futures {
    pub(crate) use tokio::sync::futures::Notified;
}

#[derive(Debug)]
pub(crate) struct Semaphore {
    inner: tokio::sync::Semaphore,
    point: AtomicUsize,
}

impl Semaphore {
    pub(crate) fn new(permits: usize) -> Self {
        Self {
            inner: tokio::sync::Semaphore::new(permits),
            point: AtomicUsize::new(0),
        }
    }

    fn inner(&self) -> &tokio::sync::Semaphore {
        self.point.load(Ordering::SeqCst);
        &self.inner
    }

    pub(crate) fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.inner().try_acquire()
    }

    pub(crate) async fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.inner().acquire().await
    }

    pub(crate) fn add_permits(&self, count: usize) {
        self.inner().add_permits(count);
    }

    pub(crate) fn forget_permits(&self, count: usize) -> usize {
        self.inner().forget_permits(count)
    }

    pub(crate) fn available_permits(&self) -> usize {
        self.inner().available_permits()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner().is_closed()
    }

    pub(crate) fn close(&self) {
        self.inner().close();
    }
}
