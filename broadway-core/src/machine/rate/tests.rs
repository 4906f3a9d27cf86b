#![allow(clippy::unwrap_used)]
use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

fn allowance(messages: usize, interval: Duration) -> Allowance {
    Allowance::new(messages, interval).unwrap()
}

#[test]
fn a_window_grants_its_allowance_and_no_more() {
    let start = Instant::now();
    let mut window = FixedWindow::new(allowance(5, SECOND), start);
    assert_eq!(window.take(start, 3), 3);
    assert_eq!(window.take(start + SECOND - NANO, 3), 2);
    assert_eq!(window.next(start), start + SECOND);
    assert_eq!(window.take(start + SECOND, 9), 5);
}

#[test]
fn nothing_is_carried_over_and_boundaries_do_not_drift() {
    let start = Instant::now();
    let mut window = FixedWindow::new(allowance(5, SECOND), start);
    let late = start + SECOND * 1_000_000 + SECOND / 3;
    assert_eq!(window.take(late, 100), 5);
    assert_eq!(window.next(late), start + SECOND * 1_000_001);
}

#[test]
fn an_update_waits_for_the_end_of_the_interval() {
    let start = Instant::now();
    let mut window = FixedWindow::new(allowance(5, SECOND), start);
    window.update(start, allowance(2, SECOND * 2), Change::AtIntervalEnd);
    assert_eq!(window.allowance(), allowance(2, SECOND * 2));
    assert_eq!(window.take(start, 9), 5);
    assert_eq!(window.take(start + SECOND, 9), 2);
    assert_eq!(window.next(start + SECOND * 2), start + SECOND * 3);
}

#[test]
fn an_update_with_reset_starts_a_window_at_once() {
    let start = Instant::now();
    let mut window = FixedWindow::new(allowance(5, SECOND), start);
    assert_eq!(window.take(start, 5), 5);
    window.update(start + NANO, allowance(2, SECOND), Change::Reset);
    assert_eq!(window.take(start + NANO, 9), 2);
    assert_eq!(window.next(start + NANO), start + NANO + SECOND);
}

#[test]
fn a_refund_counts_only_in_the_window_it_was_taken_from() {
    let start = Instant::now();
    let mut window = FixedWindow::new(allowance(5, SECOND), start);
    assert_eq!(window.take(start, 5), 5);
    window.refund(2, start);
    assert_eq!(window.take(start + SECOND / 2, 9), 2);
    assert_eq!(window.take(start + SECOND, 3), 3);
    window.refund(2, start + SECOND / 2);
    assert_eq!(window.take(start + SECOND, 9), 2);
}

#[test]
fn a_bucket_grants_its_burst_and_then_its_rate() {
    let start = Instant::now();
    let mut bucket = TokenBucket::new(allowance(10, SECOND), 4, start);
    assert_eq!(bucket.take(start, 9), 4);
    assert_eq!(bucket.next(start), start + SECOND / 10);
    assert_eq!(bucket.take(start + SECOND / 10 - NANO, 1), 0);
    assert_eq!(bucket.take(start + SECOND / 10, 9), 1);
}

#[test]
fn a_bucket_loses_nothing_to_rounding() {
    let start = Instant::now();
    let mut bucket = TokenBucket::new(allowance(3, SECOND), 1, start);
    assert_eq!(bucket.take(start, 1), 1);
    let mut now = start;
    for _ in 0..3_000 {
        now = bucket.next(now);
        assert_eq!(bucket.take(now, 2), 1);
        // Looked at between two nanoseconds of its own, it gives the same.
        assert_eq!(bucket.take(now + NANO, 1), 0);
    }
    // A third of a second is no whole number of nanoseconds; each wait is rounded up by itself.
    assert!(now - start <= SECOND * 1_000 + NANO * 3_000);
}

#[test]
fn a_bucket_survives_years_of_idleness_at_the_highest_rate() {
    let start = Instant::now();
    let mut bucket = TokenBucket::new(
        allowance(usize::MAX, Allowance::INTERVAL_MAX),
        usize::MAX,
        start,
    );
    assert_eq!(bucket.take(start, usize::MAX), usize::MAX);
    let much_later = start + Allowance::INTERVAL_MAX * 30;
    assert_eq!(bucket.take(much_later, usize::MAX), usize::MAX);
    bucket.refund(usize::MAX);
    bucket.refund(usize::MAX);
    assert_eq!(bucket.take(much_later, usize::MAX), usize::MAX);
    assert_eq!(bucket.take(much_later, 1), 0);
}

#[test]
fn a_changed_bucket_keeps_its_tokens() {
    let start = Instant::now();
    let mut bucket = TokenBucket::new(allowance(10, SECOND), 4, start);
    assert_eq!(bucket.take(start, 1), 1);
    bucket.update(start, allowance(1, SECOND * 7), Change::AtIntervalEnd);
    assert_eq!(bucket.take(start, 9), 3);
    assert_eq!(bucket.next(start), start + SECOND * 7);
    bucket.update(start, allowance(1, SECOND), Change::Reset);
    assert_eq!(bucket.take(start, 9), 4);
}

#[test]
fn a_clock_that_steps_back_adds_nothing() {
    let start = Instant::now() + SECOND;
    let mut bucket = TokenBucket::new(allowance(10, SECOND), 1, start);
    assert_eq!(bucket.take(start, 1), 1);
    assert_eq!(bucket.take(start - SECOND, 1), 0);
    let mut window = FixedWindow::new(allowance(1, SECOND), start);
    assert_eq!(window.take(start, 1), 1);
    assert_eq!(window.take(start - SECOND, 1), 0);
}

#[test]
fn impossible_allowances_are_refused() {
    assert_eq!(Allowance::new(0, SECOND), Err(InvalidAllowance::NoMessages));
    assert!(Allowance::new(1, Duration::ZERO).is_err());
    assert!(Allowance::new(1, Allowance::INTERVAL_MAX + NANO).is_err());
}
