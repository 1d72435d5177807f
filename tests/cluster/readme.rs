//! The cluster of the README, as it is written there: its configuration and its commands, with
//! other ports and other routes, so that several of these tests can run side by side.

use super::load::Load;
use super::support::gateway::binary;
use super::support::ports;
use super::support::replication::Cluster;
use super::support::tomcat::SECRET;
use super::visitor::{By, Visitor};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The block in this language that comes first after these words.
fn block<'a>(readme: &'a str, after: &str, language: &str) -> &'a str {
    let (_, rest) = readme.split_once(after).unwrap();
    let (_, rest) = rest.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// Runs a command line as it is written, with the program on the path; what it printed. Not as an
/// argument of the shell: `pgrep -f` would find that too.
fn run(dir: &Path, line: &str) -> String {
    let script = dir.join("line.sh");
    std::fs::write(&script, line).unwrap();
    let path = std::env::var("PATH").unwrap();
    let programs = binary().parent().unwrap().display().to_string();
    let ended = Command::new("sh")
        .arg(&script)
        .current_dir(dir)
        .env("PATH", format!("{programs}:{path}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(ended.status.success(), "{line}: {said}");
    said
}

/// Ends the gateway that a line has started.
struct Started(String);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_does_what_it_says() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let readme = readme.unwrap();
    let section = "In front of a cluster";
    let config = block(&readme, section, "toml");
    let commands = block(&readme, section, "sh").lines();
    // What builds the program has been done.
    let mut commands = commands.filter(|line| !line.starts_with("cargo "));
    let dir = tempfile::tempdir().unwrap();
    // What comes before the program prepares its files, the secret for example.
    let first = loop {
        let line = commands.next().unwrap();
        if line.starts_with("ajp ") {
            break line;
        }
        run(dir.path(), line);
    };
    let secret = std::fs::read_to_string(dir.path().join("ajp.secret"));
    let secret = secret.unwrap_or_else(|_| {
        std::fs::write(dir.path().join("ajp.secret"), SECRET).unwrap();
        SECRET.to_owned()
    });
    let routes = ["jvm1", "jvm2", "jvm3"];
    let own = routes.map(|route| format!("{route}p{}", std::process::id()));
    let mut cluster =
        Cluster::with_secret(&own.each_ref().map(|route| &**route), secret.trim()).await;
    let (front, manager) = (ports::free_addr(), ports::free_addr());
    let replaced = |text: &str| {
        let mut text = text.replace(":8080", &format!(":{}", front.port()));
        for (route, own) in routes.iter().zip(&own) {
            text = text.replace(route, own);
        }
        text
    };
    let mut config = replaced(config);
    for (port, node) in [8009, 8109, 8209].iter().zip(cluster.nodes()) {
        let url = format!("ajp://127.0.0.1:{port}\"");
        assert!(config.contains(&url), "{config}");
        config = config.replace(&url, &format!("ajp://{}\"", node.ajp_addr()));
    }
    assert!(config.contains("[manager]"), "{config}");
    config = config.replace("[manager]", &format!("[manager]\nlisten = \"{manager}\""));
    std::fs::write(dir.path().join("cluster.toml"), config).unwrap();

    let mut gateway = None;
    let mut session = None;
    let mut has_killed = false;
    for line in std::iter::once(first).chain(commands) {
        let line = replaced(line);
        if let Some(background) = line.strip_suffix('&') {
            let line = format!("{background} >gateway.log 2>&1 </dev/null & echo $! >pid");
            run(dir.path(), &line);
            let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
            gateway = Some(Started(pid.trim().to_owned()));
            answers(front, dir.path()).await;
        } else if line.starts_with("kill ") {
            // "The session goes on at jvm2, and no GET is lost".
            let (mut visitor, id): (Visitor, String) = session.take().unwrap();
            assert!(id.ends_with(&format!(".{}", own[0])), "{id}");
            visitor.get("/cart/").await.unwrap();
            assert_eq!(visitor.node, own[0]);
            let others = (0..4).map(|_| Visitor::new(front, By::Cookie));
            let load = Load::start(others.chain([visitor]).collect());
            tokio::time::sleep(Duration::from_millis(500)).await;
            run(dir.path(), &line);
            tokio::time::sleep(Duration::from_secs(2)).await;
            let (visitors, tally) = load.stop().await;
            assert_eq!((tally.failures(), tally.lost.len()), (0, 0), "{tally:?}");
            assert!(tally.asked > 100, "{tally:?}");
            for visitor in visitors {
                assert_eq!(visitor.node, own[1]);
            }
            has_killed = true;
        } else {
            let said = run(dir.path(), &line);
            if line.starts_with("curl ") {
                let cookie = said
                    .lines()
                    .find_map(|line| line.strip_prefix("Set-Cookie: JSESSIONID="));
                let id = cookie.unwrap_or_else(|| panic!("{said}"));
                let id = id.split(';').next().unwrap().trim().to_owned();
                session = Some((Visitor::that_has(front, &id, 1), id));
            }
        }
    }
    assert!(
        has_killed && gateway.is_some(),
        "the README has other commands"
    );
    // It has ended, and its guard is told so.
    cluster.kill_9(&own[0]);
}

/// Waits until the gateway is there.
async fn answers(front: SocketAddr, dir: &Path) {
    let start = Instant::now();
    while tokio::net::TcpStream::connect(front).await.is_err() {
        let log = std::fs::read_to_string(dir.join("gateway.log"));
        assert!(start.elapsed() < Duration::from_secs(20), "{log:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
