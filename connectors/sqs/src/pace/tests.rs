#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! How many polls there are, when.

use super::*;

#[test]
fn an_idle_queue_is_watched_by_one_poll() {
    let (mut pace, mut now) = (Pace::new(8), Instant::now());
    for _ in 0..30 {
        assert_eq!(pace.begin(100, now), Some(10));
        assert_eq!(pace.begin(100, now), None);
        now += Duration::from_secs(20);
        assert!(!pace.answered(10, 0, now), "a long poll is nothing to tell");
        assert_eq!(pace.quiet_until(now), None);
    }
}

#[test]
fn a_busy_queue_gets_one_poll_more_with_each_full_answer() {
    let (mut pace, now) = (Pace::new(3), Instant::now());
    let mut counts = Vec::new();
    for _ in 0..4 {
        let n = std::iter::from_fn(|| pace.begin(1_000, now)).count();
        counts.push(pace.polls);
        assert!(n > 0);
        pace.answered(10, 10, now);
    }
    assert_eq!(counts, [1, 2, 3, 3]);
    pace.answered(10, 0, now);
    assert_eq!((pace.polls, pace.begin(1_000, now)), (1, None));
    assert_eq!(pace.begin(1_000, now + SPACE_MAX), None);
}

#[test]
fn nothing_is_asked_for_that_is_on_its_way() {
    let (mut pace, now) = (Pace::new(8), Instant::now());
    pace.allowed = 8;
    assert_eq!(pace.begin(13, now), Some(10));
    assert_eq!(pace.begin(13, now), Some(3));
    assert_eq!(pace.begin(13, now), None);
    assert_eq!(pace.begin(14, now), Some(1));
}

#[test]
fn trouble_keeps_polls_away_for_longer_each_time() {
    let (mut pace, mut now) = (Pace::new(8), Instant::now());
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let ask = pace.begin(10, now).unwrap();
        pace.failed(ask, u64::MAX, now);
        assert_eq!(pace.begin(10, now), None);
        let until = pace.quiet_until(now).unwrap();
        pauses.push((until - now).as_millis());
        now = until;
    }
    assert_eq!(&pauses[..4], [200, 400, 800, 1_600]);
    assert_eq!(pauses[9], 30_000);
    let ask = pace.begin(10, now).unwrap();
    assert_eq!(pace.quiet_until(now), None, "over while a poll is out");
    pace.answered(ask, 1, now);
    assert_eq!(pace.quiet_until(now), None);
}

#[test]
fn polls_that_fail_together_count_as_one_failure() {
    let (mut pace, now) = (Pace::new(8), Instant::now());
    pace.allowed = 3;
    let asks: Vec<_> = std::iter::from_fn(|| pace.begin(30, now)).collect();
    let mut until = Vec::new();
    for ask in asks {
        pace.failed(ask, 0, now);
        until.push(pace.quiet_until(now));
    }
    assert!(until.iter().all(|other| *other == until[0]));
    assert_eq!(pace.failures, 1);
}

#[test]
fn empty_answers_that_come_at_once_space_polls_out_and_a_message_ends_that() {
    let (mut pace, mut now) = (Pace::new(8), Instant::now());
    let (mut pauses, mut tells) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let begun = now;
        let ask = pace.begin(10, now).unwrap();
        now += Duration::from_millis(8);
        tells.push(pace.answered(ask, 0, now));
        assert_eq!(pace.begin(10, now), None);
        now = pace.quiet_until(now).unwrap();
        pauses.push((now - begun).as_millis());
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]);
    let told: Vec<_> = (0..9).filter(|n| tells[*n]).collect();
    assert_eq!(told, [5], "told once, when it is as slow as it gets");
    let ask = pace.begin(10, now).unwrap();
    pace.answered(ask, 1, now);
    let ask = pace.begin(10, now).unwrap();
    pace.answered(ask, 0, now);
    let until = pace.quiet_until(now).unwrap();
    assert_eq!(until - now, SPACE_FIRST);
}

#[test]
fn an_empty_answer_after_trouble_is_no_failure_any_more() {
    let (mut pace, mut now) = (Pace::new(8), Instant::now());
    let ask = pace.begin(10, now).unwrap();
    pace.failed(ask, u64::MAX, now);
    now = pace.quiet_until(now).unwrap();
    let ask = pace.begin(10, now).unwrap();
    pace.answered(ask, 0, now);
    assert_eq!(
        (pace.failures, pace.quiet_until(now)),
        (0, Some(now + SPACE_FIRST))
    );
}
