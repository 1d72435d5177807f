//! A cluster on a table: members by name, time by hand.

use ajp::balancer::{
    Affinity, Choice, Cluster, ClusterConfig, Member, MemberId, Reason, RequestInfo,
    RequestOutcome, Session, Sticky, Unavailable,
};
use std::time::{Duration, Instant};

pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    pub(crate) sticky: Sticky,
    pub(crate) now: Instant,
}

pub(crate) const OK: RequestOutcome<'static> = RequestOutcome::Answered { status: 200 };
pub(crate) const DOWN: RequestOutcome<'static> = RequestOutcome::Unreachable("refused");

impl Lab {
    pub(crate) fn new(config: ClusterConfig, members: impl IntoIterator<Item = Member>) -> Self {
        let mut lab = Self {
            cluster: Cluster::new(config),
            sticky: Sticky::new("S").unwrap(),
            now: Instant::now(),
        };
        for member in members {
            lab.cluster.add(member, lab.now).unwrap();
        }
        lab
    }

    pub(crate) fn seeded(seed: u64, members: impl IntoIterator<Item = Member>) -> Self {
        Self::new(ClusterConfig::default().with_seed(seed), members)
    }

    pub(crate) fn with(members: impl IntoIterator<Item = Member>) -> Self {
        Self::seeded(1, members)
    }

    pub(crate) fn id(&self, name: &str) -> MemberId {
        self.cluster.find(name).unwrap()
    }

    pub(crate) fn name(&self, choice: &Choice) -> String {
        let member = self.cluster.member(choice.member()).unwrap();
        member.name().to_owned()
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    pub(crate) fn ask(&mut self, ask: &RequestInfo<'_>) -> Result<Choice, Unavailable> {
        self.cluster.pick(ask, self.now)
    }

    /// A member for a request without session, held.
    pub(crate) fn hold(&mut self) -> Result<Choice, Reason> {
        self.ask(&RequestInfo::new()).map_err(|none| none.reason())
    }

    pub(crate) fn tell(&mut self, choice: &Choice, outcome: RequestOutcome<'_>) {
        self.cluster.answered(choice, outcome, self.now);
    }

    pub(crate) fn done(&mut self, choice: &Choice, outcome: RequestOutcome<'_>) {
        self.tell(choice, outcome);
        self.cluster.ended(choice);
    }

    /// Who serves a request without session.
    pub(crate) fn serve(&mut self) -> Result<String, Reason> {
        let choice = self.hold()?;
        self.done(&choice, OK);
        Ok(self.name(&choice))
    }

    /// Who serves a number of requests without session, sorted, each once.
    pub(crate) fn serving(&mut self) -> Vec<String> {
        let mut names: Vec<_> = (0..40).map_while(|_| self.serve().ok()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Who serves a request whose cookies name these routes.
    pub(crate) fn bound(&mut self, routes: &str) -> Result<(String, Affinity), Reason> {
        let sticky = self.sticky.clone();
        let cookies = format!("S=1.{}", routes.replace(' ', ";S=1."));
        let session: Session<'_> = sticky.session(b"/", [cookies.as_bytes()]);
        let choice = self.ask(&RequestInfo::new().with_session(&session));
        let choice = choice.map_err(|none| none.reason())?;
        self.done(&choice, OK);
        Ok((self.name(&choice), choice.affinity()))
    }

    /// The next request that this member is given fails.
    pub(crate) fn fail(&mut self, name: &str) {
        self.fail_with(name, DOWN);
    }

    pub(crate) fn fail_with(&mut self, name: &str, outcome: RequestOutcome<'_>) {
        for _ in 0..1000 {
            let choice = self.hold().unwrap();
            if self.name(&choice) == name {
                return self.done(&choice, outcome);
            }
            self.done(&choice, OK);
        }
        panic!("{name} is never chosen");
    }

    pub(crate) fn change(&mut self, name: &str, change: impl FnOnce(Member) -> Member) {
        let id = self.id(name);
        let member = self.cluster.member(id).unwrap();
        let changed = change(Member::clone(member));
        self.cluster.update(id, changed, self.now).unwrap();
    }

    pub(crate) fn flag(&mut self, name: &str, text: &str) {
        self.change(name, |member| {
            let flags = member.current_flags().apply(text).unwrap();
            member.with_flags(flags)
        });
    }
}

/// Members by name, with their flags after a slash: `a b/H`.
pub(crate) fn members(text: &str) -> Vec<Member> {
    let words = text
        .split(' ')
        .map(|word| word.split_once('/').unwrap_or((word, "")));
    let member = |(name, flags): (&str, &str)| {
        let member = Member::new(name).with_route(name);
        member.with_flags(flags.parse().unwrap())
    };
    words.map(member).collect()
}
