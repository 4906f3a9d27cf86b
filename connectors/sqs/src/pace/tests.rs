#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! How many polls there are, when.

use super::*;

#[test]
fn an_idle_queue_is_watched_by_one_poll() {
    let (mut pace, now) = (Pace::new(8), Instant::now());
    for _ in 0..3 {
        assert_eq!(pace.begin(100, now), Some(10));
        assert_eq!(pace.begin(100, now), None);
        pace.answered(10, 0);
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
        pace.answered(10, 10);
    }
    assert_eq!(counts, [1, 2, 3, 3]);
    pace.answered(10, 0);
    assert_eq!((pace.polls, pace.begin(1_000, now)), (1, None));
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
        let until = pace.quiet_until().unwrap();
        pauses.push((until - now).as_millis());
        now = until;
    }
    assert_eq!(&pauses[..4], [200, 400, 800, 1_600]);
    assert_eq!(pauses[9], 30_000);
    let ask = pace.begin(10, now).unwrap();
    pace.answered(ask, 1);
    assert_eq!(pace.quiet_until(), None);
}

#[test]
fn polls_that_fail_together_count_as_one_failure() {
    let (mut pace, now) = (Pace::new(8), Instant::now());
    pace.allowed = 3;
    let asks: Vec<_> = std::iter::from_fn(|| pace.begin(30, now)).collect();
    let mut until = Vec::new();
    for ask in asks {
        pace.failed(ask, 0, now);
        until.push(pace.quiet_until());
    }
    assert!(until.iter().all(|other| *other == until[0]));
    assert_eq!(pace.failures, 1);
}
