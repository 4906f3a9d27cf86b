#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! Leases: named cases, and a comparison with a naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const V: Duration = Duration::from_secs(10);
const LEASE_MAX: Duration = Duration::from_secs(35);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn leases() -> (Leases, Instant) {
    (Leases::new(V, LEASE_MAX), Instant::now())
}

fn due(leases: &mut Leases, now: Instant) -> (Vec<LeaseExtension>, Vec<Token>) {
    let (mut extensions, mut lost) = (Vec::new(), Vec::new());
    leases.due(now, usize::MAX, &mut extensions, &mut lost);
    (extensions, lost)
}

#[test]
fn a_lease_is_extended_at_half_of_its_time() {
    let (mut leases, start) = leases();
    let token = leases.admit("a".to_owned(), None, start);
    assert_eq!(leases.next_due(), Some(start + V / 2));
    assert_eq!(due(&mut leases, start + secs(4)), (vec![], vec![]));
    let (extensions, _) = due(&mut leases, start + secs(5));
    assert_eq!((extensions[0].token, extensions[0].seconds), (token, 10));
    let (sent, now) = (start + secs(5), start + secs(6));
    leases.extended(&extensions[0], ExtensionOutcome::Extended, sent, now);
    // Counted from when it was sent: the queue may have applied it then.
    assert_eq!(leases.next_due(), Some(sent + V / 2));
}

#[test]
fn an_action_waits_for_the_extension_in_flight() {
    let (mut leases, start) = leases();
    let token = leases.admit("a".to_owned(), None, start);
    let (extensions, _) = due(&mut leases, start + secs(5));
    let action = AckAction::VisibleAfter(0);
    let now = start + secs(6);
    assert_eq!(leases.settle(token, action, now), SettleResult::Deferred);
    assert_eq!(leases.extending(), 1);
    let (ack, is_lost) = leases.extended(&extensions[0], ExtensionOutcome::Failed, now, now);
    assert_eq!(ack.unwrap().action, action);
    assert!(!is_lost && leases.extending() == 0 && leases.next_due().is_none());
}

#[test]
fn no_lease_is_extended_past_its_maximum() {
    let (mut leases, start) = leases();
    let token = leases.admit("a".to_owned(), None, start);
    let mut requested = Vec::new();
    let lost = loop {
        let now = leases.next_due().unwrap();
        let (extensions, lost) = due(&mut leases, now);
        for extension in &extensions {
            assert!(now + secs(extension.seconds.into()) <= start + LEASE_MAX);
            requested.push(extension.seconds);
            leases.extended(extension, ExtensionOutcome::Extended, now, now);
        }
        if !lost.is_empty() {
            assert_eq!(now, start + LEASE_MAX);
            break lost;
        }
    };
    assert_eq!(lost, [token]);
    assert_eq!(requested, [10; 5]);
    assert!(leases.is_stale(token));
    let now = start + LEASE_MAX;
    assert_eq!(
        leases.settle(token, AckAction::Delete, now),
        SettleResult::Late
    );
}

#[test]
fn the_last_extension_is_cut_to_the_rest() {
    let (mut leases, start) = (Leases::new(V, secs(13)), Instant::now());
    leases.admit("a".to_owned(), None, start);
    let now = start + secs(5);
    let (extensions, _) = due(&mut leases, now);
    assert_eq!(extensions[0].seconds, 8);
}

#[test]
fn a_failed_extension_is_retried_until_the_lease_is_lost() {
    let (mut leases, start) = leases();
    let token = leases.admit("a".to_owned(), None, start);
    let mut tries = 0;
    loop {
        let now = leases.next_due().unwrap();
        let (extensions, lost) = due(&mut leases, now);
        if lost == [token] {
            assert_eq!(now, start + V);
            break;
        }
        tries += 1;
        let outcome = leases.extended(&extensions[0], ExtensionOutcome::Failed, now, now);
        assert_eq!(outcome, (None, false));
    }
    assert!(tries > 2);
}

#[test]
fn a_lease_that_the_queue_rejects_is_lost_at_once() {
    let (mut leases, start) = leases();
    let token = leases.admit("a".to_owned(), None, start);
    let now = start + secs(5);
    let (extensions, _) = due(&mut leases, now);
    let (ack, is_lost) = leases.extended(&extensions[0], ExtensionOutcome::NotOwned, now, now);
    assert!(ack.is_none() && is_lost && leases.is_stale(token));
}

#[test]
fn a_message_can_be_delayed_for_the_rest_of_its_time() {
    let (mut leases, start) = leases();
    let token = leases.admit("a".to_owned(), None, start);
    let total = secs(100);
    let delay_max = |leases: &Leases, after| leases.delay_max(token, total, start + after);
    assert_eq!(delay_max(&leases, Duration::ZERO), Some(total));
    let after = Duration::from_millis(1_500);
    assert_eq!(delay_max(&leases, after), Some(secs(98)), "whole seconds");
    assert_eq!(delay_max(&leases, V), None, "its lease has expired");
    let short = leases.delay_max(token, secs(2), start + after);
    assert_eq!(short, None, "less than a second is left");
    leases.invalidate(token);
    assert_eq!(delay_max(&leases, secs(1)), None, "it is returned anyway");
}

