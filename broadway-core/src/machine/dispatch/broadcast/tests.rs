use super::*;

const A: InletId = InletId(0);
const B: InletId = InletId(1);
const C: InletId = InletId(2);

fn joined(inlets: &[InletId]) -> Broadcast<u32> {
    let mut broadcast = Broadcast::new();
    for &inlet in inlets {
        broadcast.join(inlet, Selector::everything()).unwrap();
    }
    broadcast
}

fn offer(broadcast: &mut Broadcast<u32>, events: std::ops::Range<u32>) {
    let mut events = events.collect();
    let _ = broadcast.offer(&mut events);
    assert!(events.is_empty());
}

fn take<T: Clone>(broadcast: &mut Broadcast<T>, inlet: InletId) -> Vec<T> {
    let mut out = Vec::new();
    broadcast.take(inlet, usize::MAX, &mut out);
    out
}

fn woken(broadcast: &mut Broadcast<u32>) -> Vec<InletId> {
    let mut out = Vec::new();
    broadcast.wake(&mut out);
    out
}

#[test]
fn nobody_wants_anything_before_someone_demands() {
    let mut broadcast = joined(&[]);
    assert_eq!(broadcast.unmet_demand(), 0);
    broadcast.join(A, Selector::default()).unwrap();
    assert_eq!(broadcast.unmet_demand(), 0);
    broadcast.demand(A, 10);
    assert_eq!(broadcast.unmet_demand(), 10);
    broadcast.leave(A);
    assert_eq!(broadcast.unmet_demand(), 0);
}

#[test]
fn the_slowest_sets_the_pace_also_when_it_joins_late() {
    let mut broadcast = joined(&[A, B]);
    broadcast.demand(A, 10);
    broadcast.demand(B, 4);
    assert_eq!(broadcast.unmet_demand(), 4);
    broadcast.join(C, Selector::default()).unwrap();
    assert_eq!(broadcast.unmet_demand(), 0);
    broadcast.demand(C, 20);
    assert_eq!(broadcast.unmet_demand(), 4);
    broadcast.demand(B, 20);
    assert_eq!(broadcast.unmet_demand(), 10);
}

#[test]
fn everyone_gets_everything_in_order_again_and_again() {
    let mut broadcast = joined(&[A, B]);
    for round in 0..3 {
        broadcast.demand(A, 3);
        broadcast.demand(B, 2);
        let first = round * 2;
        offer(&mut broadcast, first..first + 2);
        assert_eq!(take(&mut broadcast, A), [first, first + 1]);
        assert_eq!(take(&mut broadcast, B), [first, first + 1]);
    }
    assert_eq!(broadcast.unmet_demand(), 0);
    broadcast.demand(B, 9);
    assert_eq!(broadcast.unmet_demand(), 3);
}

#[test]
fn what_the_slowest_has_not_demanded_waits_for_it() {
    let mut broadcast = joined(&[A, B]);
    broadcast.demand(A, 10);
    broadcast.demand(B, 2);
    offer(&mut broadcast, 0..5);
    assert_eq!(take(&mut broadcast, A), [0, 1]);
    assert_eq!((broadcast.buffered(), broadcast.unmet_demand()), (5, 0));
    broadcast.demand(B, 9);
    assert_eq!(take(&mut broadcast, A), [2, 3, 4]);
    assert_eq!(take(&mut broadcast, B), [0, 1, 2, 3, 4]);
    assert_eq!((broadcast.buffered(), broadcast.unmet_demand()), (0, 5));
}

#[test]
fn a_blocking_inlet_that_leaves_releases_the_others() {
    let mut broadcast = joined(&[A, B]);
    broadcast.demand(A, 10);
    offer(&mut broadcast, 0..3);
    broadcast.wait_for(A, 10);
    assert_eq!(woken(&mut broadcast), []);
    broadcast.leave(B);
    assert_eq!(woken(&mut broadcast), [A]);
    assert_eq!(take(&mut broadcast, A), [0, 1, 2]);
    assert_eq!(broadcast.unmet_demand(), 7);
}

#[test]
fn copies_of_an_inlet_that_leaves_go_with_it_unless_it_was_the_last() {
    let mut broadcast = joined(&[A, B]);
    broadcast.demand(A, 10);
    broadcast.demand(B, 10);
    offer(&mut broadcast, 0..4);
    broadcast.leave(A);
    assert_eq!(broadcast.buffered(), 4);
    offer(&mut broadcast, 4..6);
    broadcast.leave(B);
    offer(&mut broadcast, 6..8);
    assert_eq!(broadcast.buffered(), 8);
    broadcast.join(C, Selector::default()).unwrap();
    assert_eq!(broadcast.unmet_demand(), 0);
    broadcast.demand(C, 7);
    assert_eq!(take(&mut broadcast, C), [0, 1, 2, 3, 4, 5, 6]);
    broadcast.demand(C, 7);
    assert_eq!(take(&mut broadcast, C), [7]);
}

#[test]
fn events_that_fall_back_come_again_and_before_later_ones() {
    let mut broadcast = joined(&[A]);
    broadcast.demand(A, 3);
    offer(&mut broadcast, 0..5);
    broadcast.leave(A);
    broadcast.join(B, Selector::default()).unwrap();
    broadcast.demand(B, 9);
    assert_eq!(take(&mut broadcast, B), [0, 1, 2, 3, 4]);
    offer(&mut broadcast, 5..7);
    assert_eq!(take(&mut broadcast, B), [5, 6]);
}

