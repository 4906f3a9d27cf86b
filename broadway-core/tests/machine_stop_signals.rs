//! Signals against a list of when they came.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::{Duration, Instant};

use broadway_core::machine::stop_signals::{StopRequest, StopSignals, TOGETHER};
use proptest::prelude::*;

#[test]
fn two_signals_in_one_instant_are_one_request() {
    let (mut signals, now) = (StopSignals::default(), Instant::now());
    assert_eq!(signals.caught(now), StopRequest::Drain);
    assert_eq!(signals.caught(now), StopRequest::Nothing);
    let just_before = now + TOGETHER - Duration::from_nanos(1);
    assert_eq!(signals.caught(just_before), StopRequest::Nothing);
    assert_eq!(signals.caught(now + TOGETHER), StopRequest::Abort);
}

proptest! {
    #[test]
    fn the_first_drains_and_the_first_after_half_a_second_aborts(
        gaps in prop::collection::vec(0..700_u64, 1..20),
    ) {
        let (mut signals, start) = (StopSignals::default(), Instant::now());
        let mut after = 0;
        let times: Vec<u64> = std::iter::once(0).chain(gaps.into_iter().map(|gap| { after += gap; after })).collect();
        let abort = times.iter().position(|time| *time >= 500);
        for (index, time) in times.iter().enumerate() {
            let expected = match index {
                0 => StopRequest::Drain,
                _ if Some(index) == abort => StopRequest::Abort,
                _ => StopRequest::Nothing,
            };
            prop_assert_eq!(signals.caught(start + Duration::from_millis(*time)), expected);
        }
    }
}
