//! The smallest server: `cargo run --example hello_server`, and in httpd
//! `ProxyPass "/" "ajp://127.0.0.1:8009/"`. Another address can be given as an argument; where
//! others than this machine can connect, the environment variable `AJP_SECRET` must be set, and
//! httpd's `secret=`.

use axum::{Router, routing::get};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8009".into());
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/", get(|| async { "Hello, AJP!\n" }));
    let server = ajp::server::serve(listener, app);
    let server = match ajp::Secret::from_env_if_set("AJP_SECRET")? {
        Some(secret) => server.with_secret(secret),
        None if address.ip().is_loopback() => server.trusted_network(),
        None => return Err("whoever connects would be believed: set AJP_SECRET".into()),
    };
    println!("hello_server: ajp://{address}");
    server.await;
    Ok(())
}
