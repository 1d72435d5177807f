//! Arguments of every command that connects to a container.

use crate::exit::Failure;
use crate::values::{self, Attribute, Server};
use ajp::Secret;
use ajp::client::RequestFacts;
use ajp::client::{PoolConfig, Timeouts};
use ajp::mapping::TlsFacts;
use ajp::wire::PacketSize;
use clap::Args;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Holds the secret unless it is said to be elsewhere.
const VARIABLE: &str = "AJP_SECRET";

/// Where the secret is. Never the secret itself: other users see command lines.
#[derive(Debug, Args)]
#[command(next_help_heading = "Secret")]
pub(crate) struct SecretArgs {
    /// File that holds the secret [default: the environment variable AJP_SECRET, if set]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Environment variable that holds the secret
    #[arg(long, value_name = "NAME", conflicts_with = "secret_file")]
    secret_env: Option<String>,
    /// No secret, whatever AJP_SECRET says
    #[arg(long, conflicts_with_all = ["secret_file", "secret_env"])]
    no_secret: bool,
}

impl SecretArgs {
    /// Whether it was said that there is none.
    pub(crate) fn is_refused(&self) -> bool {
        self.no_secret
    }

    /// The bytes of the secret, to put them into a packet as it is.
    pub(crate) fn bytes(&self) -> Result<Option<Vec<u8>>, Failure> {
        // The same checks, and the same words for what is wrong.
        if self.read()?.is_none() {
            return Ok(None);
        }
        let variable = self.secret_env.as_deref().unwrap_or(VARIABLE);
        let bytes = match &self.secret_file {
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|error| Failure::file(path, &error))?;
                let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
                line.strip_suffix(b"\r").unwrap_or(line).to_vec()
            }
            None => std::env::var_os(variable)
                .unwrap_or_default()
                .into_encoded_bytes(),
        };
        Ok(Some(bytes))
    }

    /// Reads the secret.
    pub(crate) fn read(&self) -> Result<Option<Secret>, Failure> {
        if let Some(path) = &self.secret_file {
            return match Secret::from_file(path) {
                Ok(secret) => Ok(Some(secret)),
                Err(error) => Err(Failure::usage(format!("secret file {error}"))),
            };
        }
        let read = match &self.secret_env {
            Some(name) => Secret::from_env(name).map(Some),
            None if self.no_secret => return Ok(None),
            None => Secret::from_env_if_set(VARIABLE),
        };
        read.map_err(|error| Failure::usage(error.to_string()))
    }
}

/// How to talk to the container.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct PeerArgs {
    /// AJP packet size in bytes, 8192 to 65536; must be the container's
    #[arg(long, value_name = "BYTES", default_value = "8192", value_parser = values::packet_size)]
    pub(crate) packet_size: PacketSize,
    /// Longest time to open a connection
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::nonzero)]
    pub(crate) connect_timeout: Duration,
    /// Longest silence of the container while it answers
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = values::nonzero)]
    pub(crate) timeout: Duration,
    // Last, for it has a heading of its own.
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
}

impl PeerArgs {
    /// The settings of a pool, with the secret read.
    pub(crate) fn pool_config(&self) -> Result<PoolConfig, Failure> {
        let timeouts = Timeouts::default()
            .with_connect(self.connect_timeout)
            .with_write(self.timeout)
            .with_response_head(self.timeout)
            .with_between_packets(self.timeout)
            .with_cping(self.timeout);
        Ok(PoolConfig::default()
            .with_secret(self.secret.read()?)
            .with_packet_size(self.packet_size)
            .with_timeouts(timeouts))
    }
}

