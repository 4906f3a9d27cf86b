#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! Leases against a naive model, and the cases that have a name.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const V: Duration = Duration::from_secs(10);
const HOLD: Duration = Duration::from_secs(35);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn leases() -> (Leases, Instant) {
    (Leases::new(V, HOLD), Instant::now())
}

fn due(leases: &mut Leases, now: Instant) -> (Vec<Extension>, Vec<Token>) {
    let (mut extensions, mut lost) = (Vec::new(), Vec::new());
    leases.due(now, usize::MAX, &mut extensions, &mut lost);
    (extensions, lost)
}

#[test]
fn a_message_is_extended_at_half_of_its_time() {
    let (mut leases, start) = leases();
    let token = leases.admit("a".to_owned(), None, start);
    assert_eq!(leases.next_due(), Some(start + V / 2));
    assert_eq!(due(&mut leases, start + secs(4)), (vec![], vec![]));
    let (extensions, _) = due(&mut leases, start + secs(5));
    assert_eq!((extensions[0].token, extensions[0].seconds), (token, 10));
    let (sent, now) = (start + secs(5), start + secs(6));
    leases.extended(&extensions[0], Answer::Extended, sent, now);
    // Counted from when it was sent: the queue may have begun then.
    assert_eq!(leases.next_due(), Some(sent + V / 2));
}

#[test]
fn an_ending_waits_for_the_extension_that_is_on_its_way() {
    let (mut leases, start) = leases();
    let token = leases.admit("a".to_owned(), None, start);
    let (extensions, _) = due(&mut leases, start + secs(5));
    let ending = Ending::Visible(0);
    let now = start + secs(6);
    assert_eq!(leases.settle(token, ending, now), Settling::Later);
    assert_eq!(leases.extending(), 1);
    let (parting, is_lost) = leases.extended(&extensions[0], Answer::Failed, now, now);
    assert_eq!(parting.unwrap().ending, ending);
    assert!(!is_lost && leases.extending() == 0 && leases.next_due().is_none());
}

#[test]
fn nothing_is_extended_past_the_most_that_it_may_be_held() {
    let (mut leases, start) = leases();
    let token = leases.admit("a".to_owned(), None, start);
    let mut asked = Vec::new();
    let lost = loop {
        let now = leases.next_due().unwrap();
        let (extensions, lost) = due(&mut leases, now);
        for extension in &extensions {
            assert!(now + secs(extension.seconds.into()) <= start + HOLD);
            asked.push(extension.seconds);
            leases.extended(extension, Answer::Extended, now, now);
        }
        if !lost.is_empty() {
            assert_eq!(now, start + HOLD);
            break lost;
        }
    };
    assert_eq!(lost, [token]);
    assert_eq!(asked, [10; 5]);
    assert!(leases.is_stale(token));
    let now = start + HOLD;
    assert_eq!(leases.settle(token, Ending::Delete, now), Settling::Late);
}

#[test]
fn the_last_extension_is_cut_to_what_is_left() {
    let (mut leases, start) = (Leases::new(V, secs(13)), Instant::now());
    leases.admit("a".to_owned(), None, start);
    let now = start + secs(5);
    let (extensions, _) = due(&mut leases, now);
    assert_eq!(extensions[0].seconds, 8);
}

#[test]
fn a_message_that_could_not_be_extended_is_tried_again_until_it_is_lost() {
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
        let answer = leases.extended(&extensions[0], Answer::Failed, now, now);
        assert_eq!(answer, (None, false));
    }
    assert!(tries > 2);
}

#[test]
fn a_message_that_the_queue_says_is_gone_is_lost_at_once() {
    let (mut leases, start) = leases();
    let token = leases.admit("a".to_owned(), None, start);
    let now = start + secs(5);
    let (extensions, _) = due(&mut leases, now);
    let (parting, is_lost) = leases.extended(&extensions[0], Answer::Gone, now, now);
    assert!(parting.is_none() && is_lost && leases.is_stale(token));
}

