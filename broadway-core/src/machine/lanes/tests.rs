use super::*;

const A: InletId = InletId(0);
const B: InletId = InletId(1);
const C: InletId = InletId(2);

/// (key, number); key 0 means no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Event(u64, u32);

impl Keyed for Event {
    fn lane(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.0)
    }
}

fn joined() -> Lanes<Event> {
    let mut lanes = Lanes::new();
    for inlet in [A, B, C] {
        lanes.join(inlet, ()).unwrap();
    }
    lanes
}

fn offer(lanes: &mut Lanes<Event>, events: &[(u64, u32)]) {
    let mut events = events.iter().map(|&(key, n)| Event(key, n)).collect();
    assert_eq!(lanes.offer(&mut events).discarded, 0);
    assert!(events.is_empty());
}

fn take(lanes: &mut Lanes<Event>, inlet: InletId, max: usize) -> Vec<(u64, u32)> {
    let mut out = Vec::new();
    let n = lanes.take(inlet, max, &mut out);
    assert_eq!(n, out.len());
    out.into_iter().map(|event| (event.0, event.1)).collect()
}

fn give_back(lanes: &mut Lanes<Event>, inlet: InletId, rest: &[(u64, u32)]) {
    let mut rest = rest.iter().map(|&(key, n)| Event(key, n)).collect();
    lanes.give_back(inlet, &mut rest);
    assert!(rest.is_empty());
}

fn woken(lanes: &mut Lanes<Event>) -> Vec<InletId> {
    let mut out = Vec::new();
    lanes.wake(&mut out);
    out
}

#[test]
fn a_key_in_work_waits_and_blocks_no_other() {
    let mut lanes = joined();
    offer(&mut lanes, &[(1, 0)]);
    assert_eq!(take(&mut lanes, A, 10), [(1, 0)]);
    offer(&mut lanes, &[(1, 1), (2, 2), (1, 3)]);
    assert_eq!(take(&mut lanes, B, 10), [(2, 2)]);
    assert_eq!(take(&mut lanes, C, 10), []);
    lanes.done(A, 0);
    assert_eq!(take(&mut lanes, C, 10), [(1, 1), (1, 3)]);
    assert_eq!(lanes.buffered(), 0);
}

#[test]
fn what_is_left_of_a_lane_goes_behind_the_others() {
    let mut lanes = joined();
    offer(&mut lanes, &[(1, 0), (1, 1), (1, 2), (2, 3)]);
    assert_eq!(take(&mut lanes, A, 2), [(1, 0), (1, 1)]);
    lanes.done(A, 0);
    assert_eq!(take(&mut lanes, A, 9), [(2, 3), (1, 2)]);
}

#[test]
fn a_key_that_is_done_leaves_nothing_behind() {
    let mut lanes = joined();
    // Includes 0, which means no key.
    for round in 0..1000 {
        offer(&mut lanes, &[(round, 0)]);
        assert_eq!(take(&mut lanes, A, 9), [(round, 0)]);
        lanes.done(A, 0);
    }
    assert_eq!(lanes.live_keys(), 0);
    assert_eq!((lanes.lanes.len(), lanes.buffered()), (1, 0));
}

#[test]
fn what_comes_back_is_first_again_and_free_for_others() {
    let mut lanes = joined();
    offer(&mut lanes, &[(1, 0), (2, 1), (1, 2), (3, 3)]);
    assert_eq!(take(&mut lanes, A, 9), [(1, 0), (1, 2), (2, 1), (3, 3)]);
    offer(&mut lanes, &[(2, 4), (4, 5)]);
    give_back(&mut lanes, A, &[(1, 2), (2, 1), (3, 3)]);
    // Key 1 is still in the hands of A, with its first event.
    assert_eq!(take(&mut lanes, B, 9), [(2, 1), (2, 4), (3, 3), (4, 5)]);
    lanes.done(A, 0);
    assert_eq!(take(&mut lanes, A, 9), [(1, 2)]);
}

#[test]
fn the_last_that_are_kept_keep_their_lanes() {
    let mut lanes = joined();
    offer(&mut lanes, &[(1, 0), (2, 1), (2, 2), (3, 3)]);
    assert_eq!(take(&mut lanes, A, 9), [(1, 0), (2, 1), (2, 2), (3, 3)]);
    offer(&mut lanes, &[(1, 4), (2, 5), (3, 6)]);
    lanes.done(A, 2);
    assert_eq!(take(&mut lanes, B, 9), [(1, 4)]);
    give_back(&mut lanes, A, &[(2, 2), (3, 3)]);
    assert_eq!(take(&mut lanes, C, 9), [(2, 2), (2, 5), (3, 3), (3, 6)]);
    lanes.done(A, 9);
    lanes.done(B, 0);
    lanes.done(C, 0);
    assert_eq!((lanes.live_keys(), lanes.buffered()), (0, 0));
}

#[test]
fn a_lane_wakes_one_inlet_however_much_is_in_it() {
    let mut lanes = joined();
    for inlet in [A, B, C] {
        lanes.wait_for(inlet, 2);
    }
    offer(&mut lanes, &[(1, 0), (1, 1), (1, 2), (1, 3)]);
    assert_eq!(woken(&mut lanes), [A]);
    offer(&mut lanes, &[(2, 4)]);
    assert_eq!(woken(&mut lanes), [B]);
    assert_eq!(take(&mut lanes, A, 2).len(), 2);
    assert_eq!(woken(&mut lanes), []);
    lanes.done(A, 0);
    assert_eq!(woken(&mut lanes), [C]);
}

#[test]
fn an_inlet_that_leaves_lets_go_of_its_keys() {
    let mut lanes = joined();
    offer(&mut lanes, &[(1, 0), (1, 1)]);
    assert_eq!(take(&mut lanes, A, 1), [(1, 0)]);
    lanes.wait_for(B, 1);
    assert_eq!(woken(&mut lanes), []);
    lanes.leave(A);
    assert_eq!(woken(&mut lanes), [B]);
    assert_eq!(take(&mut lanes, B, 1), [(1, 1)]);
}

#[test]
fn events_without_a_key_wait_for_nothing() {
    let mut lanes = joined();
    offer(&mut lanes, &[(0, 0), (0, 1), (7, 2), (0, 3), (7, 4)]);
    assert_eq!(take(&mut lanes, A, 1), [(0, 0)]);
    assert_eq!(take(&mut lanes, B, 2), [(0, 1), (7, 2)]);
    // Key 7 is in the hands of B; what has no key is for anyone.
    assert_eq!(take(&mut lanes, C, 9), [(0, 3)]);
    lanes.done(B, 0);
    assert_eq!(take(&mut lanes, C, 9), [(7, 4)]);
}

#[test]
fn each_event_without_a_key_wakes_an_inlet() {
    let mut lanes = joined();
    for inlet in [A, B, C] {
        lanes.wait_for(inlet, 1);
    }
    offer(&mut lanes, &[(0, 0), (0, 1), (0, 2)]);
    assert_eq!(woken(&mut lanes).len(), 3);
}

#[test]
fn an_event_without_a_key_that_comes_back_is_first_again() {
    let mut lanes = joined();
    offer(&mut lanes, &[(0, 0), (0, 1), (0, 2)]);
    assert_eq!(take(&mut lanes, A, 2), [(0, 0), (0, 1)]);
    give_back(&mut lanes, A, &[(0, 1)]);
    assert_eq!(take(&mut lanes, B, 9), [(0, 1), (0, 2)]);
    lanes.done(A, 0);
    lanes.done(B, 0);
    assert_eq!((lanes.live_keys(), lanes.buffered()), (0, 0));
}
