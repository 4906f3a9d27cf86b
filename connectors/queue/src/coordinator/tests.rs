#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! The coordinator: named cases here, and random `histories` against a naive `model`.

use super::*;

mod histories;
mod model;

const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);
const C: MemberId = MemberId(3);

fn assign(member: MemberId, partition: u32, epoch: u64) -> Action {
    Action::Assign {
        member,
        partition,
        epoch: Epoch(epoch),
    }
}

fn revoke(member: MemberId, partition: u32, epoch: u64) -> Action {
    Action::Revoke {
        member,
        partition,
        epoch: Epoch(epoch),
    }
}

/// A coordinator whose only member is [`A`].
fn owned_by_a(partitions: u32) -> Coordinator {
    let mut coordinator = Coordinator::new(partitions);
    assert_eq!(coordinator.join(A).len(), partitions as usize);
    coordinator
}

fn numbers(coordinator: &Coordinator, member: MemberId) -> Vec<u32> {
    let partitions = coordinator.partitions_of(member);
    partitions.map(|(number, _)| number).collect()
}

#[test]
fn the_first_member_gets_every_partition() {
    let mut coordinator = Coordinator::new(3);
    assert_eq!(coordinator.owner(0), None);
    let actions = coordinator.join(A);
    assert_eq!(actions, [assign(A, 0, 1), assign(A, 1, 1), assign(A, 2, 1)]);
    assert_eq!(coordinator.owner(2), Some((A, Epoch(1))));
    assert_eq!(numbers(&coordinator, A), [0, 1, 2]);
}

#[test]
fn a_partition_is_assigned_again_only_after_its_owner_released_it() {
    let mut coordinator = owned_by_a(4);
    assert_eq!(coordinator.join(B), [revoke(A, 2, 1), revoke(A, 3, 1)]);
    assert_eq!(coordinator.owner(2), Some((A, Epoch(1))));
    assert_eq!(numbers(&coordinator, A), [0, 1, 2, 3]);
    assert!(numbers(&coordinator, B).is_empty());
    assert_eq!(coordinator.released(A, 3, Epoch(1)), [assign(B, 3, 2)]);
    assert_eq!(coordinator.released(A, 2, Epoch(1)), [assign(B, 2, 2)]);
    assert_eq!(numbers(&coordinator, A), [0, 1]);
    assert_eq!(numbers(&coordinator, B), [2, 3]);
}

#[test]
fn a_crash_frees_the_partitions_at_once() {
    let mut coordinator = owned_by_a(2);
    assert_eq!(coordinator.join(B), [revoke(A, 1, 1)]);
    let actions = coordinator.leave(A);
    assert_eq!(actions, [assign(B, 0, 2), assign(B, 1, 2)]);
    // The member that crashed may still answer.
    assert_eq!(coordinator.released(A, 1, Epoch(1)), []);
    assert_eq!(coordinator.owner(1), Some((B, Epoch(2))));
}

#[test]
fn a_late_answer_does_not_end_a_newer_assignment() {
    let mut coordinator = owned_by_a(2);
    assert_eq!(coordinator.join(B), [revoke(A, 1, 1)]);
    assert_eq!(coordinator.leave(B), []);
    assert_eq!(coordinator.released(A, 1, Epoch(1)), [assign(A, 1, 2)]);
    assert_eq!(coordinator.join(B), [revoke(A, 1, 2)]);
    assert_eq!(coordinator.released(A, 1, Epoch(1)), []);
    assert_eq!(coordinator.owner(1), Some((A, Epoch(2))));
    assert_eq!(coordinator.released(A, 1, Epoch(2)), [assign(B, 1, 3)]);
}

#[test]
fn only_the_owner_can_release_a_partition_and_only_when_asked() {
    let mut coordinator = owned_by_a(2);
    assert_eq!(coordinator.released(A, 0, Epoch(1)), []);
    assert_eq!(coordinator.join(B), [revoke(A, 1, 1)]);
    assert_eq!(coordinator.released(B, 1, Epoch(1)), []);
    assert_eq!(coordinator.released(A, 1, Epoch(2)), []);
    assert_eq!(coordinator.released(A, 7, Epoch(1)), []);
    assert_eq!(coordinator.owner(0), Some((A, Epoch(1))));
    assert_eq!(coordinator.owner(1), Some((A, Epoch(1))));
}

