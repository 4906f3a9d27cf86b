//! State of workers whose watermarks differ, loaded into one.

use proptest::prelude::*;

use super::{
    super::Owned,
    drive::{Machine, Step, load, same, steps, windows},
    oracle::Oracle,
    property::{cases, overlapping, separate, sessions},
    script::Script,
    time::ms,
};
use crate::{
    At, Timestamp, Windows,
    epoch::Epoch,
    window::{EarlyFiring, WindowKind},
};

/// Takes one worker to its watermark.
fn worker(windows: &Windows<i64>, steps: &[Step], odd: u8) -> (Machine<true>, Oracle) {
    let mut machine = Machine::new(windows, super::collect::Collect, None);
    let mut oracle = Oracle::new(windows.clone(), None);
    for (event, step) in (0..).zip(steps) {
        match *step {
            Step::Add { key, time, since } => {
                let (key, since) = (key * 2 + odd, Epoch(since));
                let at = At {
                    time: Timestamp::from_millis(time),
                    since,
                };
                oracle.add(key, event, time, since);
                let _ = machine.add(Owned(key), event, at, &mut |_| ());
            }
            Step::Watermark(to) => {
                oracle.watermark(to);
                machine.watermark(Timestamp::from_millis(to), &mut |_| ());
            }
            _ => {}
        }
    }
    (machine, oracle)
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn no_window_of_a_key_fires_twice_or_never(
        windows in windows(prop_oneof![separate(), overlapping(), sessions()]),
        first in steps(false),
        second in steps(false),
        watermarks in proptest::collection::vec(-20..90_i64, 0..8),
    ) {
        let mut windows = windows;
        windows.empty = false;
        windows.early = EarlyFiring::Never;
        if matches!(windows.kind, WindowKind::Periodic { .. }) {
            windows.kind = WindowKind::Global;
        }
        let (one, mut first) = worker(&windows, &first, 0);
        let (two, mut second) = worker(&windows, &second, 1);
        let mut machine: Machine<true> = load(&windows, &[one.save(), two.save()], |_| true);
        for to in watermarks {
            prop_assert_eq!(machine.since(), first.since().min(second.since()));
            let mut expected = first.watermark(to);
            expected.extend(second.watermark(to));
            let mut found = Vec::new();
            machine.watermark(Timestamp::from_millis(to), &mut |fired| found.push(fired));
            same(found, expected)?;
        }
        let mut expected = first.finish();
        expected.extend(second.finish());
        let mut found = Vec::new();
        machine.finish(&mut |fired| found.push(fired));
        same(found, expected)?;
        prop_assert_eq!(machine.len(), 0);
    }
}

#[test]
fn an_event_of_a_key_whose_windows_have_fired_is_in_the_windows_to_come() {
    for lateness in [0, 5] {
        let windows = Windows::sliding(ms(20), ms(10)).lateness(ms(lateness));
        let mut ahead = Script::new(&windows);
        ahead.events(&[(25, 1)]);
        ahead.watermark(30);
        ahead.expect(&["k 10..30 OnTime [1]"]);
        let mut behind = Script::new(&windows);
        behind.watermark(10);
        let mut script = Script::new(&windows);
        for one in [ahead, behind] {
            let saved = one.machine.save();
            assert_eq!(script.machine.load(&saved, |_| true), Ok(()));
        }
        script.watermark(15);
        assert_eq!(script.add("k", 26, 2), None);
        assert_eq!(script.add("new", 25, 3), None);
        if lateness > 0 {
            script.expect(&["k 10..30 Late [1, 2]"]);
        }
        script.watermark(30);
        script.expect(&["new 10..30 OnTime [3]"]);
        script.finish();
        script.expect_any_order(&["k 20..40 OnTime [1, 2]", "new 20..40 OnTime [3]"]);
    }
}
