use super::*;

const A: InletId = InletId(0);
const B: InletId = InletId(1);
const C: InletId = InletId(2);

/// Multiples of 2 and of 3, below 1000.
fn empty() -> Route<u32, &'static str> {
    Route::new()
        .to("two", |n: &u32| *n < 1000 && n.is_multiple_of(2))
        .to("three", |n| *n < 1000 && n.is_multiple_of(3))
}

/// A has the multiples of 2, B those of 3.
fn joined() -> Route<u32, &'static str> {
    let mut route = empty();
    route.join(A, PartitionName("two")).unwrap();
    route.join(B, PartitionName("three")).unwrap();
    route
}

fn offer(route: &mut impl Dispatch<u32>, events: &[u32]) -> usize {
    let mut events = events.to_vec();
    let offered = route.offer(&mut events);
    assert!(events.is_empty());
    offered.discarded
}

fn take(route: &mut impl Dispatch<u32>, inlet: InletId, max: usize) -> Vec<u32> {
    let mut out = Vec::new();
    route.take(inlet, max, &mut out);
    out
}

#[test]
fn an_event_goes_to_every_target_whose_predicate_holds() {
    let mut route = joined();
    assert_eq!(offer(&mut route, &[2, 3, 6, 12]), 0);
    assert_eq!(route.buffered(), 6);
    assert_eq!(take(&mut route, A, 9), [2, 6, 12]);
    assert_eq!(take(&mut route, B, 2), [3, 6]);
    assert_eq!((route.buffered_for(A), route.buffered_for(B)), (0, 1));
}

#[test]
fn what_no_predicate_wants_goes_to_the_rest_or_is_discarded_and_counted() {
    let mut route = joined();
    assert_eq!(offer(&mut route, &[1, 2, 5]), 2);
    let mut route = joined().otherwise("one");
    assert_eq!(offer(&mut route, &[1, 2, 5]), 0);
    route.join(C, PartitionName("one")).unwrap();
    assert_eq!(take(&mut route, C, 9), [1, 5]);
    assert_eq!(offer(&mut Route::<u32, ()>::new(), &[1, 2]), 2);
}

#[test]
fn a_target_that_is_named_twice_wants_what_either_predicate_wants_once() {
    let mut route = empty().to("two", |n| *n < 5).otherwise("two");
    route.join(A, PartitionName("two")).unwrap();
    offer(&mut route, &[1, 2, 7]);
    assert_eq!(take(&mut route, A, 9), [1, 2, 7]);
}

#[test]
fn an_event_is_cloned_for_each_of_its_targets_but_the_last() {
    let event = std::sync::Arc::new(());
    let mut route = Route::new().to(1, |_| true).to(2, |_| true).to(3, |_| true);
    let _ = route.offer(&mut vec![event.clone()]);
    assert_eq!(std::sync::Arc::strong_count(&event), 1 + 3);
}

#[test]
fn what_waits_for_a_target_without_an_inlet_stops_all_orders_when_it_is_full() {
    let mut route = empty().queue_max(2);
    route.join(A, PartitionName("two")).unwrap();
    route.demand(A, 9);
    offer(&mut route, &[3, 6]);
    assert_eq!(route.unmet_demand(), 0);
    route.join(B, PartitionName("three")).unwrap();
    assert_eq!(take(&mut route, B, 1), [3]);
    assert_eq!(route.unmet_demand(), 8);
}

#[test]
fn what_is_wanted_is_what_the_inlet_that_lacks_most_has_demanded() {
    let mut route = joined();
    route.demand(A, 5);
    route.demand(B, 3);
    assert_eq!(route.unmet_demand(), 5);
    offer(&mut route, &[2, 4, 8, 10]);
    assert_eq!(route.unmet_demand(), 3);
    offer(&mut route, &[6, 12, 18]);
    assert_eq!(route.unmet_demand(), 0);
}

#[test]
fn a_target_that_does_not_exist_or_is_taken_is_refused() {
    let mut route = joined();
    let taken = "target \"two\" has inlet 0 already: cancel that subscription first, or subscribe to another target";
    let missing = "no target \"five\": there are [\"two\", \"three\"]; subscribe to one of them";
    for (name, text) in [("two", taken), ("five", missing)] {
        let refused = route.join(C, PartitionName(name));
        assert_eq!(refused.unwrap_err().to_string(), text);
    }
}

#[test]
fn a_predicate_that_panics_leaves_the_chunk_whole() {
    let mut route = Route::new().to("all", |_: &u32| true).to("small", |n| {
        assert!(*n < 3, "too large");
        true
    });
    let mut events = vec![1, 2, 3];
    let offer = std::panic::AssertUnwindSafe(|| route.offer(&mut events));
    assert!(std::panic::catch_unwind(offer).is_err());
    assert_eq!(events, [1, 2, 3]);
    assert_eq!(route.buffered(), 0);
}

#[test]
fn a_clone_that_panics_leaves_the_chunk_whole() {
    #[derive(Debug, PartialEq)]
    struct Dear(u32);
    impl Clone for Dear {
        fn clone(&self) -> Self {
            assert!(self.0 < 3, "too dear");
            Self(self.0)
        }
    }
    let mut route = Route::new().to(1, |_: &Dear| true).to(2, |_| true);
    let mut events = vec![Dear(2), Dear(3)];
    let offer = std::panic::AssertUnwindSafe(|| route.offer(&mut events));
    assert!(std::panic::catch_unwind(offer).is_err());
    assert_eq!(events, [Dear(2), Dear(3)]);
    assert_eq!(route.buffered(), 0);
}
