//! A scenario is one row of the comparison: the same work, done by several programs.

use std::pin::Pin;

use super::workload::Tally;

/// A program at work; ends when every message is settled.
pub(crate) type Running = Pin<Box<dyn Future<Output = Tally> + Send>>;

/// One way of doing a scenario's work on the given number of messages.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) run: fn(u64) -> Running,
}

/// Whether a program is measured as ours, as a competitor, or to put the others in proportion.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Ours,
    ByHand,
    ForScale,
}

/// The same work, done by several programs.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// One line for people: what happens to each message.
    pub(crate) about: &'static str,
    /// Messages per run; `--quick` takes a tenth.
    pub(crate) full: u64,
    /// What the handlers' results must add up to for this many messages.
    pub(crate) checksum: fn(u64) -> u64,
    /// The engine's program, where there is one yet.
    pub(crate) ours: Option<Program>,
    /// What a user would write instead. The cheapest is the reference.
    pub(crate) by_hand: Vec<Program>,
    /// Not competitors: floors, and programs that give up too much to compare.
    pub(crate) for_scale: Vec<Program>,
}

impl Scenario {
    /// How many messages one run handles.
    pub(crate) fn messages(&self, quick: bool) -> u64 {
        if quick { self.full / 10 } else { self.full }
    }

    /// All programs in the order in which a round runs them.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (Role, Program)> {
        let ours = self.ours.iter().map(|program| (Role::Ours, *program));
        let by_hand = self.by_hand.iter().map(|program| (Role::ByHand, *program));
        let for_scale = self
            .for_scale
            .iter()
            .map(|program| (Role::ForScale, *program));
        ours.chain(by_hand).chain(for_scale)
    }
}
