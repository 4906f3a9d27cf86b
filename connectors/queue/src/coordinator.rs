//! [`Coordinator`]: decides which member of a consumer group reads which partition of a topic.
//!
//! All members are in one process, so the coordinator is a plain value. Callers report changes, and each call returns the [`Action`]s that
//! the caller passes on to members. The coordinator reads no clock: the caller ends a drain that takes too long.
//!
//! ```text
//!          Assign, next epoch           Revoke
//!   free ─────────────────────▶ owned ──────────▶ revoked, still owned
//!    ▲                            │ leave              │ released, leave
//!    └────────────────────────────┴────────────────────┘
//! ```
//!
//! - **One owner.** A revoked partition belongs to its owner until the owner has drained it or has left. Only then is it assigned again.
//! - **Epochs.** Each assignment of a partition has the next [`Epoch`], so a late settlement of an earlier owner can be recognized.
//! - **Balance.** While the group has a member, every partition has an owner. Once all revoked partitions are released, the numbers of
//!   partitions of any two members differ by at most one.
//! - **Few moves.** A join revokes as many partitions as the new member needs, from the members with most. A leave moves the partitions
//!   of the member that left, and no others. New partitions move none.
//! - **Deterministic.** The same calls in the same order return the same actions.
//!
//! A revocation is not cancelled, even if a later change makes it needless. The member may have begun to drain, and cancelling would need
//! a third action that races with [`released`](Coordinator::released). So the drain completes, and the partition returns to the same
//! member with the next epoch. The cost is one drain.
//!
//! A call takes time in proportion to partitions times members at most, and usually to partitions.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

#[cfg(test)]
mod tests;

/// A member of the group. Ties are broken by the number: the smaller one keeps more and gets more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberId(pub(crate) u64);

/// One assignment of one partition. The first is 1, and each assignment of the partition has the next number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Epoch(pub(crate) u64);

/// An instruction to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The member begins to read the partition.
    Assign {
        member: MemberId,
        partition: u32,
        epoch: Epoch,
    },
    /// The member stops reading the partition and drains it. Then the caller calls [`Coordinator::released`] with the same values.
    Revoke {
        member: MemberId,
        partition: u32,
        epoch: Epoch,
    },
}

/// The members of a group, and the owners of a topic's partitions.
///
/// Keep it as long as the topic is open, even without members: a new coordinator begins epochs at 1.
#[derive(Debug)]
pub(crate) struct Coordinator {
    members: BTreeSet<MemberId>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Clone, Copy)]
struct Partition {
    /// The latest assignment, or 0. It never decreases, even while the partition is free.
    epoch: Epoch,
    state: State,
}

/// One value holds the owner and the revocation, so a partition cannot have two owners, and a free one cannot be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Owned(MemberId),
    Revoked(MemberId),
}

/// Counts the partitions of a member.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    /// The partitions that it owns, revoked ones included.
    owned: usize,
    /// The partitions that it owns and that are not revoked.
    kept: usize,
    /// The partitions that it may keep: an equal share, and for some members one of the remainder.
    quota: usize,
}

impl Coordinator {
    /// Creates a coordinator of a group without members.
    pub(crate) fn new(partitions: u32) -> Self {
        let mut coordinator = Self {
            members: BTreeSet::new(),
            partitions: Vec::new(),
        };
        coordinator.grow(partitions);
        coordinator
    }

    /// Adds partitions until the topic has `partitions`. A smaller number changes nothing.
    #[must_use]
    pub(crate) fn set_partitions(&mut self, partitions: u32) -> Vec<Action> {
        self.grow(partitions);
        self.assign_free()
    }

    /// Adds a member. Joining again changes nothing.
    #[must_use]
    pub(crate) fn join(&mut self, member: MemberId) -> Vec<Action> {
        self.members.insert(member);
        let mut actions = self.revoke_excess();
        // Only the first member finds free partitions. A later one gets the revoked ones, once they are released.
        actions.extend(self.assign_free());
        actions
    }

    /// Removes a member that left or crashed, and frees its partitions at once, revoked ones included. Leaving again changes nothing.
    ///
    /// A member that stops drains all its partitions first, and may ignore its actions until it leaves.
    #[must_use]
    pub(crate) fn leave(&mut self, member: MemberId) -> Vec<Action> {
        self.members.remove(&member);
        for partition in &mut self.partitions {
            if partition.owner() == Some(member) {
                partition.state = State::Free;
            }
        }
        self.assign_free()
    }

