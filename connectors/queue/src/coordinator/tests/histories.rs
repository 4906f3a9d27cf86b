//! Random histories of a group, checked by [`Model`].
//!
//! `COORDINATOR_CASES` is the number of histories.

use std::env;

use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestCaseResult};

use super::{
    model::{Change, Model, fewest_losses},
    *,
};

/// Few members and partitions, so that histories meet every small case.
pub(super) const MEMBERS: u64 = 6;
const PARTITIONS: u32 = 12;

/// Members join, some of them leave again, and partitions are added, all before a drain ends.
#[derive(Debug, Clone)]
struct Burst {
    joins: Vec<MemberId>,
    leaves: Vec<Index>,
    partitions: u32,
    /// The order of answers.
    order: Vec<Index>,
}

#[derive(Debug, Clone)]
enum Step {
    /// In any state: also during other drains.
    Now(Change),
    /// After all drains, and all drains after it: for the number of moves that one change causes.
    Alone(Change),
    /// Between two quiet states, see [`Burst`].
    Burst(Burst),
    /// A member drains the partitions that it was asked for, and leaves.
    DrainAndLeave(MemberId),
    /// One of the members that drain answers.
    Answer(Index),
    /// An answer from the past: late, repeated, or for a partition that was not revoked.
    OldAnswer(Index),
    /// The same by another member, or for a later assignment.
    WrongAnswer(Index, MemberId, u64),
    /// All members that drain answer, in one of two orders.
    Settle { reversed: bool },
}

impl Model {
    fn step(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Now(change) => self.change(*change),
            Step::Alone(change) => self.alone(*change),
            Step::Burst(burst) => self.burst(burst),
            Step::DrainAndLeave(member) => {
                for (owner, partition, epoch) in self.draining() {
                    if owner == *member {
                        self.change(Change::Released(owner, partition, epoch))?;
                    }
                }
                self.change(Change::Leave(*member))
            }
            Step::Answer(index) => self.answer(&self.draining(), index),
            Step::OldAnswer(index) => self.answer(&self.past.clone(), index),
            Step::WrongAnswer(index, member, later) => {
                let wrong = self
                    .past
                    .iter()
                    .map(|(_, partition, epoch)| (*member, *partition, Epoch(epoch.0 + later)));
                self.answer(&wrong.collect::<Vec<_>>(), index)
            }
            Step::Settle { reversed } => self.settle(*reversed),
        }
    }

    fn answer(&mut self, answers: &[(MemberId, u32, Epoch)], index: &Index) -> TestCaseResult {
        if answers.is_empty() {
            return Ok(());
        }
        let (member, partition, epoch) = answers[index.index(answers.len())];
        self.change(Change::Released(member, partition, epoch))
    }

    fn settle(&mut self, reversed: bool) -> TestCaseResult {
        let mut draining = self.draining();
        if reversed {
            draining.reverse();
        }
        for (member, partition, epoch) in draining {
            self.change(Change::Released(member, partition, epoch))?;
        }
        // Answers revoke nothing, so one round is enough.
        prop_assert_eq!(self.draining(), []);
        Ok(())
    }

    /// Makes one change between two quiet states, and counts the partitions with another owner.
    fn alone(&mut self, change: Change) -> TestCaseResult {
        self.settle(false)?;
        let (before, members) = (self.owners(), self.members.clone());
        self.change(change)?;
        self.settle(true)?;
        let after = self.owners();
        let moved: Vec<_> = moved(&before, &after).collect();
        match change {
            Change::Join(member) if !members.contains(&member) => {
                // The new member needs this many for the balance, and no other member needs one. If it is the first, it gets all.
                prop_assert_eq!(moved.len(), before.len() / self.members.len());
                prop_assert!(moved.iter().all(|(_, after)| **after == Some(member)));
            }
            Change::Leave(member) if members.contains(&member) => {
                let owned = before.iter().filter(|owner| **owner == Some(member));
                prop_assert_eq!(moved.len(), owned.count());
                prop_assert!(moved.iter().all(|(before, _)| **before == Some(member)));
            }
            _ => prop_assert!(moved.is_empty()),
        }
        Ok(())
    }

    /// Whatever the order of the answers, no more partitions move than the remaining new members need.
    fn burst(&mut self, burst: &Burst) -> TestCaseResult {
        self.settle(false)?;
        let before = self.owners();
        let mut new = burst.joins.clone();
        new.retain(|member| !self.members.contains(member));
        // In an empty group, the first member that joins gets all partitions at once, and may leave again.
        if new.is_empty() || self.members.is_empty() {
            return Ok(());
        }
        for member in &new {
            self.change(Change::Join(*member))?;
        }
        for index in &burst.leaves {
            self.change(Change::Leave(new[index.index(new.len())]))?;
        }
        self.change(Change::Partitions(burst.partitions))?;
        for index in &burst.order {
            self.answer(&self.draining(), index)?;
        }
        self.settle(true)?;
        let owned = |member: &MemberId| {
            let owners = before.iter();
            owners.filter(|owner| **owner == Some(*member)).count()
        };
        let counts: Vec<_> = self.members.iter().map(owned).collect();
        let needed = fewest_losses(&counts, self.partitions.len());
        prop_assert_eq!(moved(&before, &self.owners()).count(), needed);
        Ok(())
    }
}

type Owner = Option<MemberId>;

/// The earlier and the present owners of partitions that moved. New partitions do not count.
fn moved<'a>(
    before: &'a [Owner],
    after: &'a [Owner],
) -> impl Iterator<Item = (&'a Owner, &'a Owner)> {
    let pairs = before.iter().zip(after);
    pairs.filter(|(before, after)| before != after)
}

fn member() -> impl Strategy<Value = MemberId> {
    (0..MEMBERS).prop_map(MemberId)
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => member().prop_map(Change::Join),
        3 => member().prop_map(Change::Leave),
        1 => (0..=PARTITIONS).prop_map(Change::Partitions),
    ]
}

fn burst() -> impl Strategy<Value = Burst> {
    let indices = || vec(any::<Index>(), 0..6);
    (vec(member(), 1..5), indices(), 0..=PARTITIONS, indices()).prop_map(
        |(joins, leaves, partitions, order)| Burst {
            joins,
            leaves,
            partitions,
            order,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => change().prop_map(Step::Now),
        4 => change().prop_map(Step::Alone),
        2 => burst().prop_map(Step::Burst),
        1 => member().prop_map(Step::DrainAndLeave),
        8 => any::<Index>().prop_map(Step::Answer),
        3 => any::<Index>().prop_map(Step::OldAnswer),
        2 => (any::<Index>(), member(), 0..2_u64)
            .prop_map(|(index, member, later)| Step::WrongAnswer(index, member, later)),
        1 => any::<bool>().prop_map(|reversed| Step::Settle { reversed }),
    ]
}

fn config() -> ProptestConfig {
    let cases = env::var("COORDINATOR_CASES").ok();
    ProptestConfig {
        cases: cases.map_or(300, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_history_has_one_owner_a_balance_and_few_moves(
        partitions in 0..=PARTITIONS,
        steps in vec(step(), 0..40),
    ) {
        let mut model = Model::new(partitions);
        for step in &steps {
            model.step(step)?;
        }
        model.settle(false)?;
    }
}
