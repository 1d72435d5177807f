//! An HTTP/2 connection and the answers of all its streams in one task.
//!
//! hyper hands the future that answers a stream to an executor. If each became a task of the runtime,
//! a request would wake another task twice, perhaps of another thread: the stream's when it has
//! come, and the connection's when its answer is there. And every answer would leave in a write, and a
//! record of TLS, of its own. In one task what has come at the same time is answered together.
//!
//! The streams of one connection share a core then. So do the frames and the TLS of a connection
//! whoever answers its streams, and so do the requests of an HTTP/1 connection.

use futures_util::stream::{FuturesUnordered, Stream};
use hyper::rt::Executor;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// After so many rounds in one poll the other tasks of the runtime get their turn.
const MOST_ROUNDS: usize = 16;

type StreamFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where hyper puts the futures of streams. Clones are of the same connection.
#[derive(Clone, Default)]
pub(super) struct StreamExecutor(Arc<Mutex<Vec<StreamFuture>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        locked(&self.0).push(Box::pin(stream));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection, and its streams. When the connection ends its streams do: nobody would take what they
/// have to say.
pub(super) struct OneTask<C> {
    connection: C,
    streams: FuturesUnordered<Guarded>,
    /// Those that the connection has begun since they were last looked for.
    begun: StreamExecutor,
    signal: Arc<Signal>,
    wakers: Wakers,
    /// As the signal has it.
    task: Waker,
}

/// The wakers of the two halves of the task.
struct Wakers {
    connection: Waker,
    streams: Waker,
}

/// Who was woken. Halves of a task that wake each other while it is polled do not wake the task.
struct Signal {
    is_woken: AtomicBool,
    /// The connection was, which is not polled for its streams' sake.
    connection_is_woken: AtomicBool,
    /// The task is polled now, and looks who was woken before it waits.
    is_polled: AtomicBool,
    task: Mutex<Waker>,
}

struct WakeConnection(Arc<Signal>);

struct WakeStreams(Arc<Signal>);

impl Signal {
    fn wake(&self) {
        // In one order for all threads: either the task is seen to be polled, and sees this, or it
        // is woken.
        self.is_woken.store(true, Ordering::SeqCst);
        if !self.is_polled.load(Ordering::SeqCst) {
            let task = locked(&self.task).clone();
            task.wake();
        }
    }
}

impl Wake for WakeConnection {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.connection_is_woken.store(true, Ordering::SeqCst);
        self.0.wake();
    }
}

impl Wake for WakeStreams {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

impl<C: Future + Unpin> OneTask<C> {
    /// The connection that was given this executor.
    pub(super) fn new(connection: C, executor: StreamExecutor) -> Self {
        let signal = Arc::new(Signal {
            is_woken: AtomicBool::new(true),
            // It has to be polled a first time.
            connection_is_woken: AtomicBool::new(true),
            is_polled: AtomicBool::new(false),
            task: Mutex::new(Waker::noop().clone()),
        });
        Self {
            connection,
            streams: FuturesUnordered::new(),
            begun: executor,
            wakers: Wakers {
                connection: Arc::new(WakeConnection(Arc::clone(&signal))).into(),
                streams: Arc::new(WakeStreams(Arc::clone(&signal))).into(),
            },
            signal,
            task: Waker::noop().clone(),
        }
    }

    /// The connection, to be told something: it is polled next.
    pub(super) fn connection(&mut self) -> Pin<&mut C> {
        self.wakers.connection.wake_by_ref();
        Pin::new(&mut self.connection)
    }

    /// Polls who was woken, until nobody is or there were enough rounds.
    fn poll_halves(&mut self) -> Poll<C::Output> {
        for _ in 0..MOST_ROUNDS {
            if !self.signal.is_woken.swap(false, Ordering::SeqCst) {
                break;
            }
            let mut cx = Context::from_waker(&self.wakers.streams);
            while let Poll::Ready(Some(())) = Pin::new(&mut self.streams).poll_next(&mut cx) {}
            let connection_is_woken = &self.signal.connection_is_woken;
            if connection_is_woken.swap(false, Ordering::SeqCst) {
                let mut cx = Context::from_waker(&self.wakers.connection);
                let polled = Pin::new(&mut self.connection).poll(&mut cx);
                if polled.is_ready() {
                    return polled;
                }
                for stream in locked(&self.begun.0).drain(..) {
                    self.streams.push(Guarded(stream));
                    self.signal.is_woken.store(true, Ordering::SeqCst);
                }
            }
        }
        Poll::Pending
    }
}

impl<C: Future + Unpin> Future for OneTask<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = &mut *self;
        if !this.task.will_wake(cx.waker()) {
            this.task.clone_from(cx.waker());
            locked(&this.signal.task).clone_from(&this.task);
        }
        this.signal.is_polled.store(true, Ordering::SeqCst);
        let polled = this.poll_halves();
        this.signal.is_polled.store(false, Ordering::SeqCst);
        if polled.is_pending() && this.signal.is_woken.load(Ordering::SeqCst) {
            cx.waker().wake_by_ref();
        }
        polled
    }
}