    /// Ends a revocation: the owner has drained the partition, or the drain took too long. The partition is assigned again.
    ///
    /// Changes nothing if this assignment is over or was not revoked, so late and repeated calls are harmless.
    #[must_use]
    pub(crate) fn released(
        &mut self,
        member: MemberId,
        partition: u32,
        epoch: Epoch,
    ) -> Vec<Action> {
        let load = self.loads().get(&member).copied().unwrap_or_default();
        let Some(released) = self.partitions.get_mut(partition as usize) else {
            return Vec::new();
        };
        if released.state != State::Revoked(member) || released.epoch != epoch {
            return Vec::new();
        }
        if load.kept < load.quota {
            // A later change made this revocation needless. Another owner would be a move that no balance needs.
            return vec![released.assign(partition, member)];
        }
        released.state = State::Free;
        self.assign_free()
    }

    #[cfg(test)]
    /// Returns the owner of a partition, and its epoch. A revoked partition belongs to its earlier owner until it is released.
    pub(crate) fn owner(&self, partition: u32) -> Option<(MemberId, Epoch)> {
        let partition = self.partitions.get(partition as usize)?;
        Some((partition.owner()?, partition.epoch))
    }

    /// Iterates over the partitions of a member in their order, revoked ones included.
    pub(crate) fn partitions_of(&self, member: MemberId) -> impl Iterator<Item = (u32, Epoch)> {
        let partitions = (0..).zip(&self.partitions);
        partitions
            .filter(move |(_, partition)| partition.owner() == Some(member))
            .map(|(number, partition)| (number, partition.epoch))
    }

    fn grow(&mut self, partitions: u32) {
        let free = Partition {
            epoch: Epoch(0),
            state: State::Free,
        };
        let n = self.partitions.len().max(partitions as usize);
        self.partitions.resize(n, free);
    }

    /// Revokes the partitions that members keep above their quotas.
    ///
    /// Only a join needs this: neither a leave nor a new partition lowers a quota, and no assignment exceeds one. So a release never causes
    /// a revocation, and the balance is reached once the revoked partitions are released.
    fn revoke_excess(&mut self) -> Vec<Action> {
        let mut loads = self.loads();
        let mut actions = Vec::new();
        for (number, partition) in (0..).zip(&mut self.partitions) {
            if let State::Owned(member) = partition.state
                && let Some(load) = loads.get_mut(&member)
            {
                // The first partitions of a member use up its quota; the rest are revoked.
                match load.quota.checked_sub(1) {
                    Some(rest) => load.quota = rest,
                    None => actions.push(partition.revoke(number, member)),
                }
            }
        }
        actions
    }

    /// Assigns each free partition to the member that owns fewest. As long as a partition is free, that member is below its quota.
    ///
    /// Revoked partitions count, because they return to members below their quotas.
    fn assign_free(&mut self) -> Vec<Action> {
        let mut loads = self.loads();
        let mut actions = Vec::new();
        for (number, partition) in (0..).zip(&mut self.partitions) {
            if partition.state == State::Free
                && let Some((member, load)) = loads.iter_mut().min_by_key(|(_, load)| load.owned)
            {
                actions.push(partition.assign(number, *member));
                load.owned += 1;
            }
        }
        actions
    }

    /// The load of each member.
    fn loads(&self) -> BTreeMap<MemberId, Load> {
        let members = self.members.iter();
        let mut loads: BTreeMap<_, _> = members.map(|member| (*member, Load::default())).collect();
        for partition in &self.partitions {
            if let Some(load) = partition.owner().and_then(|owner| loads.get_mut(&owner)) {
                load.owned += 1;
                load.kept += usize::from(matches!(partition.state, State::Owned(_)));
            }
        }
        let members = loads.len().max(1);
        let (share, remainder) = (
            self.partitions.len() / members,
            self.partitions.len() % members,
        );
        // A join revokes fewest if the members that keep most have the larger quotas. The sort is stable, so smaller numbers go first.
        let mut ranked: Vec<_> = loads.values_mut().collect();
        ranked.sort_by_key(|load| Reverse((load.kept, load.owned)));
        for (rank, load) in ranked.into_iter().enumerate() {
            load.quota = share + usize::from(rank < remainder);
        }
        loads
    }
}

impl Partition {
    fn owner(&self) -> Option<MemberId> {
        match self.state {
            State::Free => None,
            State::Owned(member) | State::Revoked(member) => Some(member),
        }
    }

    fn assign(&mut self, number: u32, member: MemberId) -> Action {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.state = State::Owned(member);
        Action::Assign {
            member,
            partition: number,
            epoch: self.epoch,
        }
    }

    fn revoke(&mut self, number: u32, member: MemberId) -> Action {
        self.state = State::Revoked(member);
        Action::Revoke {
            member,
            partition: number,
            epoch: self.epoch,
        }
    }
}
