//! Tests of [`JoinState`]: single rules, and a comparison with nested loops over all items.

mod naive;

use proptest::prelude::*;

use super::*;

type State = JoinState<u8, u32, u32>;
type Pair = Joined<u32, u32>;

const fn at(time: i64, since: u64) -> At {
    At {
        time: Timestamp::from_millis(time),
        since: Epoch(since),
    }
}

fn state(kind: WindowKind, lateness: i64, mode: JoinMode, items_max: usize) -> State {
    State::new(kind, lateness, mode, items_max).expect("the windows have a grid")
}

fn fixed(size: i64, mode: JoinMode) -> State {
    state(time(size, size), 0, mode, 100)
}

const fn time(size: i64, slide: i64) -> WindowKind {
    WindowKind::Time {
        size,
        slide,
        offset: 0,
    }
}

const fn window(start: i64, end: i64) -> Window {
    Window::Time {
        start: Timestamp::from_millis(start),
        end: Timestamp::from_millis(end),
    }
}

fn joined(window: Window, left: Option<u32>, right: Option<u32>, since: u64) -> Pair {
    Joined {
        window,
        time: window.time().unwrap_or(Timestamp::MIN),
        left,
        right,
        since: Epoch(since),
    }
}

#[test]
fn items_of_a_key_and_window_are_joined_at_once() {
    let mut out = Vec::new();
    let mut emit = |pair| out.push(pair);
    let mut state = fixed(10, JoinMode::Inner);
    state.left(1, 100, at(3, 5), &mut emit).unwrap();
    state.right(2, 200, at(4, 5), &mut emit).unwrap();
    state.right(1, 201, at(12, 5), &mut emit).unwrap();
    state.right(1, 202, at(9, 4), &mut emit).unwrap();
    assert_eq!(out, [joined(window(0, 10), Some(100), Some(202), 4)]);
}

#[test]
fn a_pair_is_emitted_once_for_each_window_that_both_share() {
    let mut out = Vec::new();
    let mut emit = |pair| out.push(pair);
    let mut state = state(time(10, 5), 0, JoinMode::Inner, 10);
    state.left(1, 100, at(3, 0), &mut emit).unwrap();
    state.right(1, 200, at(7, 0), &mut emit).unwrap();
    state.right(1, 201, at(4, 0), &mut emit).unwrap();
    let pair = |start, right| joined(window(start, start + 10), Some(100), Some(right), 0);
    assert_eq!(out, [pair(0, 200), pair(-5, 201), pair(0, 201)]);
    assert_eq!(state.len(), 3);
}

#[test]
fn outer_sides_are_emitted_without_a_partner_in_order_of_the_window_end() {
    let mut out = Vec::new();
    let mut emit = |pair| out.push(pair);
    let mut state = fixed(10, JoinMode::Full);
    state.right(1, 200, at(15, 2), &mut emit).unwrap();
    state.left(1, 100, at(5, 1), &mut emit).unwrap();
    assert_eq!((state.since(), state.len()), (Epoch(1), 2));
    state.watermark(Timestamp::from_millis(9), &mut emit);
    assert_eq!(state.len(), 2);
    state.watermark(Timestamp::from_millis(30), &mut emit);
    assert_eq!((state.since(), state.len()), (Epoch::NONE, 0));
    let expected = [
        joined(window(0, 10), Some(100), None, 1),
        joined(window(10, 20), None, Some(200), 2),
    ];
    assert_eq!(out, expected);
}

#[test]
fn a_late_item_is_returned_and_an_item_within_the_lateness_is_not() {
    let mut state = state(time(10, 10), 5, JoinMode::Inner, 10);
    state.watermark(Timestamp::from_millis(14), &mut drop);
    assert_eq!(state.left(1, 100, at(3, 0), &mut drop), Ok(()));
    state.watermark(Timestamp::from_millis(15), &mut drop);
    assert_eq!(
        state.left(1, 100, at(3, 0), &mut drop),
        Err(Refused::Late(100))
    );
    assert_eq!(
        state.right(1, 200, at(3, 0), &mut drop),
        Err(Refused::Late(200))
    );
}

