//! A server over TCP, and clients of it that behave.

use ajp::client::{Address, Client, Pool, PoolConfig};
use ajp::server::{Monitor, RequestBody, ServerConfig, serve};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Answers with the path and the body of the request.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) monitor: Monitor,
    task: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn open(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = tower::service_fn(|request: Request<RequestBody>| async move {
            let (parts, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| error.to_string())?
                .to_bytes();
            let answer = [parts.uri.path().as_bytes(), b" ", &body].concat();
            Ok::<_, String>(Response::new(Full::new(Bytes::from(answer))))
        });
        let server = serve(listener, app).with_config(config);
        let monitor = server.monitor();
        let task = tokio::spawn(server.into_future());
        Self {
            address,
            monitor,
            task,
        }
    }

    /// So many clients with a connection each, at work until the sum is asked for.
    pub(crate) fn honest(&self, clients: usize) -> Honest {
        let config = PoolConfig::default().with_max_connections(clients);
        let client = Client::for_own_requests(Pool::new(Address::from(self.address), config));
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let tasks = (0..clients)
            .map(|number| {
                let (client, stop, done) = (client.clone(), stop.clone(), done.clone());
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let start = Instant::now();
                        ask(&client, number, times.len()).await;
                        times.push(start.elapsed());
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    times
                })
            })
            .collect();
        Honest {
            client,
            stop,
            done,
            tasks,
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request of its own, now and then with a body, and the answer to no other.
async fn ask(client: &Client, number: usize, count: usize) {
    let body = match count % 4 {
        0 => Bytes::from(vec![b'a'; 20_000]),
        _ => Bytes::new(),
    };
    let path = format!("/honest-{number}-{count}");
    let request = Request::post(&path)
        .header("host", "honest.example")
        .body(Full::new(body.clone()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let answer = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(answer, [path.as_bytes(), b" ", &body].concat());
}

pub(crate) struct Honest {
    client: Client,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Vec<Duration>>>,
}

impl Honest {
    /// Requests answered so far.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until so many more are answered.
    pub(crate) async fn go_on(&self, more: u64) {
        let goal = self.done() + more;
        while self.done() < goal {
            assert!(
                !self.tasks.iter().all(JoinHandle::is_finished),
                "all have failed"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Median and longest time of a request. Panics if any failed, or needed another
    /// connection.
    pub(crate) async fn end(self) -> (Duration, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.tasks.len();
        let mut times = Vec::new();
        for task in self.tasks {
            times.extend(task.await.unwrap());
        }
        let stats = self.client.pool().stats();
        assert!(stats.created <= clients as u64, "{stats:?}");
        times.sort_unstable();
        (times[times.len() / 2], *times.last().unwrap())
    }
}