#[test]
fn what_a_selector_rejects_is_demanded_again() {
    let mut broadcast = joined(&[A]);
    let even = Selector::new(|event: &u32| event.is_multiple_of(2));
    broadcast.join(B, even.clone()).unwrap();
    broadcast.demand(A, 10);
    broadcast.demand(B, 2);
    assert_eq!(broadcast.unmet_demand(), 2);
    offer(&mut broadcast, 0..4);
    // Of its two, B got 0 and 2; 1 did not count. Then nothing more is distributed.
    assert_eq!(take(&mut broadcast, A), [0, 1, 2]);
    assert_eq!(take(&mut broadcast, B), [0, 2]);
    assert_eq!(broadcast.unmet_demand(), 0);
    broadcast.demand(B, 5);
    assert_eq!(broadcast.unmet_demand(), 5);
    broadcast.leave(A);
    assert_eq!(format!("{even:?}"), "Selector(by function)");
}

#[test]
fn the_last_to_join_may_select_too() {
    let mut broadcast = Broadcast::new();
    let odd = Selector::new(|event: &u32| !event.is_multiple_of(2));
    broadcast.join(A, odd).unwrap();
    broadcast.demand(A, 2);
    offer(&mut broadcast, 0..6);
    assert_eq!(take(&mut broadcast, A), [1, 3]);
    assert_eq!(broadcast.buffered(), 2, "4 and 5 come after its demand");
}

#[test]
fn only_inlets_that_got_something_are_woken() {
    let mut broadcast = joined(&[A, B]);
    let never = Selector::new(|_: &u32| false);
    broadcast.join(C, never).unwrap();
    for inlet in [A, B, C] {
        broadcast.demand(inlet, 5);
        broadcast.wait_for(inlet, 5);
    }
    broadcast.wait_for(B, 0);
    offer(&mut broadcast, 0..2);
    assert_eq!(woken(&mut broadcast), [A]);
    assert_eq!(woken(&mut broadcast), []);
    broadcast.wait_for(B, 5);
    assert_eq!(woken(&mut broadcast), [B]);
}

#[test]
fn joining_twice_is_leaving_and_joining() {
    let mut broadcast = joined(&[A, B]);
    broadcast.demand(A, 5);
    broadcast.demand(B, 5);
    offer(&mut broadcast, 0..2);
    broadcast.join(A, Selector::default()).unwrap();
    assert!(take(&mut broadcast, A).is_empty());
    assert_eq!(take(&mut broadcast, B), [0, 1]);
    assert_eq!(broadcast.unmet_demand(), 0);
}

#[test]
fn a_mark_is_passed_when_all_before_it_is_demanded_by_all() {
    let mut broadcast = joined(&[A, B]);
    assert!(broadcast.has_passed(&broadcast.mark()));
    broadcast.demand(A, 5);
    broadcast.demand(B, 1);
    offer(&mut broadcast, 0..2);
    let mark = broadcast.mark();
    offer(&mut broadcast, 2..4);
    assert!(!broadcast.has_passed(&mark));
    broadcast.demand(B, 1);
    assert!(broadcast.has_passed(&mark));
    assert!(!broadcast.has_passed(&broadcast.mark()));
}

#[test]
fn with_one_inlet_nothing_is_cloned() {
    struct Precious(u32);
    impl Clone for Precious {
        fn clone(&self) -> Self {
            panic!("cloned");
        }
    }
    let mut broadcast = Broadcast::new();
    broadcast.join(A, Selector::default()).unwrap();
    broadcast.demand(A, 10);
    let mut events: Vec<Precious> = (0..9).map(Precious).collect();
    let memory = events.as_ptr();
    let _ = broadcast.offer(&mut events);
    let taken = take(&mut broadcast, A);
    assert_eq!(taken.as_ptr(), memory, "it changes hands by its pointer");
    assert!(taken.iter().map(|event| event.0).eq(0..9));
}

#[test]
fn a_panic_of_the_user_loses_no_more_than_what_it_was_about() {
    let mut broadcast = joined(&[A]);
    let armed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let trap = std::sync::Arc::clone(&armed);
    let selector = Selector::new(move |&event: &u32| {
        let sprung = trap.load(std::sync::atomic::Ordering::Relaxed) && event == 2;
        assert!(!sprung, "sprung");
        true
    });
    broadcast.join(B, selector).unwrap();
    broadcast.demand(A, 10);
    broadcast.demand(B, 1);
    offer(&mut broadcast, 0..4);
    // Of the backlog goes what was to be handed out, so that the next demand does not come upon it again.
    let demand = AssertUnwindSafe(|| broadcast.demand(B, 2));
    assert!(catch_unwind(demand).is_err());
    armed.store(false, std::sync::atomic::Ordering::Relaxed);
    broadcast.demand(B, 1);
    assert_eq!(take(&mut broadcast, A), [0, 3]);
    assert_eq!(take(&mut broadcast, B), [0, 3]);

    // On offer it stays with the outlet.
    armed.store(true, std::sync::atomic::Ordering::Relaxed);
    broadcast.demand(B, 10);
    let mut events = vec![1, 2];
    let offer = AssertUnwindSafe(|| broadcast.offer(&mut events));
    assert!(catch_unwind(offer).is_err());
    assert_eq!(events, [1, 2]);
    assert_eq!(broadcast.buffered(), 0);
    // Two of the ten that A demanded were dropped above, and are wanted still.
    assert_eq!(broadcast.unmet_demand(), 8);
}
