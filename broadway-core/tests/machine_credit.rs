//! Credit against a list with one entry for each message that was asked for.
#![allow(clippy::unwrap_used)]

use broadway_core::machine::credit::Credit;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Ask,
    Consumed(usize),
    Cancelled(usize),
    Returned(usize),
    Resize(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Ask),
        4 => (0..30_usize).prop_map(Step::Consumed),
        1 => (0..30_usize).prop_map(Step::Cancelled),
        1 => (0..10_usize).prop_map(Step::Returned),
        1 => (0..40_usize, 0..40_usize).prop_map(|(max, min)| Step::Resize(max, min)),
    ]
}

fn limits() -> impl Strategy<Value = (usize, usize)> {
    (1..40_usize).prop_flat_map(|max| (Just(max), 0..max))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn asks_are_those_of_a_list_of_tokens((mut max, mut min) in limits(), steps in prop::collection::vec(step(), 0..40)) {
        let mut credit = Credit::new(max, min).unwrap();
        let mut tokens: Vec<()> = Vec::new();
        for step in steps {
            match step {
                Step::Ask => {
                    let mut asked = 0;
                    if tokens.len() <= min {
                        while tokens.len() < max {
                            tokens.push(());
                            asked += 1;
                        }
                    }
                    prop_assert_eq!(credit.request(), asked);
                }
                Step::Consumed(n) => {
                    credit.consumed(n);
                    tokens.truncate(tokens.len().saturating_sub(n));
                }
                Step::Cancelled(n) => {
                    credit.cancelled(n);
                    tokens.truncate(tokens.len().saturating_sub(n));
                }
                Step::Returned(n) => {
                    credit.returned(n);
                    tokens.extend((0..n).map(|_| ()));
                }
                Step::Resize(new_max, new_min) => {
                    let valid = new_min < new_max;
                    prop_assert_eq!(credit.resize(new_max, new_min).is_ok(), valid);
                    if valid {
                        (max, min) = (new_max, new_min);
                    }
                }
            }
            prop_assert_eq!(credit.pending(), tokens.len());
            prop_assert_eq!(credit.chunk(), max - min);
        }
    }

    #[test]
    fn a_consumer_never_starves_and_never_has_more_than_max((max, min) in limits(), lists in prop::collection::vec(1..50_usize, 1..40)) {
        let mut credit = Credit::new(max, min).unwrap();
        let mut at_producer = credit.request();
        for list in lists {
            // The producer sends some of what it owes; the consumer works through it in pieces.
            let mut arrived = list.min(at_producer);
            at_producer -= arrived;
            while arrived > 0 {
                let piece = arrived.min(credit.chunk());
                arrived -= piece;
                credit.consumed(piece);
                at_producer += credit.request();
                prop_assert!(at_producer + arrived <= max);
            }
            prop_assert!(at_producer > 0, "nobody would ever ask again");
        }
    }
}
