use super::*;

const A: InletId = InletId(0);
const B: InletId = InletId(1);
const C: InletId = InletId(2);

type Route = fn(&u32) -> Option<usize>;
type Numbered = Partition<u32, usize, Route>;

/// Three partitions by remainder; multiples of 100 are discarded, those above 1000 lost.
fn empty() -> Numbered {
    Partition::new(3, |&event| match event {
        event if event > 1000 => Some(event as usize),
        event if event % 100 == 0 => None,
        event => Some(event as usize % 3),
    })
}

/// A has partition 0, B has partition 1, nobody has partition 2.
fn joined() -> Numbered {
    let mut partition = empty();
    partition.join(A, PartitionName(0)).unwrap();
    partition.join(B, PartitionName(1)).unwrap();
    partition
}

fn offer<K: Eq + Hash + Debug>(
    partition: &mut Partition<u32, K, impl FnMut(&u32) -> Option<K>>,
    events: &[u32],
) -> Offered<u32> {
    let mut events = events.to_vec();
    let offered = partition.offer(&mut events);
    assert!(events.is_empty());
    offered
}

fn take(partition: &mut impl Dispatch<u32>, inlet: InletId, max: usize) -> Vec<u32> {
    let mut out = Vec::new();
    partition.take(inlet, max, &mut out);
    out
}

fn woken(partition: &mut Numbered) -> Vec<InletId> {
    let mut out = Vec::new();
    partition.wake(&mut out);
    out
}

fn refusal<K: Eq + Hash + Debug>(
    partition: &mut Partition<u32, K, impl FnMut(&u32) -> Option<K>>,
    inlet: InletId,
    name: K,
) -> String {
    let refused = partition.join(inlet, PartitionName(name));
    refused.unwrap_err().to_string()
}

#[test]
fn each_inlet_gets_its_partition_in_order() {
    let mut partition = joined();
    assert_eq!(offer(&mut partition, &[1, 3, 4, 6, 7]).discarded, 0);
    assert_eq!(take(&mut partition, A, 9), [3, 6]);
    assert_eq!(take(&mut partition, B, 2), [1, 4]);
    assert_eq!(partition.buffered(), 1);
    assert_eq!(
        (partition.buffered_for(A), partition.buffered_for(B)),
        (0, 1)
    );
}

#[test]
fn named_partitions_work_like_numbered_ones() {
    let mut partition = Partition::named(["odd", "even", "odd"], |event: &u32| {
        Some(if event.is_multiple_of(2) {
            "even"
        } else {
            "odd"
        })
    });
    partition.join(A, PartitionName("odd")).unwrap();
    partition.join(B, PartitionName("even")).unwrap();
    let _ = offer(&mut partition, &[1, 2, 3]);
    assert_eq!(take(&mut partition, A, 9), [1, 3]);
    assert_eq!(take(&mut partition, B, 9), [2]);
}

#[test]
fn equal_keys_share_a_partition_and_keys_spread_over_all() {
    let mut partition = Partition::by_hash(4, |event: &u32| event / 2);
    for n in 0..4 {
        let inlet = InletId(n);
        let seat = PartitionName(n as usize);
        partition.join(inlet, seat).unwrap();
    }
    let _ = offer(&mut partition, &(0..800).collect::<Vec<_>>());
    for n in 0..4 {
        let taken = take(&mut partition, InletId(n), 800);
        assert!((100..300).contains(&taken.len()), "{} of 800", taken.len());
        let pairs = taken.chunks(2);
        assert!(pairs.into_iter().all(|pair| pair[0] / 2 == pair[1] / 2));
    }
}

#[test]
fn discarded_and_misrouted_events_come_back_at_once() {
    let mut partition = joined();
    let offered = offer(&mut partition, &[100, 3, 1001, 200]);
    assert_eq!(offered.discarded, 2);
    let texts: Vec<String> = offered.misrouted.iter().map(ToString::to_string).collect();
    let text = "the partition function returned 1001 but there are 0 to 2: return one of them, or none to discard";
    assert_eq!(texts, [text]);
    assert_eq!(offered.misrouted[0].event, 1001);
    assert_eq!(partition.buffered(), 1);
}

#[test]
fn an_unknown_name_is_told_as_text() {
    let mut partition = Partition::named(["eu", "us"], |_: &u32| Some("asia"));
    let offered = offer(&mut partition, &[7]);
    let text = r#"the partition function returned "asia" but there are ["eu", "us"]: return one of them, or none to discard"#;
    assert_eq!(offered.misrouted[0].to_string(), text);
}

