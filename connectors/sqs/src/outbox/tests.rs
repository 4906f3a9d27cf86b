#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! What the outbox sends when.

use super::*;

const LONG: Duration = Duration::from_secs(600);

fn parting(handle: usize, ending: Ending, now: Instant) -> Parting {
    Parting {
        handle: handle.to_string(),
        ending,
        expires: now + LONG,
    }
}

fn with(n: usize, requests_max: usize) -> (Outbox, Instant) {
    let (mut outbox, now) = (Outbox::new(requests_max), Instant::now());
    for handle in 0..n {
        outbox.push(parting(handle, Ending::Delete, now), now);
    }
    (outbox, now)
}

#[test]
fn ten_go_at_once_and_fewer_after_a_moment() {
    let (mut outbox, now) = with(13, 8);
    assert!(outbox.is_ready(now));
    assert_eq!(outbox.next(now).unwrap().entries.len(), 10);
    assert_eq!(outbox.next(now), None);
    assert_eq!(outbox.next_at(), Some(now + LINGER));
    assert_eq!(outbox.next(now + LINGER).unwrap().entries.len(), 3);
    assert_eq!((outbox.next_at(), outbox.len()), (None, 13));
}

#[test]
fn deletes_and_returns_do_not_share_a_request_and_returns_go_first() {
    let (mut outbox, now) = with(3, 8);
    outbox.push(parting(3, Ending::Visible(0), now), now);
    outbox.hurry();
    let first = outbox.next(now).unwrap();
    assert!(!first.is_delete && first.entries.len() == 1);
    let second = outbox.next(now).unwrap();
    assert!(second.is_delete && second.entries.len() == 3);
}

#[test]
fn no_more_requests_are_made_than_may_be() {
    let (mut outbox, now) = with(40, 2);
    assert!(outbox.next(now).is_some() && outbox.next(now).is_some());
    assert!(outbox.next(now).is_none() && !outbox.is_ready(now));
    assert_eq!(outbox.next_at(), None);
    outbox.answered(10);
    assert!(outbox.next(now).is_some());
    assert_eq!(outbox.len(), 30);
}

#[test]
fn what_failed_goes_out_again_later_each_time_and_not_past_its_lease() {
    let (mut outbox, start) = with(1, 8);
    outbox.hurry();
    let mut entry = outbox.next(start).unwrap().entries.remove(0);
    outbox.answered(1);
    entry.parting.expires = start + Duration::from_secs(20);
    let (mut now, mut pauses) = (start, Vec::new());
    while outbox.retry(entry.clone(), u64::MAX, now).is_none() {
        assert_eq!((outbox.len(), outbox.next(now)), (1, None));
        let at = outbox.next_at().unwrap();
        pauses.push((at - now).as_millis());
        now = at;
        entry = outbox.next(now).unwrap().entries.remove(0);
        outbox.answered(1);
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    assert_eq!(outbox.len(), 0);
}
