//! AJP inside TLS, with rustls on both sides: the container lets in only web servers that have
//! a certificate, and the web server knows which container it talks to.
//!
//! ```text
//! cargo run --example over_tls -- server server.pem server.key ca.pem 127.0.0.1:8010
//! cargo run --example over_tls -- client client.pem client.key ca.pem 127.0.0.1:8010 localhost
//! ```
//!
//! The files are PEM: a certificate with its chain, its key, and the authority that both sides
//! trust. The client's last argument is the name in the server's certificate.

use ajp::client::{Address, Client, Pool, PoolConfig};
use ajp::server::{serve, shutdown_signal};
use ajp::tls::{self, Identity, TlsConnector, TlsListener};
use axum::{Router, routing::get};
use http_body_util::{BodyExt, Empty};
use std::error::Error;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["server", chain, key, authority, address] => {
            let identity = Identity::from_pem_files(chain, key)?;
            let web_servers = tls::roots_from_pem_file(authority)?;
            let config = tls::server_config(identity, web_servers)?;
            let listener = TcpListener::bind(address).await?;
            println!("over_tls: ajp://{} over TLS", listener.local_addr()?);
            let app = Router::new().route("/", get(|| async { "Hello, AJP over TLS!\n" }));
            // The certificate is what the web server proves itself with.
            serve(TlsListener::new(listener, config), app)
                .trusted_network()
                .on_error(|peer, error| eprintln!("over_tls: {peer}: {error}"))
                .with_graceful_shutdown(shutdown_signal())
                .await;
        }
        ["client", chain, key, authority, address, name] => {
            let identity = Identity::from_pem_files(chain, key)?;
            let config = tls::client_config(tls::roots_from_pem_file(authority)?, identity)?;
            let address: Address = format!("ajp://{address}").parse()?;
            let connector = TlsConnector::new(address, name.to_owned().try_into()?, config);
            let client = Client::for_own_requests(Pool::new(connector, PoolConfig::default()));
            let request = http::Request::get("/")
                .header("host", name)
                .body(Empty::<bytes::Bytes>::new())?;
            let response = client.send(request).await?;
            println!("{}", response.status());
            let body = response.into_body().collect().await?.to_bytes();
            print!("{}", String::from_utf8_lossy(&body));
        }
        _ => return Err("see the first lines of this file for the arguments".into()),
    }
    Ok(())
}
