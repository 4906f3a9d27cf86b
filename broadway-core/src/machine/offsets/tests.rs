#![allow(clippy::unwrap_used)]
use super::OffsetOutcome::{Done, Failed, Skipped};
use super::*;

fn delivered(runs: &[(i64, usize)]) -> Offsets {
    let mut offsets = Offsets::new();
    for &(first, n) in runs {
        offsets.delivered_run(first, n).unwrap();
    }
    offsets
}

#[test]
fn the_commit_is_the_end_of_the_settled_prefix() {
    let mut offsets = delivered(&[(10, 4)]);
    for (offset, commit) in [(11, None), (10, Some(12)), (13, Some(12)), (12, Some(14))] {
        offsets.settled(offset, Done).unwrap();
        assert_eq!(offsets.commit(), commit);
    }
    assert_eq!((offsets.in_flight(), offsets.done_beyond()), (0, 0));
}

#[test]
fn gaps_are_crossed_without_being_committed_early() {
    let mut offsets = delivered(&[(0, 2), (i64::MAX - 2, 2)]);
    offsets.settled_run(0, 2, Done).unwrap();
    assert_eq!(offsets.commit(), Some(2), "not the end of the gap");
    offsets.settled(i64::MAX - 2, Done).unwrap();
    assert_eq!(offsets.commit(), Some(i64::MAX - 1));
    offsets.settled(i64::MAX - 1, Done).unwrap();
    assert_eq!(offsets.commit(), Some(i64::MAX));
}

#[test]
fn a_commit_is_taken_once() {
    let mut offsets = delivered(&[(5, 2)]);
    assert_eq!(offsets.take_commit(), None);
    offsets.settled(5, Done).unwrap();
    assert_eq!(offsets.take_commit(), Some(6));
    assert_eq!(offsets.take_commit(), None);
}

#[test]
fn a_failure_stops_the_prefix_for_ever() {
    let mut offsets = delivered(&[(0, 200)]);
    offsets.settled_run(0, 50, Done).unwrap();
    offsets.settled(150, Failed).unwrap();
    offsets.settled(60, Failed).unwrap();
    offsets.settled_run(50, 10, Done).unwrap();
    offsets.settled_run(61, 89, Done).unwrap();
    offsets.settled_run(151, 49, Done).unwrap();
    assert_eq!(offsets.commit(), Some(60));
    assert_eq!(offsets.halted(), Some(60));
    assert_eq!(
        (
            offsets.failures(),
            offsets.done_beyond(),
            offsets.in_flight()
        ),
        (2, 138, 0)
    );
}

#[test]
fn skipping_a_failure_lifts_the_halt() {
    let mut offsets = delivered(&[(0, 100)]);
    offsets.settled(3, Failed).unwrap();
    offsets.settled(70, Failed).unwrap();
    offsets.settled_run(0, 3, Done).unwrap();
    offsets.settled_run(4, 66, Done).unwrap();
    offsets.settled(3, Skipped).unwrap();
    assert_eq!((offsets.commit(), offsets.halted()), (Some(70), Some(70)));
    offsets.settled(70, Skipped).unwrap();
    assert_eq!((offsets.commit(), offsets.halted()), (Some(71), None));
}

#[test]
fn a_skipped_message_counts_as_done() {
    let mut offsets = delivered(&[(0, 2)]);
    offsets.settled(0, Skipped).unwrap();
    assert_eq!((offsets.commit(), offsets.halted()), (Some(1), None));
}

#[test]
fn wrong_settlements_are_errors_and_change_nothing() {
    let mut offsets = delivered(&[(10, 3), (20, 3)]);
    let twice = |offset| Err(SettleError::AlreadySettled { offset });
    let never = |offset| Err(SettleError::NotDelivered { offset });
    assert_eq!(offsets.settled(9, Done), never(9));
    assert_eq!(offsets.settled(13, Done), never(13));
    assert_eq!(offsets.settled(23, Done), never(23));
    assert_eq!(offsets.settled(i64::MIN, Done), never(i64::MIN));
    assert_eq!(offsets.settled_run(11, 3, Done), never(13));
    assert_eq!(offsets.settled_run(22, usize::MAX, Done), never(23));
    offsets.settled(11, Done).unwrap();
    offsets.settled(21, Failed).unwrap();
    assert_eq!(offsets.settled(11, Failed), twice(11));
    assert_eq!(offsets.settled(21, Done), twice(21));
    assert_eq!(offsets.settled_run(10, 3, Done), twice(11));
    assert_eq!(offsets.settled_run(20, 3, Skipped), twice(21));
    assert_eq!((offsets.commit(), offsets.in_flight()), (None, 4));
    offsets.settled(10, Done).unwrap();
    assert_eq!(offsets.settled(10, Done), twice(10));
    assert_eq!(offsets.commit(), Some(12));
}

#[test]
fn wrong_deliveries_are_errors_and_change_nothing() {
    let mut offsets = delivered(&[(10, 3)]);
    assert_eq!(
        offsets.delivered(12),
        Err(DeliverError::NotAscending { offset: 12 })
    );
    assert!(matches!(
        offsets.delivered_run(i64::MAX, 1),
        Err(DeliverError::OutOfRange { .. })
    ));
    assert!(matches!(
        offsets.delivered_run(13, usize::MAX),
        Err(DeliverError::OutOfRange { .. })
    ));
    assert!(matches!(
        Offsets::new().delivered(-1),
        Err(DeliverError::OutOfRange { .. })
    ));
    assert_eq!((offsets.next_offset(), offsets.in_flight()), (Some(13), 3));
}

#[test]
fn memory_follows_the_span_and_not_the_stream() {
    let mut offsets = Offsets::new();
    for chunk in 0..10_000 {
        // Every other chunk is followed by a gap, as a transaction marker leaves one.
        let first = chunk * 1_000 + chunk % 2;
        offsets.delivered_run(first, 500).unwrap();
        offsets.settled_run(first + 1, 499, Done).unwrap();
        offsets.settled(first, Done).unwrap();
    }
    assert!(offsets.runs.capacity() <= 8);
}

#[test]
fn a_span_that_straddles_two_words_needs_both() {
    let mut offsets = delivered(&[(0, 64)]);
    offsets.settled_run(0, 63, Done).unwrap();
    offsets.delivered_run(64, 63).unwrap();
    offsets.settled_run(64, 63, Done).unwrap();
    offsets.settled(63, Done).unwrap();
    assert_eq!(offsets.commit(), Some(127));
}