/// What a web server tells beyond HTTP.
#[derive(Debug, Args)]
#[command(next_help_heading = "Facts about the request")]
pub(crate) struct FactsArgs {
    /// Request attribute, may be repeated; containers refuse names they do not allow
    #[arg(long = "attr", value_name = "NAME=VALUE")]
    pub(crate) attributes: Vec<Attribute>,
    /// Address of the HTTP client, with or without port
    #[arg(long, value_name = "IP[:PORT]", value_parser = values::remote)]
    remote_addr: Option<SocketAddr>,
    /// Name of the HTTP client
    #[arg(long, value_name = "NAME")]
    remote_host: Option<String>,
    /// User that the web server has authenticated
    #[arg(long, value_name = "USER")]
    remote_user: Option<String>,
    /// How it has authenticated the user
    #[arg(
        long,
        value_name = "TYPE",
        requires = "remote_user",
        default_value = "Basic"
    )]
    auth_type: String,
    /// Virtual host, in the Host header too unless that is given [default: that of the URL]
    #[arg(long, value_name = "NAME[:PORT]")]
    server_name: Option<Server>,
    /// Address of the web server that the HTTP client connected to
    #[arg(long, value_name = "IP")]
    local_addr: Option<IpAddr>,
    /// Session route
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// The HTTP client came over TLS
    #[arg(long)]
    tls: bool,
    /// TLS version, such as TLSv1.3; implies --tls, as do all of these
    #[arg(long, value_name = "VERSION")]
    tls_protocol: Option<String>,
    /// Cipher suite
    #[arg(long, value_name = "NAME")]
    tls_cipher: Option<String>,
    /// Size of its key in bits [default: from the name of the cipher suite]
    #[arg(long, value_name = "BITS", requires = "tls_cipher")]
    tls_key_size: Option<u16>,
    /// TLS session id
    #[arg(long, value_name = "ID")]
    tls_session_id: Option<String>,
    /// File with the client certificate in PEM, chain behind it
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
}

impl FactsArgs {
    /// The virtual host as a Host header has it.
    pub(crate) fn host(&self) -> Option<String> {
        self.server_name.as_ref().map(Server::to_string)
    }

    /// All facts, the attributes too.
    pub(crate) fn facts(&self) -> Result<RequestFacts, Failure> {
        let mut facts = self.facts_without_attributes()?;
        for attribute in &self.attributes {
            facts = facts.with_attribute(&*attribute.name, &*attribute.value);
        }
        Ok(facts)
    }

    pub(crate) fn facts_without_attributes(&self) -> Result<RequestFacts, Failure> {
        let mut facts = RequestFacts::own_request();
        if let Some(address) = self.remote_addr {
            facts = facts
                .with_remote_ip(address.ip())
                .with_remote_port(address.port());
        }
        if let Some(name) = &self.remote_host {
            facts = facts.with_remote_host(name);
        }
        if let Some(user) = &self.remote_user {
            facts = facts.with_user(user, &self.auth_type);
        }
        if let Some(address) = self.local_addr {
            facts = facts.with_local_addr(address);
        }
        if let Some(route) = &self.route {
            facts = facts.with_route(route);
        }
        let tls = self.tls_facts()?;
        let is_tls = self.tls || tls != TlsFacts::new();
        if is_tls {
            facts = facts.with_tls_facts(tls);
        }
        if let Some(server) = &self.server_name {
            let port = server.port.unwrap_or(if is_tls { 443 } else { 80 });
            facts = facts.with_server(&*server.name, port);
        }
        Ok(facts)
    }

    fn tls_facts(&self) -> Result<TlsFacts, Failure> {
        let mut tls = TlsFacts::new();
        if let Some(version) = &self.tls_protocol {
            tls = tls.with_protocol(version);
        }
        match (&self.tls_cipher, self.tls_key_size) {
            (Some(cipher), Some(bits)) => tls = tls.with_cipher(cipher, bits),
            (Some(cipher), None) => tls = tls.with_cipher_suite(cipher),
            (None, _) => {}
        }
        if let Some(id) = &self.tls_session_id {
            tls = tls.with_session_id(id);
        }
        if let Some(path) = &self.tls_cert {
            let pem = std::fs::read(path).map_err(|error| Failure::file(path, &error))?;
            tls = tls.with_certificate_pem(pem);
            if tls.certificates_pem().next().is_none() {
                let path = path.display();
                return Err(Failure::usage(format!("{path}: holds no PEM certificate")));
            }
        }
        Ok(tls)
    }
}
