//! A naive model, which knows the coordinator by its actions only, and checks it after each change.

use std::collections::BTreeSet;

use proptest::{prelude::*, test_runner::TestCaseResult};

use super::{histories::MEMBERS, *};

/// One call of the coordinator.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Join(MemberId),
    Leave(MemberId),
    Released(MemberId, u32, Epoch),
    Partitions(u32),
}

/// A partition as its members see it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    owner: Option<MemberId>,
    is_revoked: bool,
    epoch: u64,
}

#[derive(Debug)]
pub(super) struct Model {
    coordinator: Coordinator,
    /// Receives the same calls.
    twin: Coordinator,
    pub(super) members: BTreeSet<MemberId>,
    pub(super) partitions: Vec<Seen>,
    /// Every assignment and revocation so far.
    pub(super) past: Vec<(MemberId, u32, Epoch)>,
}

impl Model {
    pub(super) fn new(partitions: u32) -> Self {
        Self {
            coordinator: Coordinator::new(partitions),
            twin: Coordinator::new(partitions),
            members: BTreeSet::new(),
            partitions: vec![Seen::default(); partitions as usize],
            past: Vec::new(),
        }
    }

    /// Makes one change, and checks everything that holds after each one.
    pub(super) fn change(&mut self, change: Change) -> TestCaseResult {
        let (actions, same) = (
            call(&mut self.coordinator, change),
            call(&mut self.twin, change),
        );
        prop_assert_eq!(&actions, &same);
        self.happened(change);
        let fewest = self.fewest_revocations();
        let revoked = self.carry_out(&actions)?;
        prop_assert_eq!(revoked, fewest);
        prop_assert!(revoked == 0 || matches!(change, Change::Join(_)));
        self.agrees()?;
        self.is_balanced()
    }

    /// Applies the part of a change that needs no decision.
    fn happened(&mut self, change: Change) {
        match change {
            Change::Join(member) => {
                self.members.insert(member);
            }
            Change::Leave(member) => {
                self.members.remove(&member);
                for seen in &mut self.partitions {
                    if seen.owner == Some(member) {
                        (seen.owner, seen.is_revoked) = (None, false);
                    }
                }
            }
            Change::Released(member, partition, epoch) => {
                if self.draining().contains(&(member, partition, epoch)) {
                    let seen = &mut self.partitions[partition as usize];
                    (seen.owner, seen.is_revoked) = (None, false);
                }
            }
            Change::Partitions(n) => {
                let n = self.partitions.len().max(n as usize);
                self.partitions.resize(n, Seen::default());
            }
        }
    }

    /// Carries out actions as the members would, and returns the number of revocations.
    fn carry_out(&mut self, actions: &[Action]) -> Result<usize, TestCaseError> {
        let (mut revoked, mut touched) = (0, BTreeSet::new());
        for action in actions {
            let (Action::Assign {
                member,
                partition,
                epoch,
            }
            | Action::Revoke {
                member,
                partition,
                epoch,
            }) = *action;
            self.past.push((member, partition, epoch));
            let seen = &mut self.partitions[partition as usize];
            prop_assert!(self.members.contains(&member), "{action:?} to a stranger");
            prop_assert!(touched.insert(partition), "{partition} has two actions");
            if matches!(action, Action::Assign { .. }) {
                prop_assert_eq!(seen.owner, None, "two owners: {:?}", action);
                prop_assert!(epoch.0 > seen.epoch, "{action:?} reuses an epoch");
                (seen.owner, seen.epoch) = (Some(member), epoch.0);
            } else {
                prop_assert_eq!(seen.owner, Some(member), "{:?}", action);
                prop_assert_eq!(seen.epoch, epoch.0, "{:?}", action);
                prop_assert!(!seen.is_revoked, "{action:?} repeats");
                (seen.is_revoked, revoked) = (true, revoked + 1);
            }
        }
        Ok(revoked)
    }

    /// The coordinator's answers to questions are those that follow from its actions.
    fn agrees(&self) -> TestCaseResult {
        for (number, seen) in (0..).zip(&self.partitions) {
            let owner = seen.owner.map(|member| (member, Epoch(seen.epoch)));
            prop_assert_eq!(self.coordinator.owner(number), owner);
        }
        for member in (0..MEMBERS).map(MemberId) {
            let of_member: Vec<_> = self.coordinator.partitions_of(member).collect();
            let partitions = (0..).zip(&self.partitions);
            let seen: Vec<_> = partitions
                .filter(|(_, seen)| seen.owner == Some(member))
                .map(|(number, seen)| (number, Epoch(seen.epoch)))
                .collect();
            prop_assert_eq!(of_member, seen);
        }
        Ok(())
    }

    fn is_balanced(&self) -> TestCaseResult {
        let has_members = !self.members.is_empty();
        let is_owned = |seen: &Seen| seen.owner.is_some();
        prop_assert!(
            self.partitions
                .iter()
                .all(|seen| is_owned(seen) == has_members)
        );
        if self.draining().is_empty() {
            let counts: Vec<_> = self.kept().into_iter().map(|(_, n)| n).collect();
            let (least, most) = (counts.iter().min(), counts.iter().max());
            prop_assert!(
                most <= least.map(|n| n + 1).as_ref(),
                "unbalanced: {:?}",
                counts
            );
        }
        Ok(())
    }

    /// The fewest revocations that lead to a balance.
    fn fewest_revocations(&self) -> usize {
        let counts: Vec<_> = self.kept().into_iter().map(|(_, n)| n).collect();
        fewest_losses(&counts, self.partitions.len())
    }

    fn kept(&self) -> Vec<(MemberId, usize)> {
        let count = |member: &MemberId| {
            let seen = self.partitions.iter();
            seen.filter(|seen| seen.owner == Some(*member) && !seen.is_revoked)
                .count()
        };
        let members = self.members.iter();
        members.map(|member| (*member, count(member))).collect()
    }

    pub(super) fn draining(&self) -> Vec<(MemberId, u32, Epoch)> {
        let partitions = (0..).zip(&self.partitions);
        partitions
            .filter(|(_, seen)| seen.is_revoked)
            .map(|(number, seen)| (seen.owner.unwrap(), number, Epoch(seen.epoch)))
            .collect()
    }

    pub(super) fn owners(&self) -> Vec<Option<MemberId>> {
        self.partitions.iter().map(|seen| seen.owner).collect()
    }
}

/// Tries every balanced outcome. A member that has more than the outcome gives it must lose the rest.
pub(super) fn fewest_losses(counts: &[usize], partitions: usize) -> usize {
    if counts.is_empty() {
        return 0;
    }
    let (share, larger) = (partitions / counts.len(), partitions % counts.len());
    let outcomes = (0..1_u32 << counts.len()).filter(|set| set.count_ones() as usize == larger);
    let losses = outcomes.map(|set| {
        let members = counts.iter().enumerate();
        let losses =
            members.map(|(index, n)| n.saturating_sub(share + (set >> index & 1) as usize));
        losses.sum()
    });
    losses.min().unwrap()
}

fn call(coordinator: &mut Coordinator, change: Change) -> Vec<Action> {
    match change {
        Change::Join(member) => coordinator.join(member),
        Change::Leave(member) => coordinator.leave(member),
        Change::Released(member, partition, epoch) => {
            coordinator.released(member, partition, epoch)
        }
        Change::Partitions(n) => coordinator.set_partitions(n),
    }
}
