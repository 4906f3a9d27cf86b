//! The rules of triggers, of windows without times, of checks, and of saved state.

use smol_str::SmolStr;

use super::{
    super::{Borrowed, Fired, LookupKey, Owned, WindowState, check},
    collect::Collect,
    script::Script,
    time::ms,
};
use crate::{AfterFiring, At, Decision, Windows};

fn every_two() -> Windows<i64> {
    Windows::global().trigger_every(2)
}

fn fire_before_multiples_of_ten(windows: Windows<i64>) -> Windows<i64> {
    windows.trigger(
        || (),
        |(), event| match event % 10 {
            0 => Decision::FireBefore,
            5 => Decision::Fire,
            _ => Decision::Continue,
        },
    )
}

#[test]
fn the_global_window_fires_when_the_input_ends() {
    let mut script = Script::new(&Windows::global());
    script.events(&[(5, 1)]);
    script.watermark(1_000_000);
    script.events(&[(6, 2)]);
    script.expect(&[]);
    script.finish();
    script.expect(&["k all OnTime [1, 2]"]);
}

#[test]
fn a_trigger_fires_after_every_n_events_of_a_key() {
    let mut script = Script::new(&every_two());
    script.events(&[(0, 1), (0, 2), (0, 3)]);
    assert_eq!(script.add("other", 0, 9), None);
    script.events(&[(0, 4)]);
    script.expect(&["k all Early [1, 2]", "k all Early [1, 2, 3, 4]"]);
    script.finish();
    script.expect_any_order(&["k all OnTime [1, 2, 3, 4]", "other all OnTime [9]"]);
}

#[test]
fn discarding_windows_fire_only_new_events() {
    let mut script = Script::new(&every_two().after_firing(AfterFiring::Discard));
    script.events(&[(0, 1), (0, 2), (0, 3), (0, 4)]);
    script.expect(&["k all Early [1, 2]", "k all Early [3, 4]"]);
    script.finish();
    script.expect(&[]);
}

#[test]
fn a_custom_trigger_fires_before_or_after_an_event() {
    let mut script = Script::new(&fire_before_multiples_of_ten(Windows::global()));
    script.events(&[(0, 10), (0, 11), (0, 20), (0, 25)]);
    script.expect(&["k all Early [10, 11]", "k all Early [10, 11, 20, 25]"]);
}

#[test]
fn a_custom_trigger_does_not_fire_an_empty_state() {
    let windows = Windows::global().after_firing(AfterFiring::Discard);
    let mut script = Script::new(&fire_before_multiples_of_ten(windows));
    script.events(&[(0, 10), (0, 25), (0, 20)]);
    script.expect(&["k all Early [10, 25]"]);
}

#[test]
fn a_custom_trigger_has_a_state_for_each_window() {
    let second = |calls: &mut u32, _: &i64| {
        *calls += 1;
        if *calls == 2 {
            Decision::Fire
        } else {
            Decision::Continue
        }
    };
    let mut script = Script::new(&Windows::fixed(ms(10)).trigger(|| 0, second));
    script.events(&[(0, 1), (10, 2), (0, 3), (10, 4), (0, 5)]);
    script.expect(&["k 0..10 Early [1, 3]", "k 10..20 Early [2, 4]"]);
}

#[test]
fn late_events_do_not_reach_the_trigger() {
    let windows = Windows::fixed(ms(10)).lateness(ms(50)).trigger_every(2);
    let mut script = Script::new(&windows);
    script.events(&[(0, 1)]);
    script.watermark(10);
    script.events(&[(0, 2)]);
    script.expect(&["k 0..10 OnTime [1]", "k 0..10 Late [1, 2]"]);
}

#[test]
fn a_periodic_trigger_fires_windows_with_new_events() {
    let mut script = Script::new(&Windows::fixed(ms(10)).trigger_periodically(ms(7)));
    assert_eq!(script.machine.next_tick(), Some(7));
    script.events(&[(15, 2), (5, 1)]);
    script.tick(0);
    script.expect(&["k 0..10 Early [1]", "k 10..20 Early [2]"]);
    script.events(&[(15, 3)]);
    script.tick(7);
    script.expect(&["k 10..20 Early [2, 3]"]);
    script.tick(14);
    script.expect(&[]);
    script.finish();
    script.expect(&["k 0..10 OnTime [1]", "k 10..20 OnTime [2, 3]"]);
}