#[test]
fn events_without_an_inlet_wait_for_one() {
    let mut partition = empty();
    assert_eq!(offer(&mut partition, &[3, 6]).discarded, 0);
    partition.join(A, PartitionName(0)).unwrap();
    assert_eq!(take(&mut partition, A, 1), [3]);
    partition.leave(A);
    partition.join(C, PartitionName(0)).unwrap();
    partition.wait_for(C, 5);
    assert_eq!(woken(&mut partition), [C]);
    assert_eq!(take(&mut partition, C, 5), [6]);
}

#[test]
fn only_an_inlet_with_something_to_take_is_woken() {
    let mut partition = joined();
    partition.wait_for(A, 5);
    partition.wait_for(B, 5);
    assert_eq!(offer(&mut partition, &[1, 4]).discarded, 0);
    assert_eq!(woken(&mut partition), [B]);
    assert_eq!(woken(&mut partition), []);
    partition.wait_for(B, 5);
    assert_eq!(woken(&mut partition), [B]);
}

#[test]
fn a_seat_that_does_not_exist_or_is_taken_is_refused() {
    let mut partition = joined();
    let taken = "partition 1 has inlet 1 already: cancel that subscription first, or subscribe to another partition";
    assert_eq!(refusal(&mut partition, C, 1), taken);
    let missing = "no partition 3: there are 0 to 2; subscribe to one of them";
    assert_eq!(refusal(&mut partition, C, 3), missing);
    partition.join(C, PartitionName(2)).unwrap();

    let mut named = Partition::named('a'..='z', |_: &u32| None);
    let missing = "no partition 'A': there are ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] and 18 more; subscribe to one of them";
    assert_eq!(refusal(&mut named, A, 'A'), missing);
}

#[test]
fn a_function_that_panics_leaves_the_chunk_whole() {
    let mut partition = Partition::new(1, |&event: &u32| {
        assert!(event < 3, "too large");
        Some(0)
    });
    let mut events = vec![1, 2, 3];
    let offer = std::panic::AssertUnwindSafe(|| partition.offer(&mut events));
    assert!(std::panic::catch_unwind(offer).is_err());
    assert_eq!(events, [1, 2, 3]);
    assert_eq!(partition.buffered(), 0);
}

#[test]
fn what_is_demanded_and_not_there_is_wanted() {
    let mut partition = joined();
    partition.demand(A, 5);
    partition.demand(B, 2);
    assert_eq!(partition.unmet_demand(), 7);
    let _ = offer(&mut partition, &[3, 1, 4, 7]);
    // One more than B has demanded lies there: A's demand is as it was.
    assert_eq!(partition.unmet_demand(), 4);
    take(&mut partition, B, 2);
    partition.demand(B, 2);
    assert_eq!(partition.unmet_demand(), 5);
    partition.leave(B);
    assert_eq!(partition.unmet_demand(), 4);
}

#[test]
fn discarded_and_stray_events_are_wanted_again() {
    let mut partition = joined();
    partition.demand(A, 4);
    let _ = offer(&mut partition, &[100, 200, 2, 5, 3]);
    assert_eq!(partition.unmet_demand(), 3);
}

#[test]
fn a_full_queue_stops_all_orders_until_it_is_taken_from() {
    let mut partition = joined().queue_max(2);
    partition.demand(A, 5);
    let _ = offer(&mut partition, &[1, 4]);
    assert_eq!(partition.unmet_demand(), 0);
    assert_eq!(take(&mut partition, B, 1), [1]);
    assert_eq!(partition.unmet_demand(), 5);
    // A limit of 0 would stop everything for ever.
    let mut partition = joined().queue_max(0);
    partition.demand(A, 5);
    assert_eq!(partition.unmet_demand(), 5);
}

#[test]
fn a_mark_waits_for_backed_up_inlets_and_for_no_one_else() {
    let mut partition = joined();
    partition.demand(A, 1);
    // One for A that it has demanded, two for B that it has not, one that nobody takes.
    let _ = offer(&mut partition, &[3, 1, 4, 2]);
    let mark = partition.mark();
    assert!(!partition.has_passed(&mark));
    partition.demand(B, 1);
    assert!(!partition.has_passed(&mark));
    take(&mut partition, B, 1);
    partition.demand(B, 1);
    assert!(partition.has_passed(&mark));
    let _ = offer(&mut partition, &[7, 10, 13]);
    assert!(
        partition.has_passed(&mark),
        "what came later holds nothing back"
    );
    assert!(!partition.has_passed(&partition.mark()));
    partition.leave(B);
    assert!(partition.has_passed(&partition.mark()));
}
