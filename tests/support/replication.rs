//! Tomcats that have each other's sessions: `SimpleTcpCluster` with a fixed list of nodes.
//!
//! ```ignore
//! let mut cluster = Cluster::start(&["jvm1", "jvm2"]).await;
//! cluster.kill_9("jvm1");
//! cluster.restart("jvm1").await;
//! ```

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ports;
use super::tomcat::{SECRET, Tomcat};
use super::tomcat_conf::quoted;

const MEETING_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const ADDED: &str = "Replication member added";
const GONE: &str = "Received member disappeared";

/// A node, and where it finds the others. Each has a number of its own from 1.
#[derive(Clone)]
pub struct Replication {
    number: usize,
    receiver: SocketAddr,
    others: Vec<(usize, SocketAddr)>,
}

impl Replication {
    /// One for each node, on free ports.
    fn among(count: usize) -> Vec<Self> {
        let all: Vec<_> = (1..=count)
            .map(|number| (number, ports::free_addr()))
            .collect();
        let of = |&(number, receiver): &(usize, SocketAddr)| {
            let mut others = all.clone();
            others.retain(|(other, _)| *other != number);
            Self {
                number,
                receiver,
                others,
            }
        };
        all.iter().map(of).collect()
    }

    /// The `Cluster` element of the engine.
    ///
    /// Sessions are sent to the other nodes, and confirmed by them, before a request is
    /// answered (options 2 and 4): what a client has seen outlives the node.
    pub fn xml(&self) -> String {
        let mut members = String::new();
        for (number, addr) in &self.others {
            write!(
                members,
                "\n<Member className={STATIC} host=\"{}\" port=\"{}\" uniqueId={}/>",
                addr.ip(),
                addr.port(),
                unique(*number),
            )
            .unwrap();
        }
        format!(
            r#"<Cluster className="org.apache.catalina.ha.tcp.SimpleTcpCluster" channelSendOptions="6" channelStartOptions="3">
<Manager className="org.apache.catalina.ha.session.DeltaManager" stateTransferTimeout="20"/>
<Channel className="org.apache.catalina.tribes.group.GroupChannel">
<Receiver className="org.apache.catalina.tribes.transport.nio.NioReceiver" address="{ip}" port="{port}" autoBind="1"/>
<Sender className="org.apache.catalina.tribes.transport.ReplicationTransmitter">
<Transport className="org.apache.catalina.tribes.transport.nio.PooledParallelSender"/>
</Sender>
<Interceptor className="org.apache.catalina.tribes.group.interceptors.TcpPingInterceptor" interval="500"/>
<Interceptor className="org.apache.catalina.tribes.group.interceptors.TcpFailureDetector"/>
<Interceptor className="org.apache.catalina.tribes.group.interceptors.StaticMembershipInterceptor">
<LocalMember className={STATIC} uniqueId={unique}/>{members}
</Interceptor>
</Channel>
<Valve className="org.apache.catalina.ha.tcp.ReplicationValve" filter=""/>
<Valve className="org.apache.catalina.ha.session.JvmRouteBinderValve"/>
<ClusterListener className="org.apache.catalina.ha.session.ClusterSessionListener"/>
</Cluster>"#,
            ip = self.receiver.ip(),
            port = self.receiver.port(),
            unique = unique(self.number),
        )
    }
}

const STATIC: &str = "\"org.apache.catalina.tribes.membership.StaticMember\"";

/// 16 bytes that no other node has.
fn unique(number: usize) -> String {
    quoted(&format!("{{{}{number}}}", "0,".repeat(15)))
}

/// Tomcats with `Cart.java` at `/cart`, whose sessions each of them has.
pub struct Cluster {
    nodes: Vec<Tomcat>,
}

impl Cluster {
    /// Starts a node for each route and waits until all know each other.
    ///
    /// One after the other: a node asks another one for its sessions, and one that waits for an
    /// answer itself does not answer.
    pub async fn start(routes: &[&str]) -> Self {
        Self::with_secret(routes, SECRET).await
    }

    /// As [`start`](Self::start), with this secret.
    pub async fn with_secret(routes: &[&str], secret: &str) -> Self {
        let mut nodes = Vec::new();
        for (route, place) in routes.iter().zip(Replication::among(routes.len())) {
            let node = Tomcat::builder().secret(secret).route(route);
            nodes.push(node.cart(place).start().await);
        }
        let cluster = Self { nodes };
        cluster.meet().await;
        cluster
    }

    /// All nodes, in the order of their routes.
    pub fn nodes(&self) -> &[Tomcat] {
        &self.nodes
    }

    /// The node of a route.
    pub fn node(&self, route: &str) -> &Tomcat {
        let mut nodes = self.nodes.iter();
        nodes.find(|node| node.route() == Some(route)).unwrap()
    }

    /// Ends a node the way a crash does.
    pub fn kill_9(&mut self, route: &str) {
        let node = self.node_mut(route);
        // Its end is waited for without yielding.
        tokio::task::block_in_place(|| node.kill_9());
    }

    /// Starts a node again and waits until it serves; before that it gets all sessions from
    /// another one.
    pub async fn restart(&mut self, route: &str) {
        self.node_mut(route).restart().await;
    }

    /// Waits until every node counts all others among the living.
    pub async fn meet(&self) {
        let end = Instant::now() + MEETING_LIMIT;
        while let Some(lonely) = self.nodes.iter().find(|node| !self.knows_all(node)) {
            assert!(
                Instant::now() < end,
                "{:?} does not find the other nodes:\n{}",
                lonely.route(),
                lonely.log()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    fn node_mut(&mut self, route: &str) -> &mut Tomcat {
        let mut nodes = self.nodes.iter_mut();
        nodes.find(|node| node.route() == Some(route)).unwrap()
    }

    fn knows_all(&self, node: &Tomcat) -> bool {
        let log = node.log();
        let times = |what| log.matches(what).count();
        times(ADDED) == times(GONE) + self.nodes.len() - 1
    }
}
