//! The rules of windows that overlap.

use super::{script::Script, time::ms};
use crate::{AfterFiring, LateFiring, Windows, epoch::Epoch};

fn sliding() -> Windows<i64> {
    Windows::sliding(ms(20), ms(10))
}

#[test]
fn an_event_is_in_each_window_that_covers_it() {
    let mut script = Script::new(&sliding());
    script.events(&[(5, 1), (15, 2)]);
    assert_eq!(script.machine.len(), 2);
    script.watermark(20);
    script.expect(&["k -10..10 OnTime [1]", "k 0..20 OnTime [1, 2]"]);
    script.finish();
    script.expect(&["k 10..30 OnTime [2]"]);
}

#[test]
fn windows_need_not_be_multiples_of_their_slide() {
    let mut script = Script::new(&Windows::sliding(ms(5), ms(3)).offset(ms(1)));
    script.events(&[(0, 1), (4, 2)]);
    script.finish();
    script.expect(&[
        "k -2..3 OnTime [1]",
        "k 1..6 OnTime [2]",
        "k 4..9 OnTime [2]",
    ]);
}

#[test]
fn an_event_that_is_late_for_one_window_is_in_the_others() {
    let mut script = Script::new(&sliding());
    script.events(&[(5, 1), (15, 2)]);
    script.watermark(10);
    script.expect(&["k -10..10 OnTime [1]"]);
    assert_eq!(script.add("k", 7, 3), None);
    assert_eq!(script.add("new", 8, 4), None);
    assert_eq!(script.add("k", -1, 5), Some(5));
    script.watermark(20);
    script.expect_any_order(&["k 0..20 OnTime [1, 2, 3]", "new 0..20 OnTime [4]"]);
    script.finish();
    script.expect(&["k 10..30 OnTime [2]"]);
}

#[test]
fn a_late_event_fires_each_window_that_has_ended() {
    let mut script = Script::new(&sliding().lateness(ms(15)));
    script.events(&[(5, 1), (15, 2)]);
    script.watermark(24);
    script.expect(&["k -10..10 OnTime [1]", "k 0..20 OnTime [1, 2]"]);
    script.events(&[(6, 3)]);
    script.expect(&["k -10..10 Late [1, 3]", "k 0..20 Late [1, 2, 3]"]);
    script.watermark(25);
    script.events(&[(16, 4)]);
    script.expect(&["k 0..20 Late [1, 2, 3, 4]"]);
    script.finish();
    script.expect(&["k 10..30 OnTime [2, 4]"]);
}

#[test]
fn a_late_event_fires_alone_if_firings_discard() {
    let windows = sliding()
        .lateness(ms(15))
        .after_firing(AfterFiring::Discard);
    let mut script = Script::new(&windows);
    script.events(&[(15, 1)]);
    script.watermark(24);
    script.events(&[(16, 2)]);
    script.expect(&["k 0..20 OnTime [1]", "k 0..20 Late [2]"]);
    script.finish();
    script.expect(&["k 10..30 OnTime [1, 2]"]);
}

#[test]
fn late_events_fire_when_each_window_closes() {
    for (after, first) in [
        (AfterFiring::Accumulate, "k -10..10 Late [1, 2, 3]"),
        (AfterFiring::Discard, "k -10..10 Late [2, 3]"),
    ] {
        let windows = sliding().lateness(ms(15)).late_firing(LateFiring::AtClose);
        let mut script = Script::new(&windows.after_firing(after));
        script.events(&[(5, 1)]);
        script.watermark(10);
        script.events(&[(6, 2), (7, 3)]);
        script.expect(&["k -10..10 OnTime [1]"]);
        script.watermark(25);
        script.expect(&[first, "k 0..20 OnTime [1, 2, 3]"]);
        script.finish();
        script.expect(&[]);
    }
}

#[test]
fn a_pane_is_held_until_its_last_window_closes() {
    let mut script = Script::new(&sliding());
    script.events(&[(5, 3), (15, 4)]);
    script.watermark(19);
    assert_eq!(script.machine.since(), Epoch(3));
    script.watermark(20);
    assert_eq!(script.machine.since(), Epoch(4));
    script.watermark(30);
    assert_eq!(script.machine.len(), 0);
}

#[test]
fn a_jump_of_the_watermark_passes_over_windows_without_events() {
    let mut script = Script::new(&Windows::sliding(ms(2), ms(1)));
    script.events(&[(i64::MIN, 1), (0, 2), (1_000_000_000_000, 3)]);
    script.finish();
    let first = format!("k {}..{} OnTime [1]", i64::MIN, i64::MIN + 1);
    let second = format!("k {}..{} OnTime [1]", i64::MIN, i64::MIN + 2);
    script.expect(&[
        &first,
        &second,
        "k -1..1 OnTime [2]",
        "k 0..2 OnTime [2]",
        "k 999999999999..1000000000001 OnTime [3]",
        "k 1000000000000..1000000000002 OnTime [3]",
    ]);
}
