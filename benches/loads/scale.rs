//! How costs grow: with clients that keep their connections, with members of a balancer, with
//! sessions. The gateway beside httpd (event MPM, `mod_proxy_ajp`) and nginx (HTTP), all in front
//! of the same null container.

use crate::Args;
use crate::chart::{self, Curve};
use crate::clients::Clients;
use crate::peers::process;
use crate::peers::wrk::Load;
use crate::peers::{self, Peer, Start};
use crate::servers::{Server, member_address};
use crate::support::httpd::Httpd;
use crate::support::need;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct ScaleArgs {
    /// clients, members or sessions; may be repeated [default: all]
    #[arg(long)]
    part: Vec<String>,
}

/// Connections to the container that a front may have.
const CONNECTIONS: usize = 100;
/// Requests a second of all clients.
const RATE: f64 = 4000.0;
const CLIENTS: [usize; 4] = [100, 1000, 3000, 10_000];
const MEMBERS: [usize; 4] = [1, 10, 100, 1000];
const SESSIONS: [usize; 3] = [1000, 10_000, 100_000];
/// Members that the sessions belong to.
const OF_SESSIONS: usize = 10;
/// Open files of a front, or of this program.
const FILES: u64 = 12_000;

/// One measurement.
struct Point {
    part: &'static str,
    front: &'static str,
    count: usize,
    /// Requests a second.
    rate: f64,
    p50: f64,
    p99: f64,
    /// CPU microseconds of a request.
    cpu: f64,
    /// Memory of the front, in KiB: before there was anything, and in the end.
    memory: [f64; 2],
}

pub(crate) async fn run(args: &Args, what: &ScaleArgs) {
    need::file("/usr/bin/wrk", "wrk");
    process::raise_file_limit(FILES);
    let wanted = |name: &str| what.part.is_empty() || what.part.iter().any(|only| only == name);
    println!(
        "{:<9} {:<14} {:>7} {:>11} {:>8} {:>9} {:>11} {:>11} {:>11}",
        "part",
        "front",
        "count",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU us/req",
        "KiB before",
        "KiB after"
    );
    if wanted("clients") {
        save("clients", &clients(args).await);
    }
    if wanted("members") {
        save("members", &members(args).await);
    }
    if wanted("sessions") {
        save("sessions", &sessions(args).await);
    }
    draw();
}

impl Point {
    fn show(self) -> Self {
        let Self {
            part,
            front,
            count,
            rate,
            p50,
            p99,
            cpu,
            memory: [before, after],
        } = &self;
        println!(
            "{part:<9} {front:<14} {count:>7} {rate:>11.0} {p50:>8.2} {p99:>9.2} {cpu:>11.1} {before:>11.0} {after:>11.0}"
        );
        self
    }
}

/// The three fronts before so many members, of which each has an address of its own.
async fn fronts(args: &Args, ajp: &Server, http: &Server, members: usize) -> Vec<Peer> {
    let address = |server: &Server, member| member_address(&server.address, member);
    let list = |line: &dyn Fn(usize) -> String| (0..members).map(line).collect::<String>();
    let config = format!(
        "[[balancer]]\nname = \"lab\"\nsticky = \"JSESSIONID\"\nmax_connections = {CONNECTIONS}\n\
         pool = {{ max_waiting = 20000 }}\n{}\
         [[map]]\npath = \"/\"\nto = \"balancer://lab/\"\n",
        list(&|i| format!(
            "[[balancer.member]]\nurl = \"ajp://{}\"\nroute = \"jvm{i}\"\n",
            address(ajp, i)
        ))
    );
    let routes: Vec<(SocketAddr, String)> = (0..members)
        .map(|i| (address(ajp, i), format!("route=jvm{i}")))
        .collect();
    let routes: Vec<(SocketAddr, &str)> = routes
        .iter()
        .map(|(address, route)| (*address, &**route))
        .collect();
    let httpd = Httpd::builder().proxy_balancer("/", &routes, "stickysession=JSESSIONID");
    let upstream = format!(
        "{}keepalive {CONNECTIONS};",
        list(&|i| format!("server {};\n", address(http, i)))
    );
    vec![
        peers::gateway(args.gateway.as_deref(), &config, None, Start::default()).await,
        peers::httpd("httpd", httpd, CONNECTIONS, Start::default()).await,
        peers::nginx("nginx", &upstream, "", Start::default()).await,
    ]
}

async fn clients(args: &Args) -> Vec<Point> {
    let (ajp, http) = (Server::start("ajp", 0), Server::start("hyper", 0));
    let mut points = Vec::new();
    for count in CLIENTS {
        for front in fronts(args, &ajp, &http, 1).await {
            // What everybody has who has served a request.
            drop(Clients::connect(front.addr, 1).await);
            let before = process::memory(front.pid);
            let mut clients = Clients::connect(front.addr, count).await;
            clients.ask(RATE, Duration::from_secs(2)).await;
            let cpu = process::cpu(front.pid);
            let time = Duration::from_secs(args.seconds.into());
            let times = clients.ask(RATE, time).await;
            let spent = process::cpu(front.pid) - cpu;
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
            points.push(
                Point {
                    part: "clients",
                    front: front.name,
                    count,
                    rate: times.len() as f64 / time.as_secs_f64(),
                    p50: at(0.5),
                    p99: at(0.99),
                    cpu: spent * 1e3 / times.len() as f64,
                    memory: [before, process::memory(front.pid)],
                }
                .show(),
            );
        }
    }
    points
}

