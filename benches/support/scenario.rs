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

/// The role of a program in a scenario.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Ours,
    Competing,
    HandOver,
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
    /// The program that uses the library.
    pub(crate) ours: Program,
    /// The one with the lowest CPU time is the reference.
    pub(crate) competing: Vec<Program>,
    /// A program by hand that moves batches as the library does: it hands them to tasks, which settle by token.
    pub(crate) hand_over: Option<Program>,
    /// Programs that do not compete: lower bounds, and programs with too few features to compare.
    pub(crate) for_scale: Vec<Program>,
    /// The ratio to the reference that we want to reach.
    pub(crate) goal: Option<f64>,
    /// Whether our program allocates no memory per message once it runs.
    pub(crate) steady: bool,
    /// Whether its instructions are counted. They depend on time if batches are completed by their timeout.
    pub(crate) counted: bool,
}

impl Scenario {
    /// The number of messages of one run.
    pub(crate) fn messages(&self, quick: bool) -> u64 {
        if quick { self.full / 10 } else { self.full }
    }

    /// All programs in the order in which a round runs them.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (Role, Program)> {
        let ours = std::iter::once((Role::Ours, self.ours));
        let competing = self.competing.iter().map(|one| (Role::Competing, *one));
        let hand_over = self.hand_over.iter().map(|one| (Role::HandOver, *one));
        let for_scale = self.for_scale.iter().map(|one| (Role::ForScale, *one));
        ours.chain(competing).chain(hand_over).chain(for_scale)
    }
}