#[test]
fn a_reused_slot_does_not_accept_its_old_token() {
    let (mut leases, start) = leases();
    let old = leases.admit("a".to_owned(), None, start);
    assert!(matches!(
        leases.settle(old, AckAction::Delete, start),
        SettleResult::Ready(_)
    ));
    let new = leases.admit("b".to_owned(), None, start);
    assert!(leases.is_stale(old) && !leases.is_stale(new));
    assert_eq!(
        leases.settle(old, AckAction::Delete, start),
        SettleResult::Late
    );
}

#[derive(Debug, Clone)]
enum Action {
    Admit,
    Settle(usize),
    Pass(u64),
    Due(usize),
    Respond(usize, ExtensionOutcome),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let outcome = prop_oneof![
        4 => Just(ExtensionOutcome::Extended),
        2 => Just(ExtensionOutcome::Failed),
        1 => Just(ExtensionOutcome::NotOwned),
    ];
    let action = prop_oneof![
        3 => Just(Action::Admit),
        3 => any::<usize>().prop_map(Action::Settle),
        4 => (0..6_000_u64).prop_map(Action::Pass),
        4 => (1..4_usize).prop_map(Action::Due),
        4 => (any::<usize>(), outcome).prop_map(|(n, outcome)| Action::Respond(n, outcome)),
    ];
    proptest::collection::vec(action, 1..200)
}

/// What a model without due times knows of a message.
#[derive(Debug, Clone)]
struct Naive {
    received: Instant,
    /// Until when the queue hides it at least.
    hidden_until: Instant,
    extending: bool,
    /// Settled while it was extended.
    ended: bool,
    lost: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: each message has one action, never while an extension is in flight, never when the queue may
    /// have delivered it to others; no extension goes past the limit; and expired leases are noticed.
    #[test]
    fn leases_agree_with_a_naive_model(actions in actions()) {
        let (mut leases, mut now) = leases();
        let mut model: BTreeMap<usize, (Token, Naive)> = BTreeMap::new();
        let mut in_flight: Vec<(usize, LeaseExtension, Instant)> = Vec::new();
        let mut count = 0;
        for action in actions {
            match action {
                Action::Admit => {
                    let token = leases.admit(count.to_string(), None, now);
                    let naive = Naive { received: now, hidden_until: now + V, extending: false, ended: false, lost: false };
                    model.insert(count, (token, naive));
                    count += 1;
                }
                Action::Pass(millis) => now += Duration::from_millis(millis),
                Action::Settle(n) => {
                    let open: Vec<usize> = model.iter().filter(|(_, (_, naive))| !naive.ended).map(|(id, _)| *id).collect();
                    if open.is_empty() { continue; }
                    let id = open[n % open.len()];
                    let (token, naive) = model.get_mut(&id).unwrap();
                    match leases.settle(*token, AckAction::Delete, now) {
                        SettleResult::Deferred => {
                            prop_assert!(naive.extending);
                            naive.ended = true;
                        }
                        SettleResult::Ready(ack) => {
                            prop_assert!(!naive.extending && !naive.lost && now < naive.hidden_until);
                            prop_assert_eq!(ack.handle, id.to_string());
                            model.remove(&id);
                        }
                        SettleResult::Late => {
                            prop_assert!(!naive.extending && (naive.lost || now >= naive.hidden_until));
                            model.remove(&id);
                        }
                    }
                }
                Action::Due(max) => {
                    let (mut extensions, mut lost) = (Vec::new(), Vec::new());
                    leases.due(now, max, &mut extensions, &mut lost);
                    prop_assert!(extensions.len() <= max);
                    for token in lost {
                        let (_, naive) = model.values_mut().find(|(other, _)| *other == token).unwrap();
                        prop_assert!(!naive.lost && !naive.extending && now >= naive.hidden_until);
                        naive.lost = true;
                    }
                    for extension in extensions {
                        let id: usize = extension.handle.parse().unwrap();
                        let naive = &mut model.get_mut(&id).unwrap().1;
                        prop_assert!(!naive.lost && !naive.extending && now < naive.hidden_until);
                        let end = now + secs(extension.seconds.into());
                        prop_assert!(end <= naive.received + LEASE_MAX && end > naive.hidden_until);
                        naive.extending = true;
                        in_flight.push((id, extension, now));
                    }
                }
                Action::Respond(n, outcome) => {
                    if in_flight.is_empty() { continue; }
                    let n = n % in_flight.len();
                    let (id, extension, sent) = in_flight.swap_remove(n);
                    let (ack, is_lost) = leases.extended(&extension, outcome, sent, now);
                    let naive = &mut model.get_mut(&id).unwrap().1;
                    naive.extending = false;
                    match outcome {
                        ExtensionOutcome::Extended => naive.hidden_until = sent + secs(extension.seconds.into()),
                        ExtensionOutcome::NotOwned => naive.hidden_until = sent,
                        ExtensionOutcome::Failed => {}
                    }
                    prop_assert_eq!(is_lost, now >= naive.hidden_until);
                    prop_assert_eq!(ack.is_some(), naive.ended && !is_lost);
                    naive.lost = is_lost;
                    if naive.ended { model.remove(&id); }
                }
            }
            prop_assert_eq!(leases.extending(), in_flight.len());
            for (token, naive) in model.values() {
                prop_assert_eq!(leases.is_stale(*token), naive.lost);
                // A lease that is neither lost nor being extended is checked before it expires.
                if !naive.lost && !naive.extending {
                    prop_assert!(leases.next_due().unwrap() <= naive.hidden_until);
                }
            }
        }
    }
}
