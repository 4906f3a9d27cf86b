//! Compares the outcome with the plan. Knows no broker, no clock and no file.

use std::collections::{BTreeSet, HashMap};

use crate::{book::Entry, plan::Plan};

/// All handlings so far.
pub(crate) struct Ledger {
    plan: Plan,
    /// How often each id was handled.
    handled: Vec<u32>,
    distinct: u64,
    damaged: u64,
    /// The newest id of each key that was handled.
    newest: HashMap<u64, u64>,
    reordered: u64,
}

/// A dead letter that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) id: u64,
    /// The origin of the message, according to its dead letter.
    pub(crate) origin: String,
    /// Whether it carries everything that the message did.
    pub(crate) is_intact: bool,
}

/// The result of the comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    /// Repeats of messages next to a hostile one.
    pub(crate) neighbours_repeated: u64,
    pub(crate) damaged: u64,
    pub(crate) reordered: u64,
    pub(crate) dead_expected: u64,
    /// Hostile messages whose dead letter arrived.
    pub(crate) dead_found: u64,
    /// Dead letters beyond the first of a message.
    pub(crate) dead_twice: u64,
    /// Dead letters of messages that are not hostile, or with the origin of another message.
    pub(crate) dead_wrong: u64,
    pub(crate) dead_damaged: u64,
}

impl Ledger {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            handled: vec![0; usize::try_from(plan.all()).unwrap()],
            plan,
            distinct: 0,
            damaged: 0,
            newest: HashMap::new(),
            reordered: 0,
        }
    }

    pub(crate) fn add(&mut self, entries: &[Entry]) {
        for &Entry { id, is_intact } in entries {
            let count = &mut self.handled[usize::try_from(id).unwrap()];
            *count += 1;
            self.damaged += u64::from(!is_intact);
            if *count == 1 {
                self.distinct += 1;
                let newest = self.newest.entry(self.plan.key(id)).or_default();
                self.reordered += u64::from(id < *newest);
                *newest = id.max(*newest);
            }
        }
    }

    /// Returns how many ids were handled, once or more often.
    pub(crate) fn distinct(&self) -> u64 {
        self.distinct
    }

    /// Returns how many handlings there were beyond the first of an id.
    pub(crate) fn repeated(&self) -> u64 {
        let all: u64 = self.handled.iter().map(|count| u64::from(*count)).sum();
        all - self.distinct
    }

    /// Returns the result, if the broker did not accept the hostile messages `refused` when they were fed. Dead letters
    /// may have the origin of another message only if origins do not distinguish messages.
    pub(crate) fn check(
        &self,
        letters: &[Letter],
        refused: &BTreeSet<u64>,
        has_origins: bool,
    ) -> Findings {
        let mut findings = Findings {
            damaged: self.damaged,
            reordered: if self.plan.is_keyed {
                self.reordered
            } else {
                0
            },
            ..Findings::default()
        };
        for (id, count) in (0..).zip(&self.handled) {
            if !self.plan.is_good(id) {
                findings.dead_expected += u64::from(!refused.contains(&id));
                findings.dead_wrong += u64::from(*count);
                continue;
            }
            findings.lost += u64::from(*count == 0);
            let again = u64::from(count.saturating_sub(1));
            findings.repeated += again;
            if self.plan.is_neighbour(id) {
                findings.neighbours_repeated += again;
            }
        }
        self.check_letters(letters, has_origins, &mut findings);
        findings
    }

    fn check_letters(&self, letters: &[Letter], has_origins: bool, findings: &mut Findings) {
        let mut origins: HashMap<&str, u64> = HashMap::new();
        let mut found = BTreeSet::new();
        for letter in letters {
            let origin = origins.entry(&letter.origin).or_insert(letter.id);
            let is_of_another = has_origins && *origin != letter.id;
            if self.plan.is_good(letter.id) || is_of_another {
                findings.dead_wrong += 1;
            } else if found.insert(letter.id) {
                findings.dead_found += 1;
            } else {
                findings.dead_twice += 1;
            }
            findings.dead_damaged += u64::from(!letter.is_intact);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Failures;

    const IDS: u64 = 40;
    /// One in twenty is hostile: 3 and 23.
    const PLAN: Plan = Plan {
        seed: 3,
        ids: IDS,
        probes: 0,
        is_keyed: true,
        failures: Failures::No,
    };

    fn ledger(ids: impl IntoIterator<Item = u64>) -> Ledger {
        let mut ledger = Ledger::new(PLAN);
        for id in ids {
            ledger.add(&[Entry {
                id,
                is_intact: true,
            }]);
        }
        ledger
    }

    fn letter(id: u64, origin: u64) -> Letter {
        Letter {
            id,
            origin: origin.to_string(),
            is_intact: true,
        }
    }

    fn good() -> impl Iterator<Item = u64> {
        (0..IDS).filter(|id| PLAN.is_good(*id))
    }

    #[test]
    fn a_clean_run_has_nothing_but_its_dead_letters() {
        let letters = [letter(3, 3), letter(23, 23)];
        let findings = ledger(good()).check(&letters, &BTreeSet::new(), true);
        let clean = Findings {
            dead_expected: 2,
            dead_found: 2,
            ..Findings::default()
        };
        assert_eq!(findings, clean);
        let refused = ledger(good()).check(&letters[..1], &BTreeSet::from([23]), true);
        assert_eq!((refused.dead_expected, refused.dead_found), (1, 1));
    }

    #[test]
    fn each_fault_is_found() {
        let none = BTreeSet::new();
        let lost = ledger(good().filter(|id| *id != 13)).check(&[], &none, true);
        assert_eq!((lost.lost, lost.repeated), (1, 0));
        let again = ledger(good().chain([13, 4, 4])).check(&[], &none, true);
        assert_eq!((again.repeated, again.neighbours_repeated), (3, 2));
        let handled = ledger(good().chain([23])).check(&[], &none, true);
        assert_eq!(handled.dead_wrong, 1);
        let backwards: Vec<_> = good().collect();
        let reordered = ledger(backwards.into_iter().rev()).check(&[], &none, true);
        let keys: BTreeSet<_> = good().map(|id| PLAN.key(id)).collect();
        assert_eq!(
            reordered.reordered,
            good().count() as u64 - keys.len() as u64
        );
        let letters = [letter(3, 3), letter(3, 3), letter(23, 3), letter(5, 5)];
        let findings = ledger(good()).check(&letters, &none, true);
        assert_eq!(
            (
                findings.dead_found,
                findings.dead_twice,
                findings.dead_wrong
            ),
            (1, 1, 2)
        );
    }
}