#[test]
fn a_count_window_fires_with_its_last_event() {
    let mut script = Script::new(&Windows::count(2));
    assert_eq!(script.add("other", 0, 9), None);
    script.events(&[(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]);
    script.expect(&["k #0 OnTime [1, 2]", "k #1 OnTime [3, 4]"]);
    assert_eq!(script.machine.len(), 2);
    script.finish();
    script.expect_any_order(&["k #2 OnTime [5]", "other #0 OnTime [9]"]);
}

#[test]
fn a_trigger_does_not_fire_with_the_last_event_of_a_count_window() {
    let mut script = Script::new(&Windows::count(4).trigger_every(2));
    script.events(&[(0, 1), (0, 2), (0, 3), (0, 4)]);
    script.expect(&["k #0 Early [1, 2]", "k #0 OnTime [1, 2, 3, 4]"]);
}

#[test]
fn periods_begin_with_the_first_tick() {
    let mut script = Script::new(&Windows::periodic(ms(10)));
    assert_eq!(script.machine.next_tick(), Some(10));
    script.events(&[(0, 1)]);
    script.tick(1_003);
    script.events(&[(0, 2)]);
    script.tick(1_012);
    script.expect(&[]);
    script.tick(1_013);
    script.expect(&["k #0 OnTime [1, 2]"]);
    script.events(&[(0, 3)]);
    script.finish();
    script.expect(&["k #1 OnTime [3]"]);
}

#[test]
fn missed_periods_count() {
    let mut script = Script::new(&Windows::periodic(ms(10)));
    script.tick(0);
    script.events(&[(0, 1)]);
    script.tick(35);
    script.events(&[(0, 2)]);
    script.tick(39);
    script.expect(&["k #0 OnTime [1]"]);
    script.tick(40);
    script.expect(&["k #3 OnTime [2]"]);
}

#[test]
fn overlapping_windows_need_an_aggregate_that_merges() {
    let option = |windows: &Windows<i64>, merges| {
        let problem = check(windows, merges);
        problem.map(|problem| problem.option().to_owned())
    };
    let sliding = Windows::sliding(ms(10), ms(5));
    let session = Windows::session(ms(10));
    for windows in [&sliding, &session] {
        assert_eq!(option(windows, true), None);
        assert_eq!(option(windows, false).as_deref(), Some("aggregate"));
    }
    assert_eq!(option(&Windows::sliding(ms(5), ms(10)), false), None);
    let early = sliding.trigger_every(2);
    assert_eq!(option(&early, true).as_deref(), Some("trigger"));
    let empty = session.emit_empty();
    assert_eq!(option(&empty, true).as_deref(), Some("emit_empty"));
}

#[test]
fn a_borrowed_word_finds_its_key() {
    let long = "a word that is too long for an entry of a table";
    assert!(Borrowed(long).is(&long.into()));
    assert!(!Borrowed("a").is(&"b".into()));
    let mut machine: WindowState<i64, SmolStr, Collect<false>> =
        WindowState::new(&Windows::global(), Collect, None);
    let mut fired = Vec::new();
    let mut emit = |one: Fired<SmolStr, Vec<i64>>| fired.push(one.value);
    assert_eq!(machine.add(Borrowed("a"), 1, At::NONE, &mut emit), Ok(()));
    assert_eq!(
        machine.add(Owned("a".into()), 2, At::NONE, &mut emit),
        Ok(())
    );
    assert_eq!(machine.len(), 1);
    machine.finish(&mut emit);
    assert_eq!(fired, [[1, 2]]);
}

#[test]
fn invalid_saved_state_is_an_error() {
    let windows = Windows::fixed(ms(10));
    let load = |windows: &Windows<i64>, bytes: &[u8]| {
        let mut script = Script::new(windows);
        script.machine.load(bytes, |_| true)
    };
    let mut saved = Script::new(&windows).machine.save();
    assert_eq!(load(&windows, &saved), Ok(()));
    let other = load(&Windows::fixed(ms(20)), &saved).expect_err("invalid");
    assert!(other.contains("other windows"), "{other}");
    assert!(load(&windows, &saved[..3]).is_err());
    assert!(load(&windows, &[]).is_err());
    saved[0] = 9;
    let version = load(&windows, &saved).expect_err("invalid");
    assert!(version.contains("version 9"), "{version}");
}

#[test]
fn loaded_windows_keep_late_events_late() {
    let windows = Windows::fixed(ms(10));
    let save = |watermark| {
        let mut script = Script::new(&windows);
        script.watermark(watermark);
        script.machine.save()
    };
    let mut script = Script::new(&windows);
    for watermark in [35, 25, 45] {
        assert_eq!(script.machine.load(&save(watermark), |_| true), Ok(()));
    }
    assert_eq!(script.add("k", 15, 1), Some(1));
    assert_eq!(script.add("k", 25, 2), None);
}

#[test]
fn two_states_of_a_key_are_merged() {
    let kinds = [
        Windows::global(),
        Windows::count(9),
        Windows::session(ms(10)),
        Windows::sliding(ms(20), ms(20)),
        Windows::periodic(ms(5)),
    ];
    for windows in kinds {
        let mut script = Script::new(&windows);
        for event in [1, 2] {
            let mut one = Script::new(&windows);
            one.events(&[(event, event)]);
            assert_eq!(script.machine.load(&one.machine.save(), |_| true), Ok(()));
        }
        assert_eq!(script.machine.len(), 1);
        script.finish();
    }
}

#[test]
fn periods_that_were_loaded_keep_their_numbers() {
    let windows = Windows::periodic(ms(10));
    let mut script = Script::new(&windows);
    for (key, periods) in [("a", 1), ("b", 3), ("c", 2)] {
        let mut one = Script::new(&windows);
        one.tick(0);
        one.tick(periods * 10);
        assert_eq!(one.add(key, 0, periods), None);
        assert_eq!(script.machine.load(&one.machine.save(), |_| true), Ok(()));
    }
    assert_eq!(script.add("d", 0, 4), None);
    script.tick(0);
    script.expect(&[]);
    script.tick(10);
    script.expect_any_order(&[
        "a #1 OnTime [1]",
        "b #3 OnTime [3]",
        "c #2 OnTime [2]",
        "d #3 OnTime [4]",
    ]);
}
