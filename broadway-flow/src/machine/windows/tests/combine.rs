//! Events that are aggregated before the partition.

use proptest::prelude::*;

use super::{
    super::{Combiner, Owned},
    collect::Collect,
    drive::{Machine, Step, same, steps, windows},
    oracle::{Oracle, Out},
    property::{cases, overlapping, separate},
    time::ms,
};
use crate::{
    At, LateFiring, Timestamp, Windows,
    epoch::Epoch,
    window::{EarlyFiring, WindowKind},
};

type Part = Combiner<i64, u8, Collect<true>>;

fn flush(combiner: &mut Part, machine: &mut Machine<true>, upto: Option<Timestamp>) -> Vec<Out> {
    let mut out = Vec::new();
    combiner.drain(upto, &mut |key, pane, state, since| {
        let _ = machine.merge(key, pane, state, since, &mut |fired| out.push(fired));
    });
    out
}

fn run(windows: &Windows<i64>, steps: &[Step], states_max: usize) -> Result<(), TestCaseError> {
    let mut combiners = [0, 1].map(|_| Part::new(windows, Collect, states_max));
    let mut machine = Machine::new(windows, Collect, None);
    let mut oracle = Oracle::new(windows.clone(), None);
    for (event, step) in (0..).zip(steps) {
        match *step {
            Step::Add { key, time, since } => {
                let since = Epoch(since);
                let (fired, _) = oracle.add(key, event, time, since);
                prop_assert_eq!(fired, Vec::new());
                let time = Timestamp::from_millis(time);
                let combiner = &mut combiners[(event % 2) as usize];
                if combiner.add(Owned(key), event, At { time, since }) {
                    prop_assert_eq!(combiner.len(), states_max);
                    prop_assert_eq!(flush(combiner, &mut machine, None), Vec::new());
                    prop_assert_eq!((combiner.len(), combiner.since()), (0, Epoch::NONE));
                }
            }
            Step::Watermark(to) => {
                let expected = oracle.watermark(to);
                let to = Timestamp::from_millis(to);
                for combiner in &mut combiners {
                    // The end of time ends the global window, too.
                    let upto = (to < Timestamp::MAX).then_some(to);
                    prop_assert_eq!(flush(combiner, &mut machine, upto), Vec::new());
                }
                let mut found = Vec::new();
                machine.watermark(to, &mut |fired| found.push(fired));
                same(found, expected)?;
            }
            _ => {}
        }
    }
    for combiner in &mut combiners {
        prop_assert_eq!(flush(combiner, &mut machine, None), Vec::new());
    }
    let mut found = Vec::new();
    machine.finish(&mut |fired| found.push(fired));
    same(found, oracle.finish())?;
    prop_assert_eq!(machine.len(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn combined_events_have_the_results_of_single_ones(
        windows in windows(prop_oneof![separate(), overlapping()]),
        steps in steps(true),
        states_max in 1..20_usize,
    ) {
        let mut windows = windows;
        windows.early = EarlyFiring::Never;
        windows.late = LateFiring::AtClose;
        windows.empty = false;
        if matches!(windows.kind, WindowKind::Periodic { .. }) {
            windows.kind = WindowKind::Global;
        }
        run(&windows, &steps, states_max)?;
    }
}

#[test]
fn only_complete_panes_leave_before_the_end() {
    let drain = |windows: &Windows<i64>, upto: Option<i64>| {
        let mut combiner = Part::new(windows, Collect, 10);
        for (event, time) in [(1_i64, 19), (2, 5), (3, 6), (4, 10)] {
            let time = Timestamp::from_millis(time);
            let since = Epoch(event.unsigned_abs());
            assert!(!combiner.add(Owned(7), event, At { time, since }));
        }
        let mut found = Vec::new();
        let upto = upto.map(Timestamp::from_millis);
        combiner.drain(upto, &mut |_, pane, state, since| {
            found.push((pane, state, since.0));
        });
        (found, combiner.len())
    };
    let fixed = Windows::sliding(ms(10), ms(10));
    let first = (0, vec![2, 3], 2);
    assert_eq!(drain(&fixed, Some(9)), (vec![], 2));
    assert_eq!(drain(&fixed, Some(10)), (vec![first.clone()], 1));
    assert_eq!(drain(&fixed, None), (vec![first, (1, vec![1, 4], 1)], 0));
    let sliding = Windows::sliding(ms(15), ms(10));
    assert_eq!(drain(&sliding, Some(15)).1, 1);
    let global = Windows::global();
    assert_eq!(drain(&global, Some(i64::MAX)), (vec![], 1));
    assert_eq!(drain(&global, None), (vec![(0, vec![1, 2, 3, 4], 1)], 0));
}
