//! The gateway as a service of systemd: what it says to the service manager, sockets that it
//! is given, and the units that come with it.

use crate::support::child::ChildGuard;
use crate::support::gateway::binary;
use crate::wire::echo;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMIT: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The service manager's end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn bind(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self(socket)
    }

    /// The next message, its lines in order.
    fn told(&self) -> Vec<String> {
        let mut message = [0; 1024];
        let length = self.0.recv(&mut message).expect("a message in time");
        let text = String::from_utf8(message[..length].to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

fn write_config(dir: &Path, listeners: &str, backend: &str) {
    let config = format!(
        "{listeners}[[balancer]]\nname = \"b\"\n[[balancer.member]]\nurl = \"{backend}\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n"
    );
    std::fs::write(dir.join("gateway.toml"), config).unwrap();
}

async fn answer<S>(mut stream: S) -> String
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told_and_gives_the_sockets() {
    let backend = echo().await;
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::bind(&dir.path().join("notify"));
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let path = dir.path().join("http.sock");
    let unix = UnixListener::bind(&path).unwrap();
    // It could not open these itself: the first is taken, and so is the second.
    let listeners = format!(
        "listen = \"{address}\"\n[[listener]]\naddress = \"unix:{}\"\n",
        path.display()
    );
    write_config(dir.path(), &listeners, &backend.url());
    // As systemd does it: the sockets from the third descriptor on, for this process alone.
    let script = "exec 3<&0 4<&1 <>/dev/null >out 2>&1; \
        LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" gateway --config gateway.toml";
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .arg(binary())
        .current_dir(dir.path())
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .stdin(Stdio::from(OwnedFd::from(tcp)))
        .stdout(Stdio::from(OwnedFd::from(unix)))
        .stderr(Stdio::null());
    let mut gateway = Ended(command.spawn().unwrap());
    assert_eq!(manager.told(), ["READY=1"]);

    let over_tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    assert!(answer(over_tcp).await.ends_with("\r\n\r\nx"));
    let over_unix = tokio::net::UnixStream::connect(&path).await.unwrap();
    assert!(answer(over_unix).await.ends_with("\r\n\r\nx"));

    gateway.signal("HUP");
    let reloading = manager.told();
    assert_eq!(reloading[0], "RELOADING=1");
    // systemd tells by it which reload is meant (`Type=notify-reload`).
    let since = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(since.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.told(), ["READY=1"]);
    let over_tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    assert!(answer(over_tcp).await.ends_with("\r\n\r\nx"), "after it");

    gateway.signal("TERM");
    assert_eq!(manager.told(), ["STOPPING=1"]);
    assert!(gateway.0.wait().unwrap().success());
    let log = std::fs::read_to_string(dir.path().join("out")).unwrap();
    assert!(log.contains("gateway: done"), "{log}");
    // The socket is systemd's: the next process gets it again.
    assert!(path.exists(), "{log}");
}

/// The order of systemd's sockets is not that of the listeners, and there is one too many.
#[tokio::test(flavor = "multi_thread")]
async fn each_listener_takes_the_socket_of_its_address() {
    let backend = echo().await;
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::bind(&dir.path().join("notify"));
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (plain, redirecting, nobodys) = (bind(), bind(), bind());
    let [to_plain, to_redirecting, to_nobody] =
        [&plain, &redirecting, &nobodys].map(|socket| socket.local_addr().unwrap());
    let listeners = format!(
        "listen = \"{to_plain}\"\n[[listener]]\naddress = \"{to_redirecting}\"\n\
         redirect_to_https = 443\n"
    );
    write_config(dir.path(), &listeners, &backend.url());
    let script = "exec 3<&0 4<&1 5<&2 <>/dev/null >out 2>&1; \
        LISTEN_PID=$$ LISTEN_FDS=3 exec \"$0\" gateway --config gateway.toml";
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .arg(binary())
        .current_dir(dir.path())
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .stdin(Stdio::from(OwnedFd::from(nobodys)))
        .stdout(Stdio::from(OwnedFd::from(redirecting)))
        .stderr(Stdio::from(OwnedFd::from(plain)));
    let gateway = Ended(command.spawn().unwrap());
    assert_eq!(manager.told(), ["READY=1"]);
    let connect = tokio::net::TcpStream::connect;
    assert!(
        answer(connect(to_plain).await.unwrap())
            .await
            .ends_with("\r\n\r\nx")
    );
    let moved = answer(connect(to_redirecting).await.unwrap()).await;
    assert!(moved.starts_with("HTTP/1.1 308 "), "{moved}");
    let unused = format!("has opened {to_nobody}, and no listener of the configuration has");
    wait_for(dir.path(), &unused);

    // A reload brings a listener for it.
    let listeners = format!("{listeners}[[listener]]\naddress = \"{to_nobody}\"\n");
    write_config(dir.path(), &listeners, &backend.url());
    gateway.signal("HUP");
    assert_eq!(manager.told()[0], "RELOADING=1");
    assert_eq!(manager.told(), ["READY=1"]);
    assert!(
        answer(connect(to_nobody).await.unwrap())
            .await
            .ends_with("\r\n\r\nx")
    );
}

/// Waits until this is in what a process has printed to `out`.
fn wait_for(dir: &Path, words: &str) {
    let end = std::time::Instant::now() + LIMIT;
    loop {
        let log = std::fs::read_to_string(dir.join("out")).unwrap();
        if log.contains(words) {
            return;
        }
        assert!(std::time::Instant::now() < end, "{log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Ended {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// systemd-socket-activate opens the port, and starts the program with the first client.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_before_the_program_is_answered() {
    crate::support::need::file("/usr/bin/systemd-socket-activate", "systemd");
    let backend = echo().await;
    let dir = tempfile::tempdir().unwrap();
    let address = crate::support::ports::free_addr();
    write_config(
        dir.path(),
        &format!("listen = \"{address}\"\n"),
        &backend.url(),
    );
    let mut command = Command::new("systemd-socket-activate");
    command
        .args(["-l", &address.to_string()])
        .arg(binary())
        .args(["gateway", "--config", "gateway.toml"]);
    let log = dir.path().join("log");
    let mut child = ChildGuard::spawn(command, "systemd", dir.path(), log, Duration::ZERO);
    child.wait_for_log("Listening on", LIMIT).await.unwrap();
    let http = tokio::net::TcpStream::connect(address).await.unwrap();
    assert!(answer(http).await.ends_with("\r\n\r\nx"), "{}", child.log());
}

/// systemd finds nothing to say about the units.
#[test]
fn the_units_are_right() {
    crate::support::need::file("/usr/bin/systemd-analyze", "systemd");
    let dir = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/ajp/gateway");
    for name in ["ajp-gateway.service", "ajp-gateway.socket"] {
        let unit = std::fs::read_to_string(source.join(name)).unwrap();
        // Where the program is installed.
        let unit = unit.replace("/usr/bin/ajp", binary().to_str().unwrap());
        std::fs::write(dir.path().join(name), unit).unwrap();
    }
    let said = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(dir.path().join("ajp-gateway.service"))
        .arg(dir.path().join("ajp-gateway.socket"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(
        said.status.success() && !told.contains("ajp-gateway"),
        "{told}"
    );
}

/// A check is given no sockets, so it reads the unit that describes them.
#[tokio::test]
async fn a_check_knows_the_sockets_of_a_unit() {
    let dir = tempfile::tempdir().unwrap();
    let check = |listeners: &str, unit: &Path| {
        write_config(dir.path(), listeners, "ajp://127.0.0.1:8009");
        let ended = Command::new(binary())
            .args([
                "gateway",
                "--config",
                "gateway.toml",
                "--check",
                "--socket-unit",
            ])
            .arg(unit)
            .current_dir(dir.path())
            .output()
            .unwrap();
        let text = [ended.stdout, ended.stderr].concat();
        (
            ended.status.code().unwrap(),
            String::from_utf8(text).unwrap(),
        )
    };
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/ajp/gateway/ajp-gateway.socket");
    let both = "listen = \"0.0.0.0:80\"\n[[listener]]\naddress = \"0.0.0.0:443\"\n";
    let more = format!("{both}[[listener]]\naddress = \"unix:/run/a\"\n");
    let (code, said) = check(&more, &ours);
    let shown = ours.display();
    let expected = format!(
        "gateway: the configuration is right\n\
         gateway: 0.0.0.0:80 takes the socket 0.0.0.0:80 of {shown}\n\
         gateway: 0.0.0.0:443 takes the socket 0.0.0.0:443 of {shown}\n\
         gateway: unix:/run/a opens a socket of its own\n"
    );
    assert_eq!((code, said), (0, expected));
    let (code, said) = check("listen = \"0.0.0.0:80\"\n", &ours);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("it opens 0.0.0.0:443, and no listener"),
        "{said}"
    );
    let wrong = dir.path().join("wrong.socket");
    std::fs::write(&wrong, "[Socket]\nListenStream=%t/a\n").unwrap();
    let (code, said) = check(both, &wrong);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("wrong.socket:2: %t/a has a specifier"),
        "{said}"
    );
}
