//! What it all comes to, in words.

use super::raw::Reply;
use super::report::Verdict;
use crate::exit::{Exit, chain, exit_of};
use crate::values::millis;
use ajp::client::{Address, ClientError};
use ajp::wire::PacketSize;
use std::io;
use std::time::Duration;

pub(super) const NO_CPING: &str = "CPing is not answered, requests are: turn it off in the web \
    server (no ping= in httpd, no ping_mode in mod_jk)";

pub(super) const NO_SECRET: &str = "no secret is checked: whoever can connect decides about users, \
    client addresses and request attributes (Ghostcat, CVE-2020-1938); set one, unless only web \
    servers can connect";

pub(super) fn no_connection(address: &Address, error: &io::Error) -> Verdict {
    let verdict = Verdict::new(Exit::Connect, "no connection");
    match error.kind() {
        io::ErrorKind::ConnectionRefused => verdict
            .why(format!("nobody listens at {address}"))
            .todo("start the container, or take the port of its AJP connector")
            .todo(
                "Tomcat since 8.5.51 and 9.0.31 has the AJP connector commented out, and binds it \
                 to loopback unless address= says other",
            ),
        io::ErrorKind::TimedOut => Verdict::new(Exit::Timeout, "no connection in time")
            .why("the host does not answer: it is down, or a firewall drops the packets")
            .todo("check the address and the firewalls in between"),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            verdict.why(format!("{address}: {error}"))
        }
        _ => verdict
            .why(error.to_string())
            .todo("check the host name and the network"),
    }
}

/// CPing is answered, but late.
pub(super) fn starved(time: Duration) -> Verdict {
    Verdict::new(
        Exit::Timeout,
        "the container is short of threads: connections are accepted, and answered late",
    )
    .why(format!(
        "CPong took {}, the connection none of it",
        millis(time)
    ))
    .why("CPing needs no more than a thread that is free, and no application")
    .todo("look at a thread dump: what do all threads of the connector (ajp-nio-...) wait for?")
    .todo(
        "raise maxThreads of the <Connector>, or let the web server send fewer requests at a \
         time: web servers x processes x max= below maxThreads",
    )
    .todo("until then the web server's ping= or ping_timeout must be longer than this")
}

/// A host with several addresses, of which some answer.
pub(super) fn some_addresses(dead: &[String], alive: &[String]) -> String {
    format!(
        "the host has several addresses: {} does not answer, {} does; a web server that takes the \
         first one loses time or fails, so write the address that answers, or bind the connector \
         to the other one too (address=)",
        dead.join(", "),
        alive.join(", ")
    )
}

/// Idle connections that the container closes first.
pub(super) fn closes_first(theirs: Duration, ours: Duration) -> Verdict {
    Verdict::new(
        Exit::No,
        "the container closes idle connections before the web server does",
    )
    .why(format!(
        "an idle connection was closed after {}, and the web server keeps it for {}",
        millis(theirs),
        millis(ours)
    ))
    .why("a request that is sent while the container closes is lost; a POST is not sent again")
    .todo(format!(
        "let the web server close first: ttl={0} smax=0 in httpd, connection_pool_timeout={0} in \
         mod_jk",
        theirs.as_secs().saturating_sub(1).max(1)
    ))
    .todo(
        "or raise keepAliveTimeout of the <Connector>, which is connectionTimeout unless it is set",
    )
}

/// A header of the PROXY protocol is expected before AJP.
pub(super) fn proxy_protocol() -> Verdict {
    Verdict::new(
        Exit::Protocol,
        "the port expects the PROXY protocol before AJP",
    )
    .why("CPing alone is not answered, behind a header of the PROXY protocol it is")
    .todo(
        "web servers send no such header: turn it off for this port in the load balancer or relay",
    )
    .todo("AJP carries the client's address itself, so nothing is lost without it")
}

/// Packets that only Adobe's containers send.
pub(super) fn coldfusion() -> Verdict {
    Verdict::new(
        Exit::Protocol,
        "the container speaks ColdFusion's dialect of AJP",
    )
    .why("it answers with a packet of type 0x0F, which AJP/1.3 does not have")
    .todo("use the connector that Adobe ships (wsconfig), or the container's HTTP port")
    .todo("no other web server understands these packets: they take them for broken ones")
}

pub(super) fn other_protocol(protocol: Option<&str>) -> Verdict {
    if protocol == Some("TLS") {
        return Verdict::new(Exit::Protocol, "the port speaks TLS, not AJP")
            .why("what it answers with is a record of TLS")
            .todo("take the port of the AJP connector: it has no TLS of its own")
            .todo(
                "or AJP is inside of it (stunnel, a service mesh): connect through the other end \
                 of the tunnel",
            );
    }
    let what = match protocol {
        Some(name) => format!("the port speaks {name}, not AJP"),
        None => "the port does not speak AJP".to_owned(),
    };
    Verdict::new(Exit::Protocol, what)
        .why("what it answers with is no packet of AJP")
        .todo("take the port of the AJP connector (<Connector protocol=\"AJP/1.3\" port=...>)")
}

/// The connector lives.
pub(super) fn no_answer(error: &ClientError) -> Verdict {
    match exit_of(error) {
        Exit::Timeout => Verdict::new(
            Exit::Timeout,
            "the connector answers, the application does not",
        )
        .why("CPong came, and then nothing for the request")
        .todo("look at the application: a thread dump of the container shows what it waits for")
        .todo("another path may answer; --timeout waits longer"),
        exit => Verdict::new(
            exit,
            "the connector answers CPing, and breaks off the request",
        )
        .why(chain(error))
        .todo("look into the log of the container")
        .todo(
            "some containers (flup) close on a secret that is missing or wrong: --secret-file \
             gives it, --no-secret leaves it out",
        ),
    }
}

