//! Pauses after empty answers, against a model that doubles step by step.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use broadway_core::machine::empty_deliveries::{EmptyDeliveries, PAUSE_MAX, PAUSE_MIN};
use proptest::prelude::*;

#[test]
fn pauses_stay_the_longest_for_any_number_of_empty_answers() {
    let mut answers = EmptyDeliveries::default();
    let last = (0..100_000).map(|_| answers.empty()).last().unwrap();
    assert_eq!((last.length, last.is_news), (PAUSE_MAX, false));
}

proptest! {
    #[test]
    fn pauses_double_up_to_the_longest_and_are_reported_once(
        answers in prop::collection::vec(prop::bool::weighted(0.9), 0..200),
    ) {
        let mut machine = EmptyDeliveries::default();
        let (mut next, mut was_reported) = (PAUSE_MIN, false);
        for is_empty in answers {
            if !is_empty {
                machine.filled();
                next = PAUSE_MIN;
                continue;
            }
            let pause = machine.empty();
            prop_assert_eq!(pause.length, next);
            prop_assert_eq!(pause.is_news, next == PAUSE_MAX && !was_reported);
            was_reported |= pause.is_news;
            next = (next * 2).min(PAUSE_MAX);
        }
    }
}
