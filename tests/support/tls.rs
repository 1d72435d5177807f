//! A throw-away certificate authority, a server certificate for the loopback interface and a
//! client certificate, made by the openssl command.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::need;

/// The subject of the client certificate, in the order RFC 2253 prints it.
pub const CLIENT_SUBJECT: &str = "CN=lab client,O=AJP lab";

const EXTENSIONS: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,IP:127.0.0.1
[client]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = clientAuth
";

/// PEM files, in a directory the caller owns.
#[derive(Clone, Debug)]
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes all of them in `dir`.
    pub fn create(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("openssl.cnf"), EXTENSIONS).unwrap();
        let made = Self {
            dir: dir.to_owned(),
        };
        made.issue("ca", "/O=AJP lab/CN=lab CA", None);
        made.issue("server", "/O=AJP lab/CN=localhost", Some("ca"));
        made.issue("client", "/O=AJP lab/CN=lab client", Some("ca"));
        made
    }

    /// The certificate called "ca", "server" or "client".
    pub fn pem(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.pem"))
    }

    /// The private key that belongs to it.
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    /// The digest of a certificate's DER form, as `/app/echo` prints it.
    pub fn sha256_hex(&self, name: &str) -> String {
        let mut command = Command::new("openssl");
        command
            .args(["x509", "-outform", "DER", "-in"])
            .arg(self.pem(name));
        super::pattern::sha256_hex(&need::run(&mut command, "openssl").stdout)
    }

    /// Makes one more, of the kind that `name` begins with, as "client-below". Without issuer it is its
    /// own.
    pub fn issue(&self, name: &str, subject: &str, issuer: Option<&str>) {
        let kind = name.split('-').next().unwrap_or(name);
        let mut command = Command::new("openssl");
        command
            .args(["req", "-x509", "-config"])
            .arg(self.dir.join("openssl.cnf"))
            .args([
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "30",
            ])
            .args(["-subj", subject, "-extensions", kind, "-out"])
            .arg(self.pem(name))
            .arg("-keyout")
            .arg(self.key(name));
        if let Some(issuer) = issuer {
            command
                .arg("-CA")
                .arg(self.pem(issuer))
                .arg("-CAkey")
                .arg(self.key(issuer));
        }
        need::run(&mut command, "openssl");
    }
}