/// Neither CPing nor a request is answered, and it is neither HTTP nor TLS.
pub(super) fn nothing(reply: &Reply, error: &ClientError) -> Verdict {
    if matches!(reply, Reply::Closed) {
        return Verdict::new(Exit::Broken, "the port accepts connections and closes them")
            .why("neither CPing nor a request is answered with a single byte")
            .why(chain(error))
            .todo(
                "something in between may accept for a container that is down: a balancer, \
                 a container runtime, an inetd",
            )
            .todo("the container may take connections only from some addresses");
    }
    Verdict::new(Exit::Timeout, "the peer is silent")
        .why("the connection is accepted, and then no byte comes: not for CPing, not for a request")
        .todo(
            "a container whose threads are all busy, or that has maxConnections open, still \
             accepts in the kernel: look at maxThreads, maxConnections and a thread dump",
        )
        .todo("a stopped or hanging JVM (garbage collection, debugger) is silent as well")
        .todo("it may be no AJP port at all")
}

pub(super) fn secret(sent: bool, without_attributes: bool) -> Verdict {
    let what = if sent {
        "the container refuses the secret that was sent"
    } else {
        "the container demands a secret, and none was sent"
    };
    let verdict = Verdict::new(Exit::Secret, what).why(
        "403 and a closed connection: so a container refuses a secret or an attribute; for a 403 \
         of the application the connection stays open",
    );
    let verdict = if without_attributes {
        verdict.why("it is refused without its attributes too")
    } else {
        verdict.why("the request has no attributes that could be refused")
    };
    let verdict = if sent {
        verdict.todo(
            "compare the secrets of both sides: blanks and line ends in a file count, but for \
             one line end at its end",
        )
    } else {
        verdict.todo("give it with --secret-file or in AJP_SECRET")
    };
    verdict.todo(
        "it is secret= of the <Connector> in Tomcat, secret= of ProxyPass or BalancerMember in \
         httpd, worker.NAME.secret in mod_jk",
    )
}

pub(super) fn attributes(refused: &[&str]) -> Verdict {
    let what = match refused {
        [] => "the container refuses the request attributes, but only together".to_owned(),
        [name] => format!("the container refuses the request attribute {name}"),
        names => format!(
            "the container refuses the request attributes {}",
            names.join(", ")
        ),
    };
    Verdict::new(Exit::Attribute, what)
        .why("without its attributes the request is answered")
        .todo(
            "allow the names: allowedRequestAttributesPattern of the AJP <Connector>, a regular \
             expression for the whole name",
        )
        .todo(
            "or stop sending them: httpd sends variables whose names begin with AJP_, mod_jk \
             those of JkEnvVar",
        )
}

pub(super) fn application(closes: bool) -> Verdict {
    let verdict = Verdict::new(Exit::Status, "the application answers 403");
    debug_assert!(!closes, "that would be the container's");
    verdict
        .why("the connection stays open: secret and attributes were accepted")
        .todo(
            "look at the rules of the application: RemoteAddrValve, RemoteCIDRValve, security \
             constraints, CSRF and CORS filters",
        )
        .todo(
            "they judge by what the web server tells: --remote-addr, --remote-user, --tls and -H \
             Host set it here",
        )
}

pub(super) fn head_too_large(error: &ClientError) -> Verdict {
    Verdict::new(Exit::Request, "the request does not fit any packet")
        .why(chain(error))
        .todo("fewer or smaller headers and attributes")
}

pub(super) fn head_too_long(head: u64, size: PacketSize) -> Verdict {
    let size = size.bytes();
    let what = format!("the head of this request has {head} bytes, the packet size is {size}");
    Verdict::new(Exit::Request, what)
        .why("a web server with this packet size cannot send it (400 in httpd, 413 in mod_jk)")
        .todo(raise(head))
}

pub(super) fn answer_too_long(longest: u64, size: PacketSize) -> Verdict {
    let size = size.bytes();
    let what = format!("the container sends packets of {longest} bytes, the packet size is {size}");
    Verdict::new(Exit::Request, what)
        .why("a web server with this packet size refuses them as broken")
        .todo(raise(longest))
}

/// `good` is 0 when nothing larger than the default could be tried.
pub(super) fn size(good: u32, size: PacketSize) -> Verdict {
    let size = size.bytes();
    let what = match good {
        0 => format!("the container does not take a head of {size} bytes"),
        good => format!("the container takes packets of {good} bytes, not of {size}"),
    };
    Verdict::new(Exit::Request, what)
        .why("a short head of the same request is answered")
        .todo(format!(
            "set the same on both sides: packetSize=\"{size}\" of the <Connector> in Tomcat"
        ))
        .todo(match good {
            0 => "or less headers: 8192 is the least size, which every container takes".to_owned(),
            good => format!("or {good} in the web server ({NAMES})"),
        })
}

pub(super) fn fine(status: u16) -> Verdict {
    let verdict = Verdict::new(
        Exit::Done,
        format!("AJP works; the application answers {status}"),
    );
    match status {
        404 => verdict.todo("404: the path is not known to the container; AJP has no part in it"),
        500.. => verdict.todo("look into the log of the application"),
        _ => verdict,
    }
}

const NAMES: &str = "ProxyIOBufferSize in httpd, worker.NAME.max_packet_size in mod_jk";

fn raise(bytes: u64) -> String {
    format!(
        "raise the packet size to {} or more on both sides, up to 65536: packetSize of the \
         <Connector> in Tomcat, in the web server {NAMES}",
        bytes.next_multiple_of(1024)
    )
}
