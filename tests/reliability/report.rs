//! The figures, as lines of a table that `scripts/ledger` extracts.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    checker::Findings,
    hostile::HOSTILE,
    nemesis::Fault,
    plan::{Kind, Plan},
};

/// The result of one run of a broker.
pub(crate) struct Figures {
    pub(crate) broker: &'static str,
    pub(crate) phase: String,
    pub(crate) plan: Plan,
    /// How many workers took part.
    pub(crate) members: u64,
    pub(crate) findings: Findings,
    /// The faults that struck.
    pub(crate) faults: Vec<Fault>,
    /// How many repeats are allowed. `None` allows any number.
    pub(crate) repeats_max: Option<u64>,
    /// Hostile messages that the broker did not accept.
    pub(crate) refused: BTreeSet<u64>,
    /// Messages whose dead letters did not carry everything.
    pub(crate) damaged: BTreeSet<u64>,
    /// Messages that may have been fed twice.
    pub(crate) fed_again: u64,
    /// Messages among them that the client cannot read.
    pub(crate) unreadable: u64,
    pub(crate) elapsed: Duration,
}

pub(crate) const HEAD: &str = "ledger| broker   | phase            |     ids | lost | repeated |    bound | neighbours | reordered | dead expected | found | twice | wrong | damaged | refused | unreadable | members | kills | cuts | silences | seconds";

impl Figures {
    pub(crate) fn line(&self) -> String {
        let Self {
            broker,
            phase,
            plan,
            findings: f,
            refused,
            ..
        } = self;
        let count = |fault| self.faults.iter().filter(|one| **one == fault).count();
        let bound = self
            .repeats_max
            .map_or("-".to_owned(), |bound| bound.to_string());
        let damaged = f.damaged + f.dead_damaged;
        format!(
            "ledger| {broker:<8} | {phase:<16} | {:>7} | {:>4} | {:>8} | {bound:>8} | {:>10} | {:>9} | {:>13} | {:>5} | {:>5} | {:>5} | {damaged:>7} | {:>7} | {:>10} | {:>7} | {:>5} | {:>4} | {:>8} | {:>7.1}",
            plan.ids,
            f.lost,
            f.repeated,
            f.neighbours_repeated,
            f.reordered,
            f.dead_expected,
            f.dead_found,
            f.dead_twice,
            f.dead_wrong,
            refused.len(),
            self.unreadable,
            self.members,
            count(Fault::Kill),
            count(Fault::Cut),
            count(Fault::Silence),
            self.elapsed.as_secs_f64(),
        )
    }

    /// Returns what is wrong with the result.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let f = &self.findings;
        let is_calm = self.faults.is_empty();
        let zero = [
            ("ids lost", f.lost),
            ("messages damaged", f.damaged),
            ("first handlings out of order", f.reordered),
            (
                "dead letters missing",
                f.dead_expected - f.dead_found.min(f.dead_expected),
            ),
            ("dead letters of other messages", f.dead_wrong),
            ("dead letters damaged", f.dead_damaged),
            ("dead letters twice", if is_calm { f.dead_twice } else { 0 }),
        ];
        let mut complaints: Vec<_> = zero
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(what, n)| format!("{n} {what}"))
            .collect();
        let bound = self.repeats_max.map(|bound| bound + self.fed_again);
        if let Some(bound) = bound.filter(|bound| f.repeated > *bound) {
            complaints.push(format!("{} repeats of {bound} at most", f.repeated));
        }
        complaints
    }

    /// Describes these messages.
    pub(crate) fn names(&self, ids: &BTreeSet<u64>) -> BTreeSet<&'static str> {
        let names = ids.iter().map(|id| match self.plan.kind(*id) {
            Kind::Hostile(index) => HOSTILE[index].name,
            Kind::Good => "good",
        });
        names.collect()
    }
}
