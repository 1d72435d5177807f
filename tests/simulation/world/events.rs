//! What happens to a farm while it works.

use super::{CONNECTIONS, Change, Kind, Machine, OUT_AFTER, SHAKEN, State, World, secret};
use ajp::balancer::{Flags, HashBy, Method};
use std::time::Duration;
use tokio::time::{Instant, advance};

impl World {
    /// Something happens.
    pub(super) async fn event(&mut self) {
        let unsound = self.machines.len() - 1;
        let number = match unsound {
            0 => 0,
            _ => 1 + self.random.below(unsound),
        };
        let delay = Duration::from_millis(self.random.below(100) as u64);
        // What happens to the members that are not sound; the rest may happen to any.
        let what = if unsound == 0 {
            12 + self.random.below(6)
        } else {
            self.random.below(27)
        };
        let host = &self.machines[number].host;
        let happened = match what {
            0..=9 if Instant::now() < self.cut_off_until => "cut off",
            0 => {
                host.set(State::Refusing, delay);
                "refuses"
            }
            1 => {
                host.set(State::Unreachable, delay);
                "is unreachable"
            }
            2 => {
                host.set(State::Up, Duration::from_secs(3));
                "is slow to connect to"
            }
            3 => {
                host.cut();
                "cut"
            }
            4 => {
                host.freeze();
                "frozen"
            }
            5 => {
                host.cut();
                host.set(State::Up, delay);
                "killed and started"
            }
            6 => {
                host.lose_power();
                host.set(State::Refusing, delay);
                "lost power"
            }
            7 => {
                host.hang();
                "hangs"
            }
            8 => {
                for machine in &self.machines[1..] {
                    machine.host.hang();
                }
                self.cut_off_until = Instant::now() + OUT_AFTER * 2;
                "partition"
            }
            9 => {
                for machine in &self.machines[1..] {
                    machine.host.set(State::Up, delay);
                }
                "all are up"
            }
            12 => self.resize(),
            13 => self.set_method(),
            14 => self.jump().await,
            15 => self.recover(),
            16 => {
                self.gateway.reload(&mut self.random);
                "gateway reloaded"
            }
            17 => {
                self.later.spawn(self.gateway.restart());
                "gateway restarted"
            }
            18 => self.flags(number),
            19 => self.drain(number),
            20 | 21 => self.discover(number),
            22 => self.restart(number),
            23 => self.rotate(number),
            24 => self.change_secret(number),
            25 if Instant::now() >= self.cut_off_until => {
                host.lag([30, 300, 2_000, 7_000][self.random.below(4)]);
                "is late"
            }
            _ if Instant::now() < self.cut_off_until => "cut off",
            _ => {
                host.set(State::Up, delay);
                "is up"
            }
        };
        *self.happened.entry(happened).or_default() += 1;
    }

    /// The first machine of a kind, from this one on.
    fn one_of(&self, from: usize, fits: impl Fn(usize, &Machine) -> bool) -> Option<usize> {
        let count = self.machines.len();
        (from..from + count)
            .map(|number| number % count)
            .find(|&number| fits(number, &self.machines[number]))
    }

