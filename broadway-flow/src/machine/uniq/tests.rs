//! Tests of [`Uniq`]: single rules, and a comparison with a set for each window.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::epoch::Epoch;

const fn at(time: i64) -> At {
    At {
        time: Timestamp::from_millis(time),
        since: Epoch::NONE,
    }
}

const fn time(size: i64, slide: i64) -> WindowKind {
    WindowKind::Time {
        size,
        slide,
        offset: 0,
    }
}

fn uniq(kind: WindowKind, lateness: i64, keys_max: usize) -> Uniq<u8> {
    Uniq::new(kind, lateness, keys_max).expect("the windows have a grid")
}

#[test]
fn the_first_event_of_a_key_and_window_is_first() {
    let mut uniq = uniq(time(10, 10), 0, 10);
    assert_eq!(uniq.insert(1, at(5)), Seen::First);
    assert_eq!(uniq.insert(1, at(3)), Seen::Again);
    assert_eq!(uniq.insert(2, at(3)), Seen::First);
    assert_eq!(uniq.insert(1, at(10)), Seen::First);
    assert_eq!(uniq.len(), 3);
}

#[test]
fn an_event_is_first_if_one_of_its_overlapping_windows_has_no_other() {
    let mut uniq = uniq(time(10, 5), 0, 10);
    assert_eq!(uniq.insert(1, at(7)), Seen::First);
    assert_eq!(uniq.insert(1, at(12)), Seen::First, "of the window from 10");
    assert_eq!(uniq.insert(1, at(8)), Seen::Again);
    assert_eq!(uniq.insert(1, at(3)), Seen::First, "of the window from -5");
}

#[test]
fn a_closed_window_forgets_its_keys_and_refuses_events() {
    let mut uniq = uniq(time(10, 10), 5, 10);
    uniq.insert(1, at(5));
    uniq.watermark(Timestamp::from_millis(14));
    assert_eq!(uniq.insert(1, at(5)), Seen::Again);
    uniq.watermark(Timestamp::from_millis(15));
    assert_eq!(uniq.len(), 0);
    assert_eq!(uniq.insert(1, at(5)), Seen::Late);
}

#[test]
fn a_full_state_still_knows_its_keys() {
    let mut uniq = uniq(WindowKind::Global, 0, 1);
    assert_eq!(uniq.insert(1, At::NONE), Seen::First);
    assert_eq!(uniq.insert(2, At::NONE), Seen::Full);
    assert_eq!(uniq.insert(1, At::NONE), Seen::Again);
    assert_eq!(uniq.len(), 1);
}

#[test]
fn session_windows_are_not_supported() {
    assert!(Uniq::<u8>::new(WindowKind::Session { gap: 1 }, 0, 1).is_none());
}

#[test]
fn parts_of_several_workers_are_loaded_with_the_keys_to_keep() {
    let mut parts = Vec::new();
    for (key, watermark) in [(1, 14), (2, 12)] {
        let mut part = uniq(time(10, 10), 0, 10);
        part.watermark(Timestamp::from_millis(watermark));
        part.insert(key, at(15));
        parts.push(part.save().unwrap());
    }
    let mut loaded = uniq(time(10, 10), 0, 10);
    loaded.load(&parts, |key| *key == 2).unwrap();
    assert_eq!(
        (loaded.len(), loaded.watermark),
        (1, Timestamp::from_millis(12))
    );
    assert_eq!(loaded.insert(2, at(11)), Seen::Again);
    assert_eq!(loaded.insert(1, at(11)), Seen::First);
    let mut other = uniq(time(10, 10), 1, 10);
    assert_eq!(other.load(&parts, |_| true), Err(SavedError::Windows));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Insert(u8, i64),
    Watermark(i64),
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..3u8, -25..25i64).prop_map(|(key, time)| Step::Insert(key, time)),
        2 => (-30..40i64).prop_map(Step::Watermark),
        1 => Just(Step::Reload),
    ]
}

fn kind() -> impl Strategy<Value = WindowKind> {
    prop_oneof![
        1 => Just(WindowKind::Global),
        6 => (1..16i64, 1..12i64, -20..20i64)
            .prop_map(|(size, slide, offset)| WindowKind::Time { size, slide, offset }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn first_events_match_a_set_for_each_window(
        kind in kind(),
        lateness in 0..10i64,
        keys_max in prop_oneof![1..5usize, Just(100)],
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut uniq = uniq(kind, lateness, keys_max);
        let mut windows: BTreeMap<i64, BTreeSet<u8>> = BTreeMap::new();
        // The newest window of each key that is held.
        let mut held: BTreeSet<(i64, u8)> = BTreeSet::new();
        let mut watermark = -1000;
        for step in steps {
            let is_closed = |start: i64, watermark: i64| match kind {
                WindowKind::Time { size, .. } => start + size + lateness <= watermark,
                _ => false,
            };
            match step {
                Step::Insert(key, time) => {
                    let all: Vec<i64> = match kind {
                        WindowKind::Time { size, slide, offset } => (-80..80)
                            .filter(|start| (start - offset).rem_euclid(slide) == 0)
                            .filter(|start| *start <= time && time < start + size)
                            .collect(),
                        _ => vec![0],
                    };
                    let mut open = all.clone();
                    open.retain(|start| !is_closed(*start, watermark));
                    let is_first = open.iter()
                        .any(|start| !windows.get(start).is_some_and(|keys| keys.contains(&key)));
                    let expected = if all.is_empty() {
                        Seen::Again
                    } else if open.is_empty() {
                        Seen::Late
                    } else if !is_first {
                        Seen::Again
                    } else if held.len() >= keys_max && !held.contains(&(open[open.len() - 1], key)) {
                        Seen::Full
                    } else {
                        held.insert((open[open.len() - 1], key));
                        for start in open {
                            windows.entry(start).or_default().insert(key);
                        }
                        Seen::First
                    };
                    prop_assert_eq!(uniq.insert(key, at(time)), expected);
                }
                Step::Watermark(to) => {
                    uniq.watermark(Timestamp::from_millis(to));
                    watermark = watermark.max(to);
                    held.retain(|(start, _)| !is_closed(*start, watermark));
                }
                Step::Reload => {
                    let saved = uniq.save().expect("it serializes");
                    uniq.load([saved], |_| true).expect("it was saved just now");
                }
            }
            prop_assert_eq!(uniq.len(), held.len());
        }
    }
}
