use super::*;

const A: InletId = InletId(0);
const B: InletId = InletId(1);
const OUTLET: OutletId = OutletId(0);

type Route = fn(&u32) -> Option<usize>;

/// Three partitions by remainder; multiples of 100 are discarded, those above 1000 lost.
fn joined() -> Partition<u32, Route> {
    let route: Route = |&event| match event {
        event if event > 1000 => Some(event as usize),
        event if event % 100 == 0 => None,
        event => Some(event as usize % 3),
    };
    let mut partition = Partition::new(3, route);
    partition.join(A, 0).unwrap();
    partition.join(B, 1).unwrap();
    partition
}

fn offer(partition: &mut Partition<u32, Route>, events: &[u32]) -> Offered<u32> {
    let mut events = events.to_vec();
    let offered = partition.offer(OUTLET, &mut events);
    assert!(events.is_empty());
    offered
}

fn take(partition: &mut Partition<u32, Route>, inlet: InletId, max: usize) -> Vec<u32> {
    let mut out = Vec::new();
    partition.take(inlet, max, &mut out, &mut |_, _| {});
    out
}

fn woken(partition: &mut Partition<u32, Route>) -> Vec<InletId> {
    let mut out = Vec::new();
    partition.wake(&mut out);
    out
}

#[test]
fn each_inlet_gets_its_partition_in_order() {
    let mut partition = joined();
    assert_eq!(offer(&mut partition, &[1, 3, 4, 6, 7]).discarded, 0);
    assert_eq!(take(&mut partition, A, 9), [3, 6]);
    assert_eq!(take(&mut partition, B, 2), [1, 4]);
    assert_eq!(partition.buffered(), 1);
}

#[test]
fn discarded_and_misrouted_events_come_back_at_once() {
    let mut partition = joined();
    let offered = offer(&mut partition, &[100, 3, 1001, 200]);
    assert_eq!(offered.discarded, 2);
    let misrouted = Misrouted {
        event: 1001,
        partition: 1001,
        partitions: 3,
    };
    assert_eq!(offered.misrouted, [misrouted]);
    assert_eq!(partition.buffered(), 1);
}

#[test]
fn events_without_an_inlet_wait_for_one() {
    let mut partition = joined();
    assert_eq!(offer(&mut partition, &[3, 6]).discarded, 0);
    assert_eq!(take(&mut partition, A, 1), [3]);
    partition.leave(A);
    let next = InletId(2);
    partition.join(next);
    partition.ask(next, 5);
    assert_eq!(woken(&mut partition), []);
    assert_eq!(partition.assign(next, 0), Ok(()));
    assert_eq!(woken(&mut partition), [next]);
    assert_eq!(take(&mut partition, next, 5), [6]);
}

#[test]
fn only_an_inlet_with_something_to_take_is_woken() {
    let mut partition = joined();
    partition.ask(A, 5);
    partition.ask(B, 5);
    assert_eq!(offer(&mut partition, &[1, 4]).discarded, 0);
    assert_eq!(woken(&mut partition), [B]);
    assert_eq!(woken(&mut partition), []);
    partition.ask(B, 5);
    assert_eq!(woken(&mut partition), [B]);
}

#[test]
fn a_partition_has_one_inlet_and_an_inlet_one_partition() {
    let mut partition = joined();
    let next = InletId(2);
    partition.join(next);
    let taken = AssignError::PartitionTaken {
        partition: 1,
        owner: B,
    };
    assert_eq!(partition.assign(next, 1), Err(taken));
    let missing = AssignError::NoSuchPartition {
        partition: 3,
        partitions: 3,
    };
    assert_eq!(partition.assign(next, 3), Err(missing));
    let seated = AssignError::InletTaken {
        inlet: A,
        partition: 0,
    };
    assert_eq!(partition.assign(A, 2), Err(seated));
}

#[test]
fn what_comes_back_is_first_again() {
    let mut partition = joined();
    assert_eq!(offer(&mut partition, &[3, 6, 9]).discarded, 0);
    let mut taken = take(&mut partition, A, 2);
    partition.give_back(A, &mut taken, &mut |_, _| {});
    assert_eq!(partition.buffered(), 3);
    assert_eq!(take(&mut partition, A, 9), [3, 6, 9]);
}
