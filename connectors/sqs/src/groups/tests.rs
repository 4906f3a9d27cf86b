#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! Groups: named cases, and a comparison with a naive model.

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
    let delete = Some(AckAction::Delete);
    assert!(groups.settle(&name, tokens[2], delete).actions.is_empty());
    assert!(groups.settle(&name, tokens[1], delete).actions.is_empty());
    let all = groups.settle(&name, tokens[0], delete);
    let expected: Vec<_> = tokens
        .iter()
        .map(|token| (*token, AckAction::Delete))
        .collect();
    assert_eq!(all.actions, expected);
    assert!(groups.groups.is_empty());
}

#[test]
fn a_failed_head_returns_the_messages_after_it() {
    let (mut groups, name, tokens) = group_of(3);
    groups.settle(&name, tokens[2], Some(AckAction::Delete));
    let failed = groups.settle(&name, tokens[0], Some(AckAction::Leave));
    assert_eq!(
        failed.actions,
        [
            (tokens[0], AckAction::Leave),
            (tokens[2], AckAction::VisibleAfter(0))
        ]
    );
    assert_eq!(failed.invalidated, [tokens[1]]);
    // It succeeds later, and is returned all the same: it is delivered again after the head.
    let late = groups.settle(&name, tokens[1], Some(AckAction::Delete));
    assert_eq!(late.actions, [(tokens[1], AckAction::VisibleAfter(0))]);
    assert!(groups.groups.is_empty());
}

#[test]
fn a_failed_message_does_not_affect_earlier_ones() {
    let (mut groups, name, tokens) = group_of(3);
    let failed = groups.settle(&name, tokens[1], Some(AckAction::VisibleAfter(5)));
    assert_eq!(failed.actions, [(tokens[1], AckAction::VisibleAfter(5))]);
    assert_eq!(failed.invalidated, [tokens[2]]);
    let head = groups.settle(&name, tokens[0], Some(AckAction::Delete));
    assert_eq!(head.actions, [(tokens[0], AckAction::Delete)]);
}

#[test]
fn a_lost_message_invalidates_later_ones_and_needs_no_request() {
    let (mut groups, name, tokens) = group_of(2);
    let lost = groups.settle(&name, tokens[0], None);
    assert_eq!((lost.actions, lost.invalidated), (vec![], vec![tokens[1]]));
    let late = groups.settle(&name, tokens[0], Some(AckAction::Delete));
    assert_eq!(late.actions, [(tokens[0], AckAction::VisibleAfter(0))]);
}

fn action() -> impl Strategy<Value = Option<AckAction>> {
    prop_oneof![
        6 => Just(Some(AckAction::Delete)),
        1 => Just(Some(AckAction::Leave)),
        1 => Just(Some(AckAction::VisibleAfter(3))),
        1 => Just(None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// In whatever order messages are settled: the deleted ones are a prefix of the received ones, each message has one action, and
    /// invalidated ones are never deleted.
    #[test]
    fn deletes_are_a_prefix(
        order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
        actions in proptest::collection::vec(action(), 8),
    ) {
        let (mut groups, name, tokens) = group_of(8);
        let index = |token: Token| tokens.iter().position(|other| *other == token).unwrap();
        let (mut deleted, mut acted, mut invalidated) = (Vec::new(), Vec::new(), Vec::new());
        for n in order {
            let effects = groups.settle(&name, tokens[n], actions[n]);
            for (token, action) in effects.actions {
                prop_assert!(!acted.contains(&index(token)));
                acted.push(index(token));
                if action == AckAction::Delete {
                    deleted.push(index(token));
                }
            }
            invalidated.extend(effects.invalidated.into_iter().map(index));
        }
        prop_assert!(deleted.iter().copied().eq(0..deleted.len()));
        let first_failure = actions.iter().position(|action| *action != Some(AckAction::Delete)).unwrap_or(8);
        prop_assert_eq!(deleted.len(), first_failure);
        prop_assert!(invalidated.iter().all(|n| !deleted.contains(n)));
        let settled = actions.iter().filter(|action| action.is_some()).count();
        prop_assert_eq!(acted.len(), settled);
        prop_assert!(groups.groups.is_empty());
    }
}