    /// A pool may have fewer connections, or more again.
    fn resize(&mut self) -> &'static str {
        let at = self.random.below(self.pools.len());
        let most = 1 + self.random.below(CONNECTIONS);
        let pool = self.pools.values().nth(at).unwrap();
        pool.resize(most);
        "resize"
    }

    fn set_method(&mut self) -> &'static str {
        let methods = [
            Method::ByRequests,
            Method::ByTraffic,
            Method::ByBusyness,
            Method::BySessions,
            Method::LeastOutstanding,
            Method::LowestLatency,
            Method::Hash(HashBy::ClientAddress),
        ];
        let method = methods[self.random.below(methods.len())].clone();
        self.balancer.set_method(method);
        "another method"
    }

    /// The machine slept: all timers that are due fire at once.
    async fn jump(&mut self) -> &'static str {
        let time = [50, 900, 3_000, 40_000, 400_000][self.random.below(5)];
        let before = Instant::now();
        advance(Duration::from_millis(time)).await;
        self.tally.shake(before, Instant::now() + SHAKEN);
        "clock jumps"
    }

    /// An operator believes a member to be well.
    fn recover(&mut self) -> &'static str {
        let at = self.random.below(self.machines.len());
        let host = &self.machines[at].host;
        if host.hung_for().is_none() {
            // One that is gone cannot be recovered.
            let _ = self.balancer.recover(&host.name);
        }
        "recover"
    }

    /// An operator drains a member, or takes it back. Not one that is discovered: taken back
    /// while it leaves, it would stay.
    fn flags(&mut self, number: usize) -> &'static str {
        let number = number - number % 2;
        let text = ["+N", "", "+D", ""][self.random.below(4)];
        let flags: Flags = text.parse().unwrap();
        // One that is gone cannot be changed.
        let name = &self.machines[number].host.name;
        let _ = self
            .balancer
            .update(name, |member| member.with_flags(flags));
        "flags"
    }

    /// A deployment: a member drains and comes back.
    fn drain(&mut self, number: usize) -> &'static str {
        let number = number - number % 2;
        let name = self.machines[number].host.name.clone();
        if let Ok(drain) = self.balancer.drain(&name) {
            let balancer = self.balancer.clone();
            self.later.spawn(async move {
                let drain = drain
                    .with_session_timeout(Duration::from_secs(2))
                    .with_at_most(Duration::from_secs(20));
                drain.finish().await;
                let _ = balancer.update(&name, |member| member.with_flags(Flags::default()));
            });
        }
        "drain"
    }

    /// A member is gone from the discovery, or is there again.
    fn discover(&mut self, number: usize) -> &'static str {
        let Some(number) = self.one_of(number, |number, _| number % 2 == 1) else {
            return "nothing discovered";
        };
        let machine = &self.machines[number];
        let host = &machine.host.name;
        let of_it = |name: &String| name.split('-').next() == Some(host);
        let names: Vec<String> = self
            .set
            .keys()
            .filter(|name| of_it(name))
            .cloned()
            .collect();
        if names.is_empty() {
            let (name, known) = (machine.name(), machine.known());
            self.set.insert(name, known);
        } else {
            for name in names {
                self.set.remove(&name);
            }
        }
        self.publish();
        "another set discovered"
    }

    /// The container is stopped gently, and started again.
    fn restart(&mut self, number: usize) -> &'static str {
        let machine = &mut self.machines[number];
        let Kind::Ours {
            generation, taken, ..
        } = &machine.kind
        else {
            machine.host.cut();
            return "killed";
        };
        let takes = secret(generation + taken.0);
        machine.restart(vec![takes]);
        "restarted gently"
    }

    /// The secret of a member that is not discovered changes, step by step.
    fn change_secret(&mut self, number: usize) -> &'static str {
        // Not of the sound one: a restart may break a request off.
        let may_change =
            |number: usize, machine: &Machine| number > 0 && number % 2 == 0 && machine.is_ours();
        let Some(number) = self.one_of(number, may_change) else {
            return "no secret to change";
        };
        let (machine, pool) = (&mut self.machines[number], &self.pools[&number]);
        let Kind::Ours { taken, .. } = &mut machine.kind else {
            panic!("it was found to be ours");
        };
        let (current, next) = (secret(taken.0), secret(taken.0 + 1));
        match taken.1 {
            Change::None => {
                taken.1 = Change::Announced;
                pool.set_secrets([next, current]);
                "secret announced"
            }
            Change::Announced => {
                *taken = (taken.0 + 1, Change::Taken);
                machine.restart(vec![next]);
                "secret changed"
            }
            Change::Taken => {
                taken.1 = Change::None;
                pool.set_secrets([current]);
                "old secret forgotten"
            }
        }
    }

    /// The secret changes: the container takes both, the web server comes with the new one as
    /// another member, the old one is gone.
    fn rotate(&mut self, number: usize) -> &'static str {
        let may_rotate = |number: usize, machine: &Machine| number % 2 == 1 && machine.is_ours();
        let Some(number) = self.one_of(number, may_rotate) else {
            return "nothing to rotate";
        };
        let machine = &mut self.machines[number];
        let old = machine.generation().unwrap();
        let was = machine.name();
        machine.restart(vec![secret(old), secret(old + 1)]);
        if let Kind::Ours { generation, .. } = &mut machine.kind {
            *generation = old + 1;
        }
        machine.pool = machine.pool.clone().with_secret(secret(old + 1));
        if self.set.remove(&was).is_some() {
            self.set.insert(machine.name(), machine.known());
            self.publish();
        }
        "secret rotated"
    }
}
