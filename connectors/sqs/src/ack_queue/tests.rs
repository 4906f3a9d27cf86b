#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! What the queue sends, and when.

use super::*;

const LONG: Duration = Duration::from_secs(600);

fn pending(handle: usize, action: AckAction, now: Instant) -> PendingAck {
    PendingAck {
        handle: handle.to_string(),
        action,
        expires: now + LONG,
    }
}

fn with(n: usize, requests_max: usize) -> (AckQueue, Instant) {
    let (mut queue, now) = (AckQueue::new(requests_max), Instant::now());
    for handle in 0..n {
        queue.push(pending(handle, AckAction::Delete, now), now);
    }
    (queue, now)
}

#[test]
fn ten_are_sent_at_once_and_fewer_after_the_linger() {
    let (mut queue, now) = with(13, 8);
    assert!(queue.is_ready(now));
    assert_eq!(queue.next(now).unwrap().entries.len(), 10);
    assert_eq!(queue.next(now), None);
    assert_eq!(queue.next_at(), Some(now + LINGER));
    assert_eq!(queue.next(now + LINGER).unwrap().entries.len(), 3);
    assert_eq!((queue.next_at(), queue.len()), (None, 13));
}

#[test]
fn deletes_and_returns_do_not_share_a_request_and_returns_go_first() {
    let (mut queue, now) = with(3, 8);
    queue.push(pending(3, AckAction::VisibleAfter(0), now), now);
    queue.hurry();
    let first = queue.next(now).unwrap();
    assert!(!first.is_delete && first.entries.len() == 1);
    let second = queue.next(now).unwrap();
    assert!(second.is_delete && second.entries.len() == 3);
}

#[test]
fn requests_in_flight_are_limited() {
    let (mut queue, now) = with(40, 2);
    assert!(queue.next(now).is_some() && queue.next(now).is_some());
    assert!(queue.next(now).is_none() && !queue.is_ready(now));
    assert_eq!(queue.next_at(), None);
    queue.on_response(10);
    assert!(queue.next(now).is_some());
    assert_eq!(queue.len(), 30);
}

#[test]
fn failed_entries_are_sent_again_after_growing_pauses_within_their_lease() {
    let (mut queue, start) = with(1, 8);
    queue.hurry();
    let mut entry = queue.next(start).unwrap().entries.remove(0);
    queue.on_response(1);
    entry.ack.expires = start + Duration::from_secs(20);
    let (mut now, mut pauses) = (start, Vec::new());
    while queue.retry(entry.clone(), Jitter::MAX, now).is_none() {
        assert_eq!((queue.len(), queue.next(now)), (1, None));
        let at = queue.next_at().unwrap();
        pauses.push((at - now).as_millis());
        now = at;
        entry = queue.next(now).unwrap().entries.remove(0);
        queue.on_response(1);
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    assert_eq!(queue.len(), 0);
}
