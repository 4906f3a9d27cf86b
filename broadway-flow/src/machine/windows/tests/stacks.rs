//! The two stacks against a map of panes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    super::{part::Part, stacks::Stacks},
    property::cases,
};
use crate::epoch::Epoch;

#[derive(Debug, Clone)]
enum Step {
    Insert {
        pane: i64,
        since: u64,
    },
    RemoveBelow(i128),
    /// Adds what another queue has.
    Join(Vec<(i64, u64)>),
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    let pane = 0..40_i64;
    prop_oneof![
        6 => (pane.clone(), 0..9_u64).prop_map(|(pane, since)| Step::Insert { pane, since }),
        3 => (0..45_i128).prop_map(Step::RemoveBelow),
        1 => proptest::collection::vec((pane, 0..9_u64), 0..5).prop_map(Step::Join),
        1 => Just(Step::Restore),
    ]
}

#[allow(clippy::ptr_arg)]
fn merge(state: &mut Vec<i64>, other: Vec<i64>) {
    state.extend(other);
}

type Model = BTreeMap<i64, (Vec<i64>, Epoch)>;

fn insert(stacks: &mut Stacks<Vec<i64>>, model: &mut Model, pane: i64, (event, since): (i64, u64)) {
    let since = Epoch(since);
    let part = Part {
        state: vec![event],
        since,
    };
    stacks.insert(pane, part, &merge);
    let (events, oldest) = model.entry(pane).or_insert((Vec::new(), Epoch::NONE));
    events.push(event);
    *oldest = since.min(*oldest);
}

fn owned(stack: Vec<(i64, Part<&Vec<i64>>)>) -> Vec<(i64, Part<Vec<i64>>)> {
    let parts = stack.into_iter();
    parts
        .map(|(pane, part)| {
            let state = part.state.clone();
            (
                pane,
                Part {
                    state,
                    since: part.since,
                },
            )
        })
        .collect()
}

fn apply(stacks: &mut Stacks<Vec<i64>>, model: &mut Model, step: Step, event: i64) {
    match step {
        Step::Insert { pane, since } => insert(stacks, model, pane, (event, since)),
        Step::RemoveBelow(pane) => {
            stacks.remove_below(pane, &merge);
            model.retain(|own, _| i128::from(*own) >= pane);
        }
        Step::Join(panes) => {
            let mut other = Stacks::default();
            for (n, (pane, since)) in (0..).zip(panes) {
                insert(&mut other, model, pane, (event + n, since));
                if n == 2 {
                    other.remove_below(i128::from(i64::MIN), &merge);
                }
            }
            stacks.join(other, &merge);
        }
        Step::Restore => {
            let [front, back] = stacks.as_saved();
            *stacks = Stacks::restore(owned(front), owned(back), &merge);
        }
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn the_total_is_the_merge_of_all_panes(steps in proptest::collection::vec(step(), 0..40)) {
        let (mut stacks, mut model) = (Stacks::default(), Model::new());
        for (n, step) in (0..).zip(steps) {
            apply(&mut stacks, &mut model, step, n * 10);
            let mut all: Vec<_> = model.values().flat_map(|(events, _)| events.clone()).collect();
            all.sort_unstable();
            let total = stacks.total(&merge);
            let mut found = total.as_ref().map(|part| part.state.clone()).unwrap_or_default();
            found.sort_unstable();
            prop_assert_eq!(found, all);
            let since = model.values().map(|(_, since)| *since).min().unwrap_or(Epoch::NONE);
            prop_assert_eq!(total.map_or(Epoch::NONE, |part| part.since), since);
            prop_assert_eq!(stacks.since(), since);
            prop_assert_eq!(stacks.clone().into_total(&merge), stacks.total(&merge));
            prop_assert_eq!(stacks.are_below(20), model.keys().all(|pane| *pane < 20));
            prop_assert_eq!(stacks.first(), model.keys().next().copied());
            prop_assert_eq!(stacks.len(), model.len());
        }
    }
}

#[test]
fn a_firing_costs_a_constant_number_of_merges() {
    let merges = std::cell::Cell::new(0);
    let merge = |sum: &mut i64, other: i64| {
        merges.set(merges.get() + 1);
        *sum += other;
    };
    let mut stacks = Stacks::default();
    let (n, size) = (10_000, 1_000);
    for pane in 0..n {
        let part = Part {
            state: 1,
            since: Epoch::NONE,
        };
        stacks.insert(pane, part, &merge);
        stacks.remove_below(i128::from(pane - size + 1), &merge);
        let total = stacks.total(&merge).map(|part| part.state);
        assert_eq!(total, Some(size.min(pane + 1)));
    }
    assert!(merges.get() <= 3 * n, "{} merges", merges.get());
}
