//! A scenario: the same work, done by several programs.

use std::pin::Pin;

use super::workload::Tally;

/// A running program. Completes when every message is settled.
pub(crate) type Running = Pin<Box<dyn Future<Output = Tally> + Send>>;

/// One way of doing a scenario's work on the given number of messages.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) run: fn(u64) -> Running,
}

/// The role of a program: ours, a competitor, or for scale.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Ours,
    ByHand,
    ForScale,
}

/// The same work, done by several programs.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// One line that describes the work per message.
    pub(crate) about: &'static str,
    /// Messages per run; `--quick` takes a tenth.
    pub(crate) full: u64,
    /// The expected sum of the handlers' results for a number of messages.
    pub(crate) checksum: fn(u64) -> u64,
    /// The program that uses the engine, if there is one.
    pub(crate) ours: Option<Program>,
    /// Hand-written programs. The one with the lowest CPU time is the reference.
    pub(crate) by_hand: Vec<Program>,
    /// Programs that do not compete: lower bounds, and programs with too few features to compare.
    pub(crate) for_scale: Vec<Program>,
}

impl Scenario {
    /// The number of messages of one run.
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
