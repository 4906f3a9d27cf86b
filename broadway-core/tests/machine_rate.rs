//! Rates against clocks that tick one interval, or one nanosecond, at a time.
#![allow(clippy::unwrap_used)]

use broadway_core::machine::rate::{Allowance, Change, FixedWindow, TokenBucket};
use proptest::prelude::*;
use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
enum Step {
    /// Wait, then take.
    Take(u64, usize),
    /// Wait, then give back some of a late take.
    Refund(u64, usize),
    /// Wait, then change the allowance: messages, interval, whether at once.
    Update(u64, usize, u64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let wait = || prop_oneof![Just(0_u64), 0..20_u64, 0..300_u64];
    prop_oneof![
        8 => (wait(), 0..15_usize).prop_map(|(wait, n)| Step::Take(wait, n)),
        2 => (wait(), 0..15_usize).prop_map(|(wait, n)| Step::Refund(wait, n)),
        1 => (wait(), 1..10_usize, 1..60_u64, any::<bool>()).prop_map(|(wait, n, ns, reset)| Step::Update(wait, n, ns, reset)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..20)
}

fn allowance(messages: usize, interval_ns: u64) -> Allowance {
    Allowance::new(messages, Duration::from_nanos(interval_ns)).unwrap()
}

const fn change(reset: bool) -> Change {
    if reset {
        Change::Reset
    } else {
        Change::AtIntervalEnd
    }
}

/// Times are nanoseconds from the start.
struct WindowModel {
    current: (usize, u64),
    upcoming: (usize, u64),
    start: u64,
    passed: usize,
}

impl WindowModel {
    fn tick_to(&mut self, now: u64) {
        while now >= self.start + self.current.1 {
            self.start += self.current.1;
            self.current = self.upcoming;
            self.passed = 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_window_never_passes_more_than_its_allowance(messages in 1..10_usize, interval in 1..60_u64, steps in steps()) {
        let start = Instant::now();
        let at = |ns| start + Duration::from_nanos(ns);
        let mut window = FixedWindow::new(allowance(messages, interval), start);
        let mut model = WindowModel { current: (messages, interval), upcoming: (messages, interval), start: 0, passed: 0 };
        let mut now = 0;
        // What each take was granted and when, less its refunds.
        let mut takes: Vec<(usize, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Take(wait, wanted) => {
                    now += wait;
                    model.tick_to(now);
                    let granted = window.take(at(now), wanted);
                    prop_assert_eq!(granted, wanted.min(model.current.0 - model.passed));
                    model.passed += granted;
                    takes.push((granted, now));
                }
                Step::Refund(wait, n) => {
                    now += wait;
                    // Any of the last takes: its interval may be over, or over without the machine's knowing.
                    let Some(take) = takes.iter_mut().rev().nth(n % 3) else {
                        continue;
                    };
                    let n = n.min(take.0);
                    take.0 -= n;
                    window.refund(n, at(take.1));
                    model.tick_to(now);
                    if take.1 >= model.start {
                        model.passed -= n;
                    }
                }
                Step::Update(wait, messages, interval, reset) => {
                    now += wait;
                    model.tick_to(now);
                    model.upcoming = (messages, interval);
                    if reset {
                        (model.start, model.current, model.passed) = (now, model.upcoming, 0);
                        // What was taken at this very instant cannot be told from the new window's.
                        takes.clear();
                    }
                    window.update(at(now), allowance(messages, interval), change(reset));
                }
            }
            let next = if model.passed < model.current.0 { now } else { model.start + model.current.1 };
            prop_assert_eq!(window.next(at(now)), at(next));
        }
    }

    #[test]
    fn a_bucket_is_one_that_is_filled_each_nanosecond(messages in 1..10_usize, interval in 1..60_u64, burst in 1..12_usize, steps in steps()) {
        let start = Instant::now();
        let at = |ns| start + Duration::from_nanos(ns);
        let mut bucket = TokenBucket::new(allowance(messages, interval), burst, start);
        let (mut rate, mut token) = (messages as u64, interval);
        let full = |token| burst as u64 * token;
        let (mut level, mut now, mut last) = (full(token), 0, 0);
        for step in steps {
            let (Step::Take(wait, _) | Step::Refund(wait, _) | Step::Update(wait, ..)) = step;
            now += wait;
            for _ in 0..wait {
                level = (level + rate).min(full(token));
            }
            match step {
                Step::Take(_, wanted) => {
                    let mut granted = 0;
                    while granted < wanted && level >= token {
                        level -= token;
                        granted += 1;
                    }
                    prop_assert_eq!(bucket.take(at(now), wanted), granted);
                    last = granted;
                }
                Step::Refund(_, n) => {
                    // Fills up first, as what ran over before the refund is lost.
                    prop_assert_eq!(bucket.take(at(now), 0), 0);
                    bucket.refund(n.min(last));
                    level = (level + n.min(last) as u64 * token).min(full(token));
                    last = 0;
                }
                Step::Update(_, messages, interval, reset) => {
                    bucket.update(at(now), allowance(messages, interval), change(reset));
                    level = if reset { full(interval) } else { level * interval / token };
                    (rate, token) = (messages as u64, interval);
                }
            }
            let mut next = now;
            let mut filling = level;
            while filling < token {
                filling += rate;
                next += 1;
            }
            prop_assert_eq!(bucket.next(at(now)), at(next));
        }
    }

    #[test]
    fn a_bucket_never_passes_more_than_burst_and_rate_in_any_stretch(
        messages in 1..1_000_000_usize,
        interval_ns in 1..10_000_000_000_u64,
        burst in 1..100_000_usize,
        takes in prop::collection::vec((0..20_000_000_000_u64, 0..200_000_usize), 1..25),
    ) {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(allowance(messages, interval_ns), burst, start);
        let mut now = 0_u64;
        let mut passed: Vec<(u64, usize)> = Vec::new();
        for (wait, wanted) in takes {
            now += wait;
            passed.push((now, bucket.take(start + Duration::from_nanos(now), wanted)));
        }
        for from in 0..passed.len() {
            let mut total = 0_u128;
            for &(until, granted) in &passed[from..] {
                total += granted as u128;
                let stretch = u128::from(until - passed[from].0);
                let limit = burst as u128 * u128::from(interval_ns) + messages as u128 * stretch;
                prop_assert!(total * u128::from(interval_ns) <= limit);
            }
        }
    }

    #[test]
    fn next_is_the_first_nanosecond_that_grants(messages in 1..1_000_000_usize, interval_ns in 1..10_000_000_000_u64, burst in 1..100_usize, wait in 0..10_000_u64) {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(allowance(messages, interval_ns), burst, start);
        prop_assert_eq!(bucket.take(start, burst), burst);
        let now = start + Duration::from_nanos(wait);
        let _ = bucket.take(now, burst);
        let next = bucket.next(now);
        if next > now {
            prop_assert_eq!(bucket.clone().take(next - Duration::from_nanos(1), 1), 0);
        }
        prop_assert_eq!(bucket.take(next, 1), 1);
    }
}
