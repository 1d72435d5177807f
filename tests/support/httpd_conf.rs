//! What an httpd is told: a whole configuration of its own, nothing of Debian's.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::need;
use super::tls::Certificates;

pub const MODULES: &str = "/usr/lib/apache2/modules";

const ALWAYS: &[&str] = &[
    "mpm_event",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "auth_basic",
    "env",
    "headers",
    "proxy",
    "proxy_ajp",
    "proxy_balancer",
    "proxy_http",
    "lbmethod_byrequests",
    "reqtimeout",
    "rewrite",
    "setenvif",
    "slotmem_shm",
    "status",
];

/// The settings of one httpd, without what may change from attempt to attempt.
#[derive(Clone, Default)]
pub struct Settings {
    /// Lines for the whole server.
    pub global: String,
    /// Lines for what is served, the same over HTTP and HTTPS.
    pub site: String,
    /// `workers.properties`; `mod_jk` is loaded only when there is one.
    pub workers: Option<String>,
    /// Whether there is an HTTPS listener.
    pub tls: bool,
    /// The argument of `LogLevel`.
    pub log_level: Option<String>,
    /// Name, and hash, of each user of basic authentication.
    pub users: String,
}

/// The places an attempt uses.
pub struct Places<'a> {
    /// `ServerRoot`.
    pub root: &'a Path,
    /// The HTTP listener.
    pub http: SocketAddr,
    /// The HTTPS listener, with its certificates.
    pub https: Option<(SocketAddr, &'a Certificates)>,
    /// Whether httpd has privileges to give up.
    pub as_root: bool,
}

impl Settings {
    /// Writes `httpd.conf` and the files it names into the root.
    pub fn write(&self, places: &Places<'_>) {
        std::fs::write(places.root.join("users"), &self.users).unwrap();
        if let Some(workers) = &self.workers {
            std::fs::write(places.root.join("workers.properties"), workers).unwrap();
        }
        std::fs::write(places.root.join("httpd.conf"), self.text(places)).unwrap();
    }

    fn text(&self, places: &Places<'_>) -> String {
        let mut text = String::new();
        self.modules(&mut text);
        self.server(&mut text, places);
        self.listeners(&mut text, places);
        text
    }

    fn modules(&self, text: &mut String) {
        let tls: &[_] = if self.tls {
            &["socache_shmcb", "ssl"]
        } else {
            &[]
        };
        let jk: &[_] = if self.workers.is_some() { &["jk"] } else { &[] };
        for name in ALWAYS.iter().chain(tls).chain(jk) {
            let path = format!("{MODULES}/mod_{name}.so");
            need::file(
                &path,
                if *name == "jk" {
                    "libapache2-mod-jk"
                } else {
                    "apache2"
                },
            );
            writeln!(text, "LoadModule {name}_module {path}").unwrap();
        }
    }

    fn server(&self, text: &mut String, places: &Places<'_>) {
        let root = places.root.display();
        let level = self.log_level.as_deref().unwrap_or("info");
        // One child process, so that the connections of its pools can be counted.
        write!(
            text,
            "ServerRoot {root}\n\
             ServerName localhost\n\
             DefaultRuntimeDir {root}/run\n\
             PidFile {root}/run/httpd.pid\n\
             Mutex file:{root}/run default\n\
             ErrorLog {root}/httpd.log\n\
             LogLevel {level}\n\
             StartServers 1\n\
             ServerLimit 1\n\
             ThreadsPerChild 25\n\
             MaxRequestWorkers 25\n\
             MaxConnectionsPerChild 0\n\
             Timeout 60\n\
             KeepAlive On\n\
             MaxKeepAliveRequests 0\n\
             KeepAliveTimeout 30\n\
             GracefulShutdownTimeout 5\n"
        )
        .unwrap();
        if places.as_root {
            text.push_str("User www-data\nGroup www-data\n");
        }
        if self.workers.is_some() {
            write!(
                text,
                "JkWorkersFile {root}/workers.properties\n\
                 JkLogFile {root}/mod_jk.log\n\
                 JkLogLevel info\n\
                 JkShmFile {root}/run/jk.shm\n\
                 JkOptions +ForwardKeySize\n"
            )
            .unwrap();
        }
        text.push_str(&self.global);
    }

    fn listeners(&self, text: &mut String, places: &Places<'_>) {
        let http = places.http;
        write!(
            text,
            "Listen {http}\n<VirtualHost {http}>\n{}</VirtualHost>\n",
            self.site
        )
        .unwrap();
        if let Some((https, certificates)) = places.https {
            write!(
                text,
                "SSLSessionCache shmcb:{root}/run/ssl(512000)\n\
                 Listen {https}\n\
                 <VirtualHost {https}>\n\
                 SSLEngine on\n\
                 SSLCertificateFile {certificate}\n\
                 SSLCertificateKeyFile {key}\n\
                 SSLCACertificateFile {ca}\n\
                 SSLVerifyClient optional\n\
                 SSLOptions +StdEnvVars +ExportCertData\n\
                 {site}</VirtualHost>\n",
                root = places.root.display(),
                certificate = certificates.pem("server").display(),
                key = certificates.key("server").display(),
                ca = certificates.pem("ca").display(),
                site = self.site,
            )
            .unwrap();
        }
    }
}
