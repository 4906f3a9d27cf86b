//! A watch against a model that remembers every look.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::{Duration, Instant};

use broadway_core::machine::stall_detector::StallDetector;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_that_does_not_come_back_is_told_of_less_and_less_often() {
    let start = Instant::now();
    let mut watch = StallDetector::new(SECOND * 10, start);
    let told: Vec<u32> = (0..100)
        .filter(|at| watch.observe(7, start + SECOND * *at).is_some())
        .collect();
    assert_eq!(told, [10, 20, 40, 80]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn only_a_turn_of_that_length_is_told_and_for_as_long_as_it_was_seen(
        looks in prop::collection::vec((0..4_u64, 1..5_u32), 1..60),
        after in 1..10_u32,
    ) {
        let start = Instant::now();
        let mut watch = StallDetector::new(SECOND * after, start);
        let (mut now, mut seen) = (start, Vec::new());
        for (turns, seconds) in looks {
            now += SECOND * seconds;
            seen.push((turns, now));
            let told = watch.observe(turns, now);
            let same = seen.iter().rev().take_while(|(other, _)| *other == turns);
            let blocked = now - same.last().unwrap().1;
            if let Some(told) = told {
                prop_assert!(turns % 2 == 1);
                prop_assert_eq!(told, blocked);
            }
            if turns % 2 == 0 || blocked < SECOND * after {
                prop_assert_eq!(told, None);
            }
        }
    }
}
