//! The members of a cluster as a list, and how one of them is found in it.

use super::Flags;
use super::member::MemberId;
use super::slot::Slot;

/// The members, and the sets that they are in.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// In the order of their ids, which is the order in which they were added.
    pub(super) slots: Vec<Slot>,
    /// The sets in use, lowest first.
    sets: Vec<u32>,
}

impl Roster {
    pub(super) fn get(&self, id: MemberId) -> Option<&Slot> {
        let at = self.index(id)?;
        self.slots.get(at)
    }

    pub(super) fn get_mut(&mut self, id: MemberId) -> Option<&mut Slot> {
        let at = self.index(id)?;
        self.slots.get_mut(at)
    }

    fn index(&self, id: MemberId) -> Option<usize> {
        self.slots.binary_search_by_key(&id, |slot| slot.id).ok()
    }

    /// The index of the member of this name. One that is leaving has given its name up.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        let mut slots = self.slots.iter();
        slots.position(|slot| !slot.leaving && slot.settings.name == name)
    }

    /// The members of this route: those that serve at any time, then standbys.
    pub(super) fn with_route<'a>(&'a self, route: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let of = move |standby: bool| {
            let slots = self.slots.iter().enumerate();
            slots.filter(move |(_, slot)| {
                let own = slot.settings.route.as_ref();
                !slot.leaving
                    && slot.terms.flags.contains(Flags::HOT_STANDBY) == standby
                    && own.is_some_and(|own| own.as_bytes() == route)
            })
        };
        of(false).chain(of(true)).map(|(at, _)| at)
    }

    /// Those that an operator lets serve.
    pub(super) fn in_service(&self) -> impl Iterator<Item = &Slot> {
        let slots = self.slots.iter();
        slots.filter(|slot| slot.terms.flags.takes_own() && !slot.leaving)
    }

    /// The number of a set in use; the lowest is at 0.
    pub(super) fn set_at(&self, index: usize) -> Option<u32> {
        self.sets.get(index).copied()
    }

    /// Finds out anew which sets there are.
    pub(super) fn index_sets(&mut self) {
        let serving = self.slots.iter().filter(|slot| !slot.leaving);
        self.sets = serving.map(|slot| slot.terms.set).collect();
        self.sets.sort_unstable();
        self.sets.dedup();
    }
}
