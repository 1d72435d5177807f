//! What must hold, at every moment and in the end.

use super::{CONNECTIONS, OUT_AFTER, Report, World};
use crate::gateway::BUFFERS;
use ajp::balancer::{Member, MemberChange, MemberSnapshot, MemberState};
use futures_util::FutureExt;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

impl World {
    /// What holds at every moment.
    pub(super) fn check(&mut self) {
        if let Some(broken) = self.ledger.broken() {
            panic!("{broken}");
        }
        let buffered = self.gateway.buffered();
        assert!(buffered <= BUFFERS, "{buffered} bytes of buffers");
        let shaken = self.tally.is_shaken(Instant::now());
        while let Some(event) = self.events.next().now_or_never() {
            let event = event.unwrap();
            self.paths.member(&event.change);
            let out = matches!(
                event.change,
                MemberChange::Failed { .. }
                    | MemberChange::Unhealthy { .. }
                    | MemberChange::Ejected { .. }
                    | MemberChange::Spared { .. }
            );
            assert!(
                shaken || !out || event.name != "jvm0",
                "a member without a fault of its own is out: {event:?}"
            );
        }
        for machine in &self.machines {
            let host = &machine.host;
            // Several pools while its secret changes. Each has one more for the health check,
            // and one for failed requests that ask whether the container is there: both have
            // connections of their own.
            let pools = 1 + machine.generation().unwrap_or(0) as usize;
            let most = pools * (CONNECTIONS + 2);
            assert!(
                host.most() <= most || host.name != "jvm0" && host.most() <= 2 * most,
                "{} connections to {} at a time",
                host.most(),
                host.name
            );
        }
        let snapshot = self.balancer.snapshot();
        let pools = snapshot.members.iter().filter_map(|member| member.pool);
        let in_use: usize = pools.clone().map(|pool| pool.in_use).sum();
        // Each pool may be looked after at the moment, with one connection.
        let in_gateway = self.gateway.running();
        let most = self.tally.in_hand(self.script.visitors) + in_gateway + pools.count();
        assert!(
            in_use <= most,
            "{in_use} connections are in use by {most} requests: {:?}",
            snapshot.members
        );
        let busy: usize = snapshot
            .members
            .iter()
            .map(|member| member.busy as usize)
            .sum();
        assert!(
            busy <= self.tally.active() + in_gateway,
            "members are busy with {busy} requests: {:?}",
            snapshot.members
        );
        if !shaken && self.changed_at.elapsed() > OUT_AFTER {
            snapshot
                .members
                .iter()
                .for_each(|member| self.check_hung(member));
        }
    }

    /// A member of which nothing comes back is out in time.
    fn check_hung(&self, member: &MemberSnapshot) {
        let name = member.name.split('-').next().unwrap();
        let mut machines = self.machines.iter();
        let machine = machines.find(|machine| machine.host.name == name).unwrap();
        let hung_for = machine.host.hung_for();
        assert!(
            hung_for.is_none_or(|time| time < OUT_AFTER)
                || !matches!(member.state, MemberState::Ok | MemberState::Full),
            "it has hung for {hung_for:?} and is in service: {member:?}"
        );
    }

    /// Nothing may be left.
    pub(super) async fn finish(mut self, upkeep: JoinHandle<()>) -> Report {
        // Members that are gone may take 30 s, and drains; so may the gateways before this one.
        sleep(Duration::from_secs(40)).await;
        self.check();
        let mut expected: Vec<String> = self.set.keys().cloned().collect();
        // A discovery that finds nothing changes nothing.
        let is_empty = expected.is_empty();
        let fixed = self.pools.keys().map(|number| format!("jvm{number}"));
        expected.extend(fixed);
        expected.sort_unstable();
        let members = self.balancer.members();
        let mut names: Vec<&str> = members.iter().map(Member::name).collect();
        names.sort_unstable();
        assert!(
            is_empty || names == expected,
            "the discovery knows {expected:?}, and the members are {names:?}"
        );
        // Maintenance or a check may be under way.
        upkeep.abort();
        let _ = upkeep.await;
        sleep(Duration::from_secs(1)).await;
        for member in self.balancer.snapshot().members {
            let Some(pool) = member.pool else {
                panic!("still leaving: {member:?}");
            };
            assert_eq!(
                (pool.in_use, member.busy),
                (0, 0),
                "something is in use: {member:?}"
            );
            assert_eq!(
                pool.created,
                pool.closed + pool.idle as u64,
                "connections are lost: {member:?}"
            );
        }
        for pool in self.pools.values() {
            assert_eq!(pool.stats().waiting, 0);
        }
        let report = Report {
            outcomes: self.tally.take(),
            events: std::mem::take(&mut self.happened),
            paths: self.paths.take(),
            exchanges: self.ledger.total(),
            trace: self.tally.trace(),
        };
        let Self {
            balancer,
            gateway,
            events,
            machines,
            pools,
            published,
            mut later,
            tally,
            ..
        } = self;
        // The discovery ends with this, and whoever follows it.
        drop(published);
        gateway.end().await;
        while let Some(ended) = later.join_next().await {
            ended.unwrap();
        }
        drop((balancer, events, pools, tally));
        sleep(Duration::from_secs(40)).await;
        for machine in &machines {
            let (host, live) = (&machine.host.name, machine.host.live());
            assert_eq!(live, 0, "connections to {host} are left");
        }
        drop(machines);
        sleep(Duration::from_secs(120)).await;
        let tasks = Handle::current().metrics().num_alive_tasks();
        // Those of containers that hang for ever, and whoever accepts connections.
        let hanging = 4 * report.exchanges as usize + 8;
        assert!(tasks <= hanging, "{tasks} tasks are left");
        report
    }
}
