//! Members that come and go, as operators have changed them. The place where they are found may
//! change while they are followed: what is known goes on serving until the new place has said
//! something.

use super::farm::Farm;
use ajp::balancer::{Discover, Discovered, Discovering, Discovery, Leaving};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The members of one balancer, from whichever place the configuration names.
#[derive(Debug)]
pub(crate) struct Following {
    farm: Arc<Farm>,
    balancer: String,
    place: Place,
    places: UnboundedReceiver<Place>,
    /// The names of those that were found last.
    found: BTreeSet<String>,
}

/// Where members are found, and how those leave that are gone from there.
pub(crate) type Place = (Discovery, Leaving);

impl Following {
    /// Follows this place, and those that are sent later.
    pub(crate) fn new(
        farm: Arc<Farm>,
        balancer: &str,
        place: Place,
    ) -> (Self, UnboundedSender<Place>) {
        let (sender, places) = unbounded_channel();
        let following = Self {
            farm,
            balancer: balancer.to_owned(),
            place,
            places,
            found: BTreeSet::new(),
        };
        (following, sender)
    }

    /// These members as operators have changed them, without those that they have removed.
    fn changed(&mut self, set: Vec<Discovered>) -> Vec<Discovered> {
        let names = set.iter().map(|found| found.member.name().to_owned());
        let before = std::mem::replace(&mut self.found, names.collect());
        let view = self.farm.view();
        let Some(managed) = view.balancer(&self.balancer) else {
            return set;
        };
        let mut store = self.farm.store();
        for gone in before.difference(&self.found) {
            store.forget_removed(managed, gone);
        }
        let members = set.into_iter();
        members
            .filter_map(|found| store.changed_member(managed, found))
            .collect()
    }
}

impl Discover for Following {
    fn next_set(&mut self) -> Discovering<'_> {
        Box::pin(async move {
            loop {
                tokio::select! {
                    biased;
                    Some(place) = self.places.recv() => self.place = place,
                    set = self.place.0.next_set() => {
                        let set = set?;
                        return Some(self.changed(set));
                    }
                }
            }
        })
    }

    fn leaving(&self) -> Option<Leaving> {
        Some(self.place.1)
    }
}
