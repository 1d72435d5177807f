//! The smallest server: `cargo run --example hello_server`, and in httpd
//! `ProxyPass "/" "ajp://127.0.0.1:8009/"`. Another address can be given as an argument.

use axum::{Router, routing::get};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8009".into());
    let listener = TcpListener::bind(address).await?;
    println!("hello_server: ajp://{}", listener.local_addr()?);
    let app = Router::new().route("/", get(|| async { "Hello, AJP!\n" }));
    // On loopback every process is believed; elsewhere it takes `.secret(...)`.
    ajp::server::serve(listener, app).trusted_network().await;
    Ok(())
}