async fn members(args: &Args) -> Vec<Point> {
    let most = MEMBERS[MEMBERS.len() - 1];
    let ajp = Server::start_with_addresses("ajp", most);
    let http = Server::start_with_addresses("hyper", most);
    let mut points = Vec::new();
    for count in MEMBERS {
        for front in fronts(args, &ajp, &http, count).await {
            let load = Load {
                path: "/small",
                upload: 0,
                script: None,
                tls: false,
                connections: 32,
                seconds: args.seconds,
            };
            points.push(loaded("members", &front, count, load).show());
        }
    }
    points
}

async fn sessions(args: &Args) -> Vec<Point> {
    let ajp = Server::start_with_addresses("ajp", OF_SESSIONS);
    let http = Server::start_with_addresses("hyper", OF_SESSIONS);
    let mut points = Vec::new();
    for count in SESSIONS {
        let script = format!(
            "local n = 0\nfunction request()\n n = (n + 1) % {count}\n \
             return wrk.format(\"GET\", nil, {{ [\"Cookie\"] = string.format(\
             \"JSESSIONID=%032x.jvm%d\", n, n % {OF_SESSIONS}) }})\nend\n"
        );
        for front in fronts(args, &ajp, &http, OF_SESSIONS).await {
            let load = Load {
                path: "/small",
                upload: 0,
                script: Some(&script),
                tls: false,
                connections: 32,
                // So long that each session comes.
                seconds: args.seconds.max(u32::try_from(count / 10_000).unwrap()),
            };
            points.push(loaded("sessions", &front, count, load).show());
        }
    }
    points
}

/// What wrk finds, and its cost.
fn loaded(part: &'static str, front: &Peer, count: usize, load: Load<'_>) -> Point {
    let before = process::memory(front.pid);
    Load { seconds: 2, ..load }.on(front.addr);
    let cpu = process::cpu(front.pid);
    let report = load.on(front.addr);
    Point {
        part,
        front: front.name,
        count,
        rate: report.rate,
        p50: report.p50,
        p99: report.p99,
        cpu: (process::cpu(front.pid) - cpu) * 1e3 / report.requests,
        memory: [before, process::memory(front.pid)],
    }
}

/// `benches/results`
fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results")
}

const COLUMNS: &str =
    "front,count,requests_per_second,p50_ms,p99_ms,cpu_us_per_request,kib_before,kib_after";

fn save(part: &str, points: &[Point]) {
    let mut text = format!("{COLUMNS}\n");
    for point in points {
        let [before, after] = point.memory;
        writeln!(
            text,
            "{},{},{:.0},{:.3},{:.3},{:.2},{before:.0},{after:.0}",
            point.front, point.count, point.rate, point.p50, point.p99, point.cpu
        )
        .unwrap();
    }
    std::fs::create_dir_all(results()).unwrap();
    std::fs::write(results().join(format!("{part}.csv")), text).unwrap();
}

/// Draws the curves of all parts that were measured.
pub(crate) fn draw() {
    type Value = fn(&[f64]) -> f64;
    let per_client: Value = |row| (row[6] - row[5]) / row[0];
    let (p99, cpu, memory): (Value, Value, Value) =
        (|row| row[3], |row| row[4], |row| row[6] / 1024.0);
    for (part, file, title, y, value) in [
        (
            "clients",
            "clients-memory",
            "Memory of a client's connection",
            "KiB",
            per_client,
        ),
        (
            "clients",
            "clients-p99",
            "Slowest of a hundred requests",
            "p99, ms",
            p99,
        ),
        ("clients", "clients-cpu", "CPU of a request", "us", cpu),
        ("members", "members-cpu", "CPU of a request", "us", cpu),
        ("members", "members-memory", "Memory", "MiB", memory),
        ("sessions", "sessions-cpu", "CPU of a request", "us", cpu),
        ("sessions", "sessions-memory", "Memory", "MiB", memory),
    ] {
        let Ok(text) = std::fs::read_to_string(results().join(format!("{part}.csv"))) else {
            continue;
        };
        let picture = results().join(format!("{file}.svg"));
        chart::draw(&picture, title, [part, y], &curves(&text, value));
    }
}

/// The values of each front over the count.
fn curves(csv: &str, value: fn(&[f64]) -> f64) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for line in csv.lines().skip(1) {
        let (front, numbers) = line.split_once(',').unwrap();
        let row: Vec<f64> = numbers
            .split(',')
            .map(|number| number.parse().unwrap())
            .collect();
        let point = (row[0], value(&row));
        match curves.iter_mut().find(|(name, _)| name == front) {
            Some((_, points)) => points.push(point),
            None => curves.push((front.to_owned(), vec![point])),
        }
    }
    curves
}
