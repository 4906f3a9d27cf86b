#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! How many polls run, and when they start.

use super::*;

const FIRST_SPACING: Duration = Duration::from_millis(50);

#[test]
fn one_poll_watches_an_idle_queue() {
    let (mut poll_limit, mut now) = (PollLimit::new(8), Instant::now());
    for _ in 0..30 {
        assert_eq!(poll_limit.start(100, now), Some(10));
        assert_eq!(poll_limit.start(100, now), None);
        now += Duration::from_secs(20);
        assert!(
            !poll_limit.on_response(10, 0, now),
            "long polls are not reported"
        );
        assert_eq!(poll_limit.paused_until(now), None);
    }
}

#[test]
fn a_busy_queue_gets_one_poll_more_with_each_full_answer() {
    let (mut poll_limit, now) = (PollLimit::new(3), Instant::now());
    let mut counts = Vec::new();
    for _ in 0..4 {
        let n = std::iter::from_fn(|| poll_limit.start(1_000, now)).count();
        counts.push(poll_limit.polls_in_flight);
        assert!(n > 0);
        poll_limit.on_response(10, 10, now);
    }
    assert_eq!(counts, [1, 2, 3, 3]);
    poll_limit.on_response(10, 0, now);
    assert_eq!(
        (poll_limit.polls_in_flight, poll_limit.start(1_000, now)),
        (1, None)
    );
    assert_eq!(poll_limit.start(1_000, now + SPACING_MAX), None);
}

#[test]
fn polls_request_only_what_earlier_ones_have_not() {
    let (mut poll_limit, now) = (PollLimit::new(8), Instant::now());
    poll_limit.polls_allowed = 8;
    assert_eq!(poll_limit.start(13, now), Some(10));
    assert_eq!(poll_limit.start(13, now), Some(3));
    assert_eq!(poll_limit.start(13, now), None);
    assert_eq!(poll_limit.start(14, now), Some(1));
}

#[test]
fn polls_pause_for_longer_after_each_failure() {
    let (mut poll_limit, mut now) = (PollLimit::new(8), Instant::now());
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let max = poll_limit.start(10, now).unwrap();
        poll_limit.on_failure(max, Jitter::MAX, now);
        assert_eq!(poll_limit.start(10, now), None);
        let until = poll_limit.paused_until(now).unwrap();
        pauses.push((until - now).as_millis());
        now = until;
    }
    assert_eq!(&pauses[..4], [200, 400, 800, 1_600]);
    assert_eq!(pauses[9], 30_000);
    let max = poll_limit.start(10, now).unwrap();
    assert_eq!(
        poll_limit.paused_until(now),
        None,
        "not paused while a poll is in flight"
    );
    poll_limit.on_response(max, 1, now);
    assert_eq!(poll_limit.paused_until(now), None);
}

#[test]
fn polls_that_fail_together_count_as_one_failure() {
    let (mut poll_limit, now) = (PollLimit::new(8), Instant::now());
    poll_limit.polls_allowed = 3;
    let started: Vec<_> = std::iter::from_fn(|| poll_limit.start(30, now)).collect();
    let mut until = Vec::new();
    for max in started {
        poll_limit.on_failure(max, Jitter::MIN, now);
        until.push(poll_limit.paused_until(now));
    }
    assert!(until.iter().all(|other| *other == until[0]));
    assert_eq!(poll_limit.failures, 1);
}

#[test]
fn empty_responses_that_come_at_once_space_polls_out_until_a_message_comes() {
    let (mut poll_limit, mut now) = (PollLimit::new(8), Instant::now());
    let (mut pauses, mut reported) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let begun = now;
        let max = poll_limit.start(10, now).unwrap();
        now += Duration::from_millis(8);
        reported.push(poll_limit.on_response(max, 0, now));
        assert_eq!(poll_limit.start(10, now), None);
        now = poll_limit.paused_until(now).unwrap();
        pauses.push((now - begun).as_millis());
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]);
    let reports: Vec<_> = (0..9).filter(|n| reported[*n]).collect();
    assert_eq!(reports, [5], "once, when spacing is at its maximum");
    let max = poll_limit.start(10, now).unwrap();
    poll_limit.on_response(max, 1, now);
    let max = poll_limit.start(10, now).unwrap();
    poll_limit.on_response(max, 0, now);
    let until = poll_limit.paused_until(now).unwrap();
    assert_eq!(until - now, FIRST_SPACING);
}

#[test]
fn an_empty_response_resets_the_count_of_failures() {
    let (mut poll_limit, mut now) = (PollLimit::new(8), Instant::now());
    let max = poll_limit.start(10, now).unwrap();
    poll_limit.on_failure(max, Jitter::MAX, now);
    now = poll_limit.paused_until(now).unwrap();
    let max = poll_limit.start(10, now).unwrap();
    poll_limit.on_response(max, 0, now);
    assert_eq!(
        (poll_limit.failures, poll_limit.paused_until(now)),
        (0, Some(now + FIRST_SPACING))
    );
}
