//! The rules of fixed time windows.

use std::time::Duration;

use super::script::Script;
use crate::{AfterFiring, LateFiring, Windows, epoch::Epoch};

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn fixed() -> Windows<i64> {
    Windows::fixed(ms(10))
}

#[test]
fn a_window_fires_when_the_watermark_reaches_its_end() {
    let mut script = Script::new(&fixed());
    script.events(&[(0, 1), (9, 2), (10, 3)]);
    script.watermark(9);
    script.expect(&[]);
    script.watermark(10);
    script.expect(&["k 0..10 OnTime [1, 2]"]);
    assert_eq!(script.machine.len(), 1);
    script.finish();
    script.expect(&["k 10..20 OnTime [3]"]);
}

#[test]
fn windows_fire_in_the_order_of_their_ends() {
    let mut script = Script::new(&fixed());
    script.events(&[(25, 1), (-5, 2), (5, 3)]);
    script.watermark(100);
    script.expect(&[
        "k -10..0 OnTime [2]",
        "k 0..10 OnTime [3]",
        "k 20..30 OnTime [1]",
    ]);
}

#[test]
fn each_key_has_windows_of_its_own() {
    let mut script = Script::new(&fixed());
    assert_eq!(script.add("a", 1, 1), None);
    assert_eq!(script.add("b", 11, 2), None);
    assert_eq!(script.add("a", 2, 3), None);
    script.finish();
    script.expect(&["a 0..10 OnTime [1, 3]", "b 10..20 OnTime [2]"]);
}

#[test]
fn the_offset_shifts_windows() {
    let mut script = Script::new(&fixed().offset(ms(13)));
    script.events(&[(2, 1), (3, 2)]);
    script.finish();
    script.expect(&["k -7..3 OnTime [1]", "k 3..13 OnTime [2]"]);
}

#[test]
fn an_event_between_two_windows_is_ignored() {
    let mut script = Script::new(&Windows::sliding(ms(4), ms(10)));
    script.events(&[(3, 1), (4, 2), (-6, 3), (-7, 4)]);
    assert_eq!(script.machine.len(), 2);
    script.watermark(100);
    script.expect(&["k -10..-6 OnTime [4]", "k 0..4 OnTime [1]"]);
    assert_eq!(script.add("k", 5, 9), None);
}

#[test]
fn an_event_beyond_the_lateness_is_returned() {
    let mut script = Script::new(&fixed().lateness(ms(5)));
    script.watermark(14);
    assert_eq!(script.add("k", 9, 1), None);
    script.watermark(15);
    assert_eq!(script.add("k", 9, 2), Some(2));
    assert_eq!(script.add("k", 10, 3), None);
    script.expect(&["k 0..10 Late [1]"]);
}

#[test]
fn the_watermark_never_goes_back() {
    let mut script = Script::new(&fixed());
    script.watermark(10);
    script.watermark(0);
    assert_eq!(script.add("k", 5, 1), Some(1));
}

#[test]
fn a_late_event_fires_all_events_of_its_window() {
    let mut script = Script::new(&fixed().lateness(ms(5)));
    script.events(&[(1, 1)]);
    script.watermark(10);
    script.events(&[(2, 2), (3, 3)]);
    script.expect(&[
        "k 0..10 OnTime [1]",
        "k 0..10 Late [1, 2]",
        "k 0..10 Late [1, 2, 3]",
    ]);
    script.watermark(15);
    script.expect(&[]);
    assert_eq!(script.machine.len(), 0);
}

#[test]
fn a_late_event_fires_alone_if_firings_discard() {
    let windows = fixed().lateness(ms(5)).after_firing(AfterFiring::Discard);
    let mut script = Script::new(&windows);
    script.events(&[(1, 1)]);
    script.watermark(10);
    assert_eq!(script.machine.since(), Epoch::NONE);
    script.events(&[(2, 2), (3, 3)]);
    script.expect(&["k 0..10 OnTime [1]", "k 0..10 Late [2]", "k 0..10 Late [3]"]);
}

#[test]
fn late_events_fire_once_when_the_window_closes() {
    let windows = fixed().lateness(ms(20)).late_firing(LateFiring::AtClose);
    let mut script = Script::new(&windows);
    script.events(&[(1, 1)]);
    assert_eq!(script.add("quiet", 1, 9), None);
    assert_eq!(script.add("next", 25, 8), None);
    script.watermark(10);
    script.expect_any_order(&["k 0..10 OnTime [1]", "quiet 0..10 OnTime [9]"]);
    script.events(&[(2, 2), (3, 3)]);
    script.expect(&[]);
    script.watermark(30);
    script.expect(&["k 0..10 Late [1, 2, 3]", "next 20..30 OnTime [8]"]);
}

#[test]
fn late_events_fire_without_the_others_at_close_if_firings_discard() {
    let windows = fixed()
        .lateness(ms(5))
        .late_firing(LateFiring::AtClose)
        .after_firing(AfterFiring::Discard);
    let mut script = Script::new(&windows);
    script.events(&[(1, 1)]);
    script.watermark(10);
    script.events(&[(2, 2), (3, 3)]);
    script.finish();
    script.expect(&["k 0..10 OnTime [1]", "k 0..10 Late [2, 3]"]);
}

#[test]
fn windows_without_events_fire_between_those_with_events() {
    let mut script = Script::new(&fixed().emit_empty());
    script.events(&[(5, 1), (35, 2)]);
    script.watermark(25);
    script.expect(&["k 0..10 OnTime [1]", "none 10..20 OnTime []"]);
    script.events(&[(28, 3)]);
    script.watermark(100);
    script.expect(&["k 20..30 OnTime [3]", "k 30..40 OnTime [2]"]);
    script.events(&[(125, 4)]);
    script.watermark(110);
    script.finish();
    let empty: Vec<_> = (4..12)
        .map(|n| format!("none {}..{} OnTime []", n * 10, n * 10 + 10))
        .collect();
    let mut expected: Vec<_> = empty.iter().map(String::as_str).collect();
    expected.push("k 120..130 OnTime [4]");
    script.expect(&expected);
}

#[test]
fn windows_at_the_ends_of_time_fire() {
    let windows = Windows::fixed(ms(10)).offset(ms(3)).lateness(ms(u64::MAX));
    let mut script = Script::new(&windows);
    script.events(&[(i64::MIN, 1), (i64::MAX, 2)]);
    script.watermark(i64::MAX - 1);
    script.finish();
    let first = format!("k {}..{} OnTime [1]", i64::MIN, i64::MIN + 1);
    let last = format!("k {}..{} OnTime [2]", i64::MAX - 4, i64::MAX);
    script.expect(&[&first, &last]);
    assert_eq!(script.add("k", i64::MAX, 3), Some(3));
}

#[test]
fn the_oldest_epoch_is_held_until_its_window_closes() {
    let mut script = Script::new(&fixed().lateness(ms(5)));
    script.events(&[(15, 7), (2, 3), (3, 4)]);
    assert_eq!(script.machine.since(), Epoch(3));
    script.watermark(14);
    assert_eq!(script.machine.since(), Epoch(3));
    script.watermark(15);
    assert_eq!(script.machine.since(), Epoch(7));
}
