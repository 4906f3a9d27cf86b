#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! Groups, by the cases that have a name and against a naive model.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::leases::Leases;

fn tokens(n: usize) -> Vec<Token> {
    let (mut leases, now) = (
        Leases::new(Duration::from_secs(1), Duration::from_secs(1)),
        Instant::now(),
    );
    (0..n)
        .map(|_| leases.admit(String::new(), None, now))
        .collect()
}

fn group_of(n: usize) -> (Groups, Arc<str>, Vec<Token>) {
    let mut groups = Groups::default();
    let (name, tokens) = (groups.name("g"), tokens(n));
    for token in &tokens {
        groups.admit(name.clone(), *token);
    }
    (groups, name, tokens)
}

#[test]
fn nothing_is_deleted_past_an_unfinished_message() {
    let (mut groups, name, tokens) = group_of(3);
    let delete = Some(Ending::Delete);
    assert!(groups.settle(&name, tokens[2], delete).ended.is_empty());
    assert!(groups.settle(&name, tokens[1], delete).ended.is_empty());
    let all = groups.settle(&name, tokens[0], delete);
    let expected: Vec<_> = tokens
        .iter()
        .map(|token| (*token, Ending::Delete))
        .collect();
    assert_eq!(all.ended, expected);
    assert!(groups.groups.is_empty());
}

#[test]
fn a_failed_head_sends_those_after_it_back() {
    let (mut groups, name, tokens) = group_of(3);
    groups.settle(&name, tokens[2], Some(Ending::Delete));
    let failed = groups.settle(&name, tokens[0], Some(Ending::Leave));
    assert_eq!(
        failed.ended,
        [(tokens[0], Ending::Leave), (tokens[2], Ending::Visible(0))]
    );
    assert_eq!(failed.broken, [tokens[1]]);
    // It was in work and succeeds: all the same it comes again after the head.
    let late = groups.settle(&name, tokens[1], Some(Ending::Delete));
    assert_eq!(late.ended, [(tokens[1], Ending::Visible(0))]);
    assert!(groups.groups.is_empty());
}

#[test]
fn those_before_a_failed_message_are_not_its_business() {
    let (mut groups, name, tokens) = group_of(3);
    let failed = groups.settle(&name, tokens[1], Some(Ending::Visible(5)));
    assert_eq!(failed.ended, [(tokens[1], Ending::Visible(5))]);
    assert_eq!(failed.broken, [tokens[2]]);
    let head = groups.settle(&name, tokens[0], Some(Ending::Delete));
    assert_eq!(head.ended, [(tokens[0], Ending::Delete)]);
}

#[test]
fn a_lost_message_breaks_its_group_and_says_nothing_itself() {
    let (mut groups, name, tokens) = group_of(2);
    let lost = groups.settle(&name, tokens[0], None);
    assert_eq!((lost.ended, lost.broken), (vec![], vec![tokens[1]]));
    let late = groups.settle(&name, tokens[0], Some(Ending::Delete));
    assert_eq!(late.ended, [(tokens[0], Ending::Visible(0))]);
}

fn ending() -> impl Strategy<Value = Option<Ending>> {
    prop_oneof![
        6 => Just(Some(Ending::Delete)),
        1 => Just(Some(Ending::Leave)),
        1 => Just(Some(Ending::Visible(3))),
        1 => Just(None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// In whatever order messages end: what is deleted is a prefix of what was received, each message ends once, and who was
    /// broken off is never deleted.
    #[test]
    fn deletes_are_a_prefix(
        order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
        endings in proptest::collection::vec(ending(), 8),
    ) {
        let (mut groups, name, tokens) = group_of(8);
        let place = |token: Token| tokens.iter().position(|other| *other == token).unwrap();
        let (mut deleted, mut ended, mut broken) = (Vec::new(), Vec::new(), Vec::new());
        for n in order {
            let consequences = groups.settle(&name, tokens[n], endings[n]);
            for (token, ending) in consequences.ended {
                prop_assert!(!ended.contains(&place(token)));
                ended.push(place(token));
                if ending == Ending::Delete {
                    deleted.push(place(token));
                }
            }
            broken.extend(consequences.broken.into_iter().map(place));
        }
        prop_assert!(deleted.iter().copied().eq(0..deleted.len()));
        let first_failure = endings.iter().position(|ending| *ending != Some(Ending::Delete)).unwrap_or(8);
        prop_assert_eq!(deleted.len(), first_failure);
        prop_assert!(broken.iter().all(|n| !deleted.contains(n)));
        let said = endings.iter().filter(|ending| ending.is_some()).count();
        prop_assert_eq!(ended.len(), said);
        prop_assert!(groups.groups.is_empty());
    }
}
