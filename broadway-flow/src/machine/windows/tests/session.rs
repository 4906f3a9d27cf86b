//! The rules of sessions.

use super::{script::Script, time::ms};
use crate::{AfterFiring, Decision, LateFiring, Windows, epoch::Epoch};

fn session() -> Windows<i64> {
    Windows::session(ms(10))
}

#[test]
fn a_session_ends_after_a_gap() {
    let mut script = Script::new(&session());
    script.events(&[(0, 1), (9, 2), (30, 3)]);
    script.watermark(18);
    script.expect(&[]);
    script.watermark(19);
    script.expect(&["k 0..19 OnTime [1, 2]"]);
    script.finish();
    script.expect(&["k 30..40 OnTime [3]"]);
}

#[test]
fn sessions_that_touch_are_not_merged() {
    let mut script = Script::new(&session());
    script.events(&[(10, 2), (0, 1), (20, 3)]);
    script.finish();
    script.expect(&[
        "k 0..10 OnTime [1]",
        "k 10..20 OnTime [2]",
        "k 20..30 OnTime [3]",
    ]);
}

#[test]
fn an_event_between_two_sessions_merges_them() {
    let mut script = Script::new(&session());
    script.events(&[(0, 4), (15, 3)]);
    assert_eq!(script.machine.len(), 2);
    script.events(&[(8, 5)]);
    assert_eq!(script.machine.len(), 1);
    assert_eq!(script.machine.since(), Epoch(3));
    script.finish();
    script.expect(&["k 0..25 OnTime [3, 4, 5]"]);
}

#[test]
fn sessions_of_all_keys_fire_in_the_order_of_their_ends() {
    let mut script = Script::new(&session());
    for (key, time) in [("b", 50), ("a", 20), ("b", 0), ("a", 70)] {
        assert_eq!(script.add(key, time, 1), None);
    }
    script.watermark(1_000);
    script.expect(&[
        "b 0..10 OnTime [1]",
        "a 20..30 OnTime [1]",
        "b 50..60 OnTime [1]",
        "a 70..80 OnTime [1]",
    ]);
    assert_eq!(script.machine.len(), 0);
}

#[test]
fn an_event_whose_session_is_closed_is_returned() {
    let mut script = Script::new(&session().lateness(ms(5)));
    script.watermark(25);
    assert_eq!(script.add("k", 10, 1), Some(1));
    assert_eq!(script.machine.len(), 0);
    assert_eq!(script.add("k", 11, 2), None);
    script.expect(&["k 11..21 Late [2]"]);
}

#[test]
fn an_event_that_joins_an_open_session_is_not_late() {
    let mut script = Script::new(&session());
    script.events(&[(20, 1)]);
    script.watermark(22);
    assert_eq!(script.add("k", 12, 2), None);
    assert_eq!(script.add("k", 2, 3), Some(3));
    script.finish();
    script.expect(&["k 12..30 OnTime [1, 2]"]);
}

#[test]
fn a_session_that_gets_longer_fires_again_at_its_end() {
    let mut script = Script::new(&session().lateness(ms(20)));
    script.events(&[(0, 1)]);
    script.watermark(12);
    script.expect(&["k 0..10 OnTime [1]"]);
    script.events(&[(9, 2)]);
    script.expect(&[]);
    script.watermark(19);
    script.expect(&["k 0..19 OnTime [1, 2]"]);
    script.events(&[(5, 3)]);
    script.expect(&["k 0..19 Late [1, 2, 3]"]);
    script.watermark(38);
    assert_eq!(script.machine.len(), 1);
    script.watermark(39);
    assert_eq!(script.machine.len(), 0);
    script.expect(&[]);
}

#[test]
fn a_discarding_session_fires_only_new_events_again() {
    let windows = session()
        .lateness(ms(20))
        .after_firing(AfterFiring::Discard);
    let mut script = Script::new(&windows.late_firing(LateFiring::AtClose));
    script.events(&[(0, 1)]);
    script.watermark(10);
    script.events(&[(9, 2)]);
    script.watermark(19);
    script.events(&[(5, 3)]);
    script.finish();
    script.expect(&[
        "k 0..10 OnTime [1]",
        "k 0..19 OnTime [2]",
        "k 0..19 Late [3]",
    ]);
}

#[test]
fn the_counts_of_merged_sessions_add_up() {
    let mut script = Script::new(&session().trigger_every(4));
    script.events(&[(0, 1), (15, 2), (15, 3)]);
    script.events(&[(8, 4)]);
    script.expect(&["k 0..25 Early [1, 2, 3, 4]"]);
}

#[test]
fn merged_sessions_keep_the_trigger_of_the_earliest() {
    let third = |calls: &mut u32, _: &i64| {
        *calls += 1;
        if *calls == 3 {
            Decision::Fire
        } else {
            Decision::Continue
        }
    };
    let mut script = Script::new(&session().trigger(|| 0, third));
    script.events(&[(15, 1), (0, 2), (0, 3), (8, 4)]);
    script.expect(&["k 0..25 Early [1, 2, 3, 4]"]);
}

#[test]
fn a_session_at_the_end_of_time_fires() {
    let mut script = Script::new(&session().lateness(ms(5)));
    script.events(&[(i64::MAX, 1), (i64::MAX - 3, 2), (i64::MIN, 3)]);
    script.finish();
    let first = format!("k {}..{} OnTime [3]", i64::MIN, i64::MIN + 10);
    let last = format!("k {}..{} OnTime [1, 2]", i64::MAX - 3, i64::MAX);
    script.expect(&[&first, &last]);
}
