//! Files that are damaged: every tool that reads files ends with an answer, never with a panic.

use super::recording;
use crate::cli::ajp;
use std::path::Path;

/// What is put into files in place of what was there.
const PIECES: [&[u8]; 24] = [
    b"\"",
    b"'",
    b"\\",
    b"${",
    b"}",
    b"$(",
    b"<",
    b">",
    b"</",
    b"|",
    b"/",
    b"*",
    b"\0",
    b"\xff\xfe",
    b"\n",
    b"\\\n",
    b"99999999999999999999",
    b"-1",
    b"ajp://",
    b"unix:",
    b"[",
    b"]",
    b"<!--",
    b"=",
];

/// Some bytes of it are other ones, missing, or there twice.
fn damaged(text: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..random.usize(1..6) {
        if bytes.is_empty() {
            break;
        }
        let at = random.usize(..bytes.len());
        let end = bytes.len().min(at + random.usize(1..40));
        match random.u8(..6) {
            0 => bytes[at] = random.u8(..),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, random.choice(PIECES).unwrap().to_vec())),
            3 => bytes.truncate(at),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => drop(bytes.splice(at..end, random.choice(PIECES).unwrap().to_vec())),
        }
    }
    bytes
}

const HTTPD: &str = "\
Define port 8009
MaxRequestWorkers 400
<Macro Site $name $port>
<VirtualHost *:443>
ServerName $name
ProxyPass /x ajp://[::1]:$port/x secret=abc timeout=5 max=20 smax=30 ttl=60 ping=500ms upgrade=websocket
</VirtualHost>
</Macro>
Use Site a ${port}
<Proxy balancer://f>
BalancerMember ajp://127.0.0.1:8009 route=a loadfactor=2 status=+H hcmethod=GET
BalancerMember unix:/run/x.sock|ajp://h/ route=b
ProxySet stickysession=JSESSIONID|jsessionid lbmethod=bybusyness
</Proxy>
<Location /y>
AuthType Basic
ProxyPass balancer://f/y
SetEnvIf X-A (.*) AJP_T=$1
</Location>
RewriteRule ^/(.*)$ ajp://127.0.0.1:8009/$1 [P,E=AJP_X:y]
ProxyPassReverse / ajp://127.0.0.1:8009/
JkWorkerProperty worker.list=w
JkMount /app|/* w
JkOptions +ForwardURICompat
AllowEncodedSlashes NoDecode
";

const WORKERS: &str = "\
worker.list=balance,status
worker.base.type=ajp13
worker.base.secret=k41f
worker.node1.reference=worker.base
worker.node1.host=$(workers.host)
worker.node1.route=jvm1
worker.node2.reference=worker.base
worker.node2.port=8109
worker.balance.type=lb
worker.balance.balance_workers=node1,node2
worker.status.type=status
";

const TOMCAT: &str = "\
<Server port=\"8005\"><Service name=\"Catalina\"><Executor name=\"e\" maxThreads=\"${threads:-200}\"/>
<Connector protocol=\"AJP/1.3\" address=\"::1\" port=\"8009\" secret=\"k41f\" executor=\"e\" packetSize=\"65536\"
 allowedRequestAttributesPattern=\"(AJP_.*|x)\" redirectPort=\"443\" keepAliveTimeout=\"20000\"/>
<Engine name=\"Catalina\" jvmRoute=\"jvm1\"><Host name=\"localhost\"><Valve className=\"a.RemoteAddrValve\" allow=\"127.*\"/>
</Host></Engine></Service></Server>
";

const WILDFLY: &str = "\
<server xmlns=\"urn:jboss:domain:20.0\"><profile><subsystem xmlns=\"urn:jboss:domain:undertow:14.0\"><server>
<ajp-listener name=\"ajp\" socket-binding=\"ajp\" max-ajp-packet-size=\"65536\"/></server></subsystem></profile>
<interfaces><interface name=\"public\"><any-address/></interface></interfaces>
<socket-binding-group name=\"g\" default-interface=\"public\" port-offset=\"${offset:100}\">
<socket-binding name=\"ajp\" port=\"8009\"/></socket-binding-group></server>
";

const URI_MAP: &str =
    "/docs|/*=balance;reply_timeout=60\n!/docs/private/*=balance\n-/old/*=balance\n";

#[test]
fn damaged_files_are_no_reason_to_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/ajp/gateway/gateway.toml");
    let gateway = std::fs::read(path).unwrap();
    let files: [(&str, &[u8]); 6] = [
        ("site.conf", HTTPD.as_bytes()),
        ("workers.properties", WORKERS.as_bytes()),
        ("uriworkermap.properties", URI_MAP.as_bytes()),
        ("server.xml", TOMCAT.as_bytes()),
        ("standalone.xml", WILDFLY.as_bytes()),
        ("gateway.toml", &gateway),
    ];
    let (_container, captured) = recording(&dir, "k41f");
    let captured = std::fs::read(captured).unwrap();
    // A seed of its own, so that every run is the same.
    let mut random = fastrand::Rng::with_seed(0x1a2b_3c4d);
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let check = |arguments: &[&str], bytes: &[u8]| {
        let ended = ajp(arguments);
        assert!(
            [0, 1, 2].contains(&ended.code) && !ended.errors.contains("panicked"),
            "{arguments:?}: {ended:?}\n{}",
            bytes.escape_ascii()
        );
    };
    for round in 0..20 {
        let paths: Vec<String> = files
            .iter()
            .map(|(name, text)| write(name, &damaged(text, &mut random)))
            .collect();
        let mut arguments = vec!["lint", "--format", ["text", "json", "sarif"][round % 3]];
        arguments.extend(paths.iter().map(String::as_str));
        check(&arguments, b"");
        let (name, text) = files[round % 3];
        let bytes = damaged(text, &mut random);
        let kind = ["--httpd", "--workers", "--uriworkermap"][round % 3];
        check(&["import", "--force", kind, &write(name, &bytes)], &bytes);
        for (format, text) in [
            ("auto", &captured[..]),
            (
                "raw",
                b"\x12\x34\0\x01\x0aAB\0\x01\x09\x12\x34\0\x02\x02\x02",
            ),
            ("hex", b"0000 12 34 00 01 0a\n0010 41 42 00 01 09\n"),
            ("pcap", &random_bytes(&mut random)),
        ] {
            let bytes = damaged(text, &mut random);
            let path = write("capture", &bytes);
            check(&["decode", "-v", "--format", format, &path], &bytes);
        }
    }
}

fn random_bytes(random: &mut fastrand::Rng) -> Vec<u8> {
    (0..200).map(|_| random.u8(..)).collect()
}
