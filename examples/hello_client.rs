//! The smallest client: `cargo run --example hello_client -- ajp://127.0.0.1:8009 /app/`.
//! A secret comes from the environment variable `AJP_SECRET`, if it is set.

use ajp::client::{Address, Client, Pool, PoolConfig};
use http_body_util::{BodyExt, Empty};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let tomcat: Address = args
        .next()
        .unwrap_or("ajp://127.0.0.1:8009".into())
        .parse()?;
    let path = args.next().unwrap_or("/".into());
    let config = PoolConfig::default().with_secret(ajp::Secret::from_env_if_set("AJP_SECRET")?);
    let client = Client::for_own_requests(Pool::new(tomcat, config));
    let request = http::Request::get(path)
        .header("host", "localhost")
        .body(Empty::<bytes::Bytes>::new())?;
    let response = client.send(request).await?;
    println!("{}", response.status());
    print!(
        "{}",
        String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes())
    );
    Ok(())
}