#[test]
fn a_needless_revocation_completes_and_the_partition_returns_to_its_owner() {
    let mut coordinator = Coordinator::new(5);
    assert_eq!(coordinator.join(B).len(), 5);
    assert_eq!(coordinator.join(A), [revoke(B, 3, 1), revoke(B, 4, 1)]);
    assert_eq!(coordinator.released(B, 3, Epoch(1)), [assign(A, 3, 2)]);
    assert_eq!(coordinator.released(B, 4, Epoch(1)), [assign(A, 4, 2)]);
    assert_eq!(coordinator.join(C), [revoke(B, 2, 1)]);
    assert_eq!(coordinator.leave(C), []);
    // A and B have two others each. A would get it if it were any free partition.
    assert_eq!(coordinator.released(B, 2, Epoch(1)), [assign(B, 2, 2)]);
}

#[test]
fn a_needless_revocation_serves_the_next_member() {
    let mut coordinator = owned_by_a(4);
    assert_eq!(coordinator.join(B), [revoke(A, 2, 1), revoke(A, 3, 1)]);
    assert_eq!(coordinator.leave(B), []);
    assert_eq!(coordinator.join(C), []);
    assert_eq!(coordinator.released(A, 2, Epoch(1)), [assign(C, 2, 2)]);
}

#[test]
fn a_join_takes_from_the_members_with_most() {
    let mut coordinator = owned_by_a(5);
    assert_eq!(coordinator.join(B), [revoke(A, 3, 1), revoke(A, 4, 1)]);
    assert_eq!(coordinator.released(A, 3, Epoch(1)), [assign(B, 3, 2)]);
    assert_eq!(coordinator.released(A, 4, Epoch(1)), [assign(B, 4, 2)]);
    assert_eq!(coordinator.join(C), [revoke(A, 2, 1)]);
    assert_eq!(coordinator.released(A, 2, Epoch(1)), [assign(C, 2, 2)]);
}

#[test]
fn a_leave_moves_only_the_partitions_of_the_member_that_left() {
    let mut coordinator = Coordinator::new(0);
    for member in [A, B, C] {
        assert_eq!(coordinator.join(member), []);
    }
    assert_eq!(coordinator.set_partitions(7).len(), 7);
    assert_eq!(numbers(&coordinator, A), [0, 3, 6]);
    assert_eq!(numbers(&coordinator, B), [1, 4]);
    assert_eq!(coordinator.leave(B), [assign(C, 1, 2), assign(A, 4, 2)]);
}

#[test]
fn new_partitions_go_to_the_members_with_fewest() {
    let mut coordinator = owned_by_a(1);
    assert_eq!(coordinator.join(B), []);
    let actions = coordinator.set_partitions(4);
    assert_eq!(actions, [assign(B, 1, 1), assign(A, 2, 1), assign(B, 3, 1)]);
    // The topic never shrinks.
    assert_eq!(coordinator.set_partitions(2), []);
    assert_eq!(coordinator.owner(3), Some((B, Epoch(1))));
    assert_eq!(coordinator.owner(4), None);
}

#[test]
fn members_beyond_the_partitions_wait_for_one() {
    let mut coordinator = owned_by_a(1);
    assert_eq!(coordinator.join(B), []);
    assert!(numbers(&coordinator, B).is_empty());
    assert_eq!(coordinator.leave(A), [assign(B, 0, 2)]);
}

#[test]
fn joining_twice_and_leaving_twice_change_nothing() {
    let mut coordinator = owned_by_a(2);
    assert_eq!(coordinator.join(A), []);
    assert_eq!(coordinator.leave(B), []);
    assert_eq!(coordinator.leave(A), []);
    assert_eq!(coordinator.leave(A), []);
    assert_eq!(coordinator.owner(0), None);
}

#[test]
fn epochs_continue_after_the_group_was_empty() {
    let mut coordinator = owned_by_a(1);
    assert_eq!(coordinator.leave(A), []);
    assert_eq!(coordinator.join(A), [assign(A, 0, 2)]);
}