impl<C> fmt::Debug for OneTask<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTask")
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}

/// A stream whose panic ends nothing else, as if it were a task.
struct Guarded(StreamFuture);

impl Future for Guarded {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let stream = &mut self.0;
        // It is never polled again after a panic, which has been reported.
        let polled = catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll(cx)));
        polled.unwrap_or(Poll::Ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::{mpsc, oneshot};
    use tokio::time::{Duration, sleep, timeout};

    /// A connection that begins a stream for each number that it is sent, and ends with the channel.
    /// A stream waits for so many milliseconds and tells the connection its number.
    struct Connection {
        asked: mpsc::UnboundedReceiver<u64>,
        answers: (mpsc::UnboundedSender<u64>, mpsc::UnboundedReceiver<u64>),
        executor: StreamExecutor,
        /// How many answers were there in each poll that found some.
        together: Vec<usize>,
        polls: Arc<AtomicUsize>,
    }

    impl Future for Connection {
        type Output = Vec<usize>;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<usize>> {
            self.polls.fetch_add(1, Ordering::Relaxed);
            let mut answered = 0;
            while let Poll::Ready(Some(_)) = self.answers.1.poll_recv(cx) {
                answered += 1;
            }
            if answered > 0 {
                self.together.push(answered);
            }
            loop {
                match self.asked.poll_recv(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => return Poll::Ready(std::mem::take(&mut self.together)),
                    Poll::Ready(Some(millis)) => {
                        let answer = self.answers.0.clone();
                        self.executor.execute(async move {
                            assert!(millis != 13, "a stream that panics");
                            sleep(Duration::from_millis(millis)).await;
                            answer.send(millis).unwrap();
                        });
                    }
                }
            }
        }
    }

    type Asked = mpsc::UnboundedSender<u64>;

    fn connection() -> (OneTask<Connection>, Asked, Arc<AtomicUsize>) {
        let (ask, asked) = mpsc::unbounded_channel();
        let (executor, polls) = (StreamExecutor::default(), Arc::default());
        let connection = Connection {
            asked,
            answers: mpsc::unbounded_channel(),
            executor: executor.clone(),
            together: Vec::new(),
            polls: Arc::clone(&polls),
        };
        (OneTask::new(connection, executor), ask, polls)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_at_the_same_time_leaves_together() {
        let (connection, ask, polls) = connection();
        let task = tokio::spawn(connection);
        for millis in [10, 10, 13, 10, 20] {
            ask.send(millis).unwrap();
        }
        sleep(Duration::from_millis(30)).await;
        // Once for the questions, once for each of two moments.
        assert_eq!(polls.load(Ordering::Relaxed), 3);
        // It ends with a stream that has not.
        ask.send(1_000_000).unwrap();
        drop(ask);
        let together = timeout(Duration::from_secs(1), task).await;
        assert_eq!(together.unwrap().unwrap(), [3, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_is_told_has_it_polled() {
        let (mut connection, _ask, polls) = connection();
        let poll = async |connection: &mut OneTask<Connection>| {
            poll_fn(|cx| Poll::Ready(Pin::new(&mut *connection).poll(cx).is_pending())).await
        };
        assert!(poll(&mut connection).await && poll(&mut connection).await);
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        let _told = connection.connection();
        assert!(poll(&mut connection).await);
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    /// Whoever wakes it from another thread, at whatever moment, is heard.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_is_lost() {
        let executor = StreamExecutor::default();
        let (mut receivers, done) = (Vec::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..2000 {
            let (sender, receiver) = oneshot::channel();
            receivers.push(sender);
            let done = Arc::clone(&done);
            executor.execute(async move {
                receiver.await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        let (end, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(OneTask::new(ended, executor));
        let senders = tokio::task::spawn_blocking(move || {
            for sender in receivers {
                sender.send(()).unwrap();
            }
        });
        senders.await.unwrap();
        let all = async {
            while done.load(Ordering::Relaxed) < 2000 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), all).await.unwrap();
        end.send(()).unwrap();
        task.await.unwrap().unwrap();
    }
}