#[test]
fn a_place_that_is_taken_again_does_not_answer_to_its_old_token() {
    let (mut leases, start) = leases();
    let old = leases.admit("a".to_owned(), None, start);
    assert!(matches!(
        leases.settle(old, Ending::Delete, start),
        Settling::Now(_)
    ));
    let new = leases.admit("b".to_owned(), None, start);
    assert!(leases.is_stale(old) && !leases.is_stale(new));
    assert_eq!(leases.settle(old, Ending::Delete, start), Settling::Late);
}

#[derive(Debug, Clone)]
enum Action {
    Admit,
    Settle(usize),
    Pass(u64),
    Due(usize),
    Answer(usize, Answer),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let answer = prop_oneof![
        4 => Just(Answer::Extended),
        2 => Just(Answer::Failed),
        1 => Just(Answer::Gone),
    ];
    let action = prop_oneof![
        3 => Just(Action::Admit),
        3 => any::<usize>().prop_map(Action::Settle),
        4 => (0..6_000_u64).prop_map(Action::Pass),
        4 => (1..4_usize).prop_map(Action::Due),
        4 => (any::<usize>(), answer).prop_map(|(n, answer)| Action::Answer(n, answer)),
    ];
    proptest::collection::vec(action, 1..200)
}

/// What is known of a message without any bookkeeping of times that are due.
#[derive(Debug, Clone)]
struct Naive {
    received: Instant,
    /// Until when the queue certainly hides it.
    hidden_until: Instant,
    extending: bool,
    /// Ended while it was extended.
    ended: bool,
    lost: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: each message leaves once, never while an extension is on its way, never when the
    /// queue may have shown it to others; no extension reaches past the limit; and what is hidden no more is found out.
    #[test]
    fn leases_agree_with_a_naive_model(actions in actions()) {
        let (mut leases, mut now) = leases();
        let mut model: BTreeMap<usize, (Token, Naive)> = BTreeMap::new();
        let mut on_their_way: Vec<(usize, Extension, Instant)> = Vec::new();
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
                    match leases.settle(*token, Ending::Delete, now) {
                        Settling::Later => {
                            prop_assert!(naive.extending);
                            naive.ended = true;
                        }
                        Settling::Now(parting) => {
                            prop_assert!(!naive.extending && !naive.lost && now < naive.hidden_until);
                            prop_assert_eq!(parting.handle, id.to_string());
                            model.remove(&id);
                        }
                        Settling::Late => {
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
                        prop_assert!(end <= naive.received + HOLD && end > naive.hidden_until);
                        naive.extending = true;
                        on_their_way.push((id, extension, now));
                    }
                }
                Action::Answer(n, answer) => {
                    if on_their_way.is_empty() { continue; }
                    let n = n % on_their_way.len();
                    let (id, extension, sent) = on_their_way.swap_remove(n);
                    let (parting, is_lost) = leases.extended(&extension, answer, sent, now);
                    let naive = &mut model.get_mut(&id).unwrap().1;
                    naive.extending = false;
                    match answer {
                        Answer::Extended => naive.hidden_until = sent + secs(extension.seconds.into()),
                        Answer::Gone => naive.hidden_until = sent,
                        Answer::Failed => {}
                    }
                    prop_assert_eq!(is_lost, now >= naive.hidden_until);
                    prop_assert_eq!(parting.is_some(), naive.ended && !is_lost);
                    naive.lost = is_lost;
                    if naive.ended { model.remove(&id); }
                }
            }
            prop_assert_eq!(leases.extending(), on_their_way.len());
            for (token, naive) in model.values() {
                prop_assert_eq!(leases.is_stale(*token), naive.lost);
                // Whoever is neither lost nor being extended will be looked at before it is too late.
                if !naive.lost && !naive.extending {
                    prop_assert!(leases.next_due().unwrap() <= naive.hidden_until);
                }
            }
        }
    }
}
