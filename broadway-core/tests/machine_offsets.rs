//! Offsets against a map of every offset that was ever delivered.

use broadway_core::machine::offsets::{DeliverError, OffsetOutcome, Offsets, SettleError};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Step {
    /// A gap before the run, and its length.
    Deliver(i64, usize),
    /// The first offset counted from somewhat below the commit, the length, the outcome.
    Settle(i64, usize, OffsetOutcome),
    /// Skips the first offset that failed.
    Lift,
}

fn outcome() -> impl Strategy<Value = OffsetOutcome> {
    prop_oneof![
        20 => Just(OffsetOutcome::Done),
        3 => Just(OffsetOutcome::Failed),
        2 => Just(OffsetOutcome::Skipped),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![4 => Just(0), 2 => 0..5_i64, 1 => Just(i64::MAX / 1_000)];
    let length = || prop_oneof![3 => 1..5_usize, 1 => 0..200_usize];
    prop_oneof![
        1 => (gap, length()).prop_map(|(gap, n)| Step::Deliver(gap, n)),
        3 => (-3..40_i64, length(), outcome()).prop_map(|(at, n, outcome)| Step::Settle(at, n, outcome)),
        1 => (-3..400_i64, length(), outcome()).prop_map(|(at, n, outcome)| Step::Settle(at, n, outcome)),
        1 => Just(Step::Lift),
    ]
}

/// Every offset that was delivered, and how it ended.
#[derive(Default)]
struct Model(BTreeMap<i64, Option<OffsetOutcome>>);

impl Model {
    fn prefix(&self) -> impl Iterator<Item = i64> {
        let is_done = |ended: &Option<OffsetOutcome>| {
            matches!(ended, Some(OffsetOutcome::Done | OffsetOutcome::Skipped))
        };
        self.0
            .iter()
            .take_while(move |(_, ended)| is_done(ended))
            .map(|(&offset, _)| offset)
    }

    fn commit(&self) -> Option<i64> {
        self.prefix().last().map(|last| last + 1)
    }

    fn last_done(&self) -> Option<i64> {
        let is_done = |ended: &Option<OffsetOutcome>| {
            matches!(ended, Some(OffsetOutcome::Done | OffsetOutcome::Skipped))
        };
        let done = self.0.iter().rfind(|(_, ended)| is_done(ended));
        done.map(|(&offset, _)| offset)
    }

    fn first_open(&self) -> Option<i64> {
        let mut all = self.0.iter();
        let open = all.find(|(_, ended)| matches!(ended, None | Some(OffsetOutcome::Failed)));
        open.map(|(&offset, _)| offset)
    }

    fn first_failed(&self) -> Option<i64> {
        self.0
            .iter()
            .find(|(_, ended)| **ended == Some(OffsetOutcome::Failed))
            .map(|(&offset, _)| offset)
    }

    fn count(&self, what: impl Fn(&Option<OffsetOutcome>) -> bool) -> u64 {
        self.0.values().filter(|ended| what(ended)).count() as u64
    }

    /// Why `first..first + n` cannot be settled: the first that is missing, the first that has ended.
    fn obstacles(
        &self,
        first: i64,
        n: usize,
        outcome: OffsetOutcome,
    ) -> (Option<i64>, Option<i64>) {
        let offsets = || first..first + i64::try_from(n).expect("a short run");
        let missing = offsets().find(|offset| !self.0.contains_key(offset));
        let may_lift = n == 1 && outcome == OffsetOutcome::Skipped;
        let has_ended = |offset: &i64| match self.0.get(offset) {
            Some(Some(OffsetOutcome::Failed)) => !may_lift,
            Some(Some(_)) => true,
            _ => false,
        };
        (missing, offsets().find(has_ended))
    }
}

fn check_settled(
    result: Result<(), SettleError>,
    model: &mut Model,
    first: i64,
    n: usize,
    outcome: OffsetOutcome,
) -> Result<(), TestCaseError> {
    let (missing, ended) = model.obstacles(first, n, outcome);
    let below_commit = |offset: i64| model.commit().is_some_and(|commit| offset < commit);
    match result {
        Ok(()) => {
            prop_assert_eq!((missing, ended), (None, None));
            for offset in (first..).take(n) {
                model.0.insert(offset, Some(outcome));
            }
        }
        Err(SettleError::NotDelivered { offset }) => prop_assert_eq!(missing, Some(offset)),
        // Below the commit, gaps are not told from messages.
        Err(SettleError::AlreadySettled { offset }) => {
            prop_assert!(
                ended == Some(offset) || (missing == Some(offset) && below_commit(offset))
            );
        }
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn the_commit_is_that_of_a_map_of_all_offsets(start in 0..1_000_i64, steps in prop::collection::vec(step(), 0..30)) {
        let mut offsets = Offsets::new();
        let mut model = Model::default();
        let (mut next, mut committed) = (start, None);
        for step in steps {
            match step {
                Step::Deliver(gap, n) => {
                    let first = next + gap;
                    offsets.delivered_run(first, n)?;
                    model.0.extend((first..).take(n).map(|offset| (offset, None)));
                    next = if n == 0 { next } else { first + i64::try_from(n).expect("a short run") };
                    let again = Err(DeliverError::NotAscending { offset: next - 1 });
                    prop_assert!(model.0.is_empty() || offsets.delivered(next - 1) == again);
                }
                Step::Settle(at, n, outcome) => {
                    // Near where the commit stands: in the run of the first offset that it does not cover.
                    let covered = model.prefix().count();
                    let base = model.0.keys().nth(covered).copied().unwrap_or(next);
                    let result = match n {
                        1 => offsets.settled(base + at, outcome),
                        _ => offsets.settled_run(base + at, n, outcome),
                    };
                    check_settled(result, &mut model, base + at, n, outcome)?;
                }
                Step::Lift => {
                    let Some(failed) = model.first_failed() else {
                        continue;
                    };
                    let result = offsets.settled(failed, OffsetOutcome::Skipped);
                    check_settled(result, &mut model, failed, 1, OffsetOutcome::Skipped)?;
                }
            }
            let commit = model.commit();
            prop_assert_eq!(offsets.commit(), commit);
            prop_assert!(commit >= committed, "the commit went back");
            prop_assert_eq!(offsets.take_commit(), commit.filter(|_| commit != committed));
            committed = commit;
            prop_assert_eq!(offsets.halted(), model.first_failed());
            prop_assert_eq!(offsets.in_flight(), model.count(Option::is_none));
            prop_assert_eq!(offsets.last_done(), model.last_done());
            prop_assert_eq!(offsets.first_open(), model.first_open());
            for through in [start - 1, start + 20, next - 3, next - 1, i64::MAX] {
                let expected = model.0.iter().filter(|(offset, ended)| **offset <= through && ended.is_none());
                prop_assert_eq!(offsets.in_flight_through(through), expected.count() as u64);
            }
            prop_assert_eq!(offsets.failures(), model.count(|ended| *ended == Some(OffsetOutcome::Failed)));
            prop_assert_eq!(offsets.span(), (model.0.len() - model.prefix().count()) as u64);
            prop_assert_eq!(offsets.done_beyond(), offsets.span() - offsets.in_flight() - offsets.failures());
        }
    }

    #[test]
    fn any_order_of_settlements_commits_everything(
        lengths in prop::collection::vec((0..3_i64, 1..150_usize), 1..5),
        seed: u64,
    ) {
        let mut offsets = Offsets::new();
        let mut all = Vec::new();
        let mut next = 0;
        for (gap, n) in lengths {
            next += gap;
            offsets.delivered_run(next, n)?;
            all.extend((next..).take(n));
            next += i64::try_from(n).expect("a short run");
        }
        // A shuffle by the seed.
        all.sort_by_key(|offset| (offset.cast_unsigned() ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for &offset in &all {
            prop_assert!(offsets.commit().is_none_or(|commit| commit <= offset));
            offsets.settled(offset, OffsetOutcome::Done)?;
        }
        prop_assert_eq!(offsets.commit(), Some(next));
        prop_assert_eq!((offsets.span(), offsets.in_flight()), (0, 0));
    }
}