#[test]
fn an_item_beyond_the_limit_is_returned_without_pairs() {
    let mut out = Vec::new();
    let mut emit = |pair| out.push(pair);
    let mut state = state(WindowKind::Global, 0, JoinMode::Inner, 1);
    state.left(1, 100, at(0, 0), &mut emit).unwrap();
    assert_eq!(
        state.right(1, 200, at(0, 0), &mut emit),
        Err(Refused::TooMany(200))
    );
    assert!(out.is_empty());
}

#[test]
fn the_global_window_closes_at_the_end_only() {
    let mut out = Vec::new();
    let mut state = state(WindowKind::Global, 0, JoinMode::Left, 10);
    state.left(1, 100, At::NONE, &mut drop).unwrap();
    state.watermark(Timestamp::MAX, &mut |pair| out.push(pair));
    assert!(out.is_empty());
    state.finish(&mut |pair| out.push(pair));
    let since = Epoch::NONE.0;
    assert_eq!(out, [joined(Window::Global, Some(100), None, since)]);
    assert_eq!(state.len(), 0);
}

#[test]
fn an_item_between_two_windows_is_dropped() {
    let mut state = state(time(5, 10), 0, JoinMode::Full, 10);
    assert_eq!(state.left(1, 100, at(7, 0), &mut drop), Ok(()));
    assert_eq!(state.len(), 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Add(bool, u8, i64, u64),
    Watermark(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (any::<bool>(), 0..3u8, -25..25i64, 0..9u64)
            .prop_map(|(is_left, key, time, since)| Step::Add(is_left, key, time, since)),
        3 => (-30..40i64).prop_map(Step::Watermark),
    ]
}

fn kind() -> impl Strategy<Value = WindowKind> {
    prop_oneof![
        1 => Just(WindowKind::Global),
        6 => (1..16i64, 1..12i64, -20..20i64)
            .prop_map(|(size, slide, offset)| WindowKind::Time { size, slide, offset }),
    ]
}

fn mode() -> impl Strategy<Value = JoinMode> {
    prop_oneof![
        Just(JoinMode::Inner),
        Just(JoinMode::Left),
        Just(JoinMode::Right),
        Just(JoinMode::Full),
    ]
}

fn sorted(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.sort_by_key(|pair| (pair.window, pair.left, pair.right, pair.since));
    pairs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn joins_match_nested_loops_over_all_items(
        kind in kind(),
        lateness in 0..10i64,
        mode in mode(),
        items_max in prop_oneof![1..6usize, Just(100)],
        steps in proptest::collection::vec(step(), 0..50),
    ) {
        let mut state = state(kind, lateness, mode, items_max);
        let mut naive = naive::Naive::new(kind, lateness, mode, items_max);
        for (id, step) in (0..).zip(steps) {
            let mut out = Vec::new();
            let mut emit = |pair| out.push(pair);
            let expected = match step {
                Step::Add(is_left, key, time, since) => {
                    let at = at(time, since);
                    let result = if is_left {
                        state.left(key, id, at, &mut emit)
                    } else {
                        state.right(key, id, at, &mut emit)
                    };
                    let expected = naive.add(is_left, key, id, at);
                    prop_assert_eq!(result, expected.clone().map(drop));
                    expected.unwrap_or_default()
                }
                Step::Watermark(to) => {
                    state.watermark(Timestamp::from_millis(to), &mut emit);
                    prop_assert!(out.is_sorted_by_key(|pair| pair.window), "in order of the end");
                    naive.close(Some(to))
                }
            };
            prop_assert_eq!(sorted(out), sorted(expected));
            prop_assert_eq!(state.len(), naive.held().count());
            let since = naive.held().map(|item| item.since).min();
            prop_assert_eq!(state.since(), since.map_or(Epoch::NONE, Epoch));
        }
        let mut out = Vec::new();
        state.finish(&mut |pair| out.push(pair));
        prop_assert!(out.is_sorted_by_key(|pair| pair.window), "in order of the end");
        prop_assert_eq!(sorted(out), sorted(naive.close(None)));
        prop_assert_eq!(state.len(), 0);
    }
}
