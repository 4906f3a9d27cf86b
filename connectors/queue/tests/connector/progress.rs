//! Progress notes: written with the acknowledgements of a partition, and read when it is assigned.

use std::time::Duration;

use broadway_core::{Acknowledger, testing::Reader};
use broadway_queue::QueueProducer;
use tokio::time::timeout;

use crate::common::{folder, open, publish, publisher, source};

#[tokio::test]
async fn a_note_is_there_after_a_restart_and_is_not_lost_by_later_acknowledgements() {
    let folder = folder();
    publish(&publisher(folder.path(), 1).await, 0..3).await;
    let source = source(folder.path());
    let notes = [None, Some(-1_000), Some(-1_000)];
    for (round, expected) in notes.into_iter().enumerate() {
        let mut reader = open(&source).await;
        let received = reader.exactly(1).await;
        let (acknowledger, token) = (reader.acknowledger(), received[0].token);
        assert!(acknowledger.keeps_progress());
        assert_eq!(acknowledger.progress(&token), expected, "round {round}");
        if round == 0 {
            acknowledger.set_progress(&token, -1_000);
            assert_eq!(acknowledger.progress(&token), Some(-1_000));
        }
        reader.done(received).await;
        reader.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_note_goes_with_its_partition_to_the_next_member() {
    let folder = folder();
    let publisher = publisher(folder.path(), 1).await;
    publish(&publisher, 0..2).await;
    let source = source(folder.path());
    let mut a = open(&source).await;
    let b = open(&source).await;
    let mut received = a.exactly(2).await;
    let kept = received.pop().unwrap().token;
    a.acknowledger().set_progress(&kept, 7);
    let acknowledger = a.acknowledger();
    a.done(received).await;
    // The record that is not settled goes to the other member.
    a.close().await.unwrap();
    let next = first_of(b).await;
    assert_eq!(next, Some(7));
    acknowledger.set_progress(&kept, 8);
    assert_eq!(acknowledger.progress(&kept), None, "its assignment is over");
    let mut c = open(&source).await;
    publish(&publisher, 2..3).await;
    let received = c.exactly(1).await;
    assert_eq!(c.acknowledger().progress(&received[0].token), Some(7));
    c.done(received).await;
    c.close().await.unwrap();
}

/// Settles the next record, and returns the note of its partition.
async fn first_of(mut reader: Reader<QueueProducer>) -> Option<i64> {
    let soon = Duration::from_secs(10);
    let received = timeout(soon, reader.exactly(1)).await.unwrap();
    let note = reader.acknowledger().progress(&received[0].token);
    reader.done(received).await;
    reader.close().await.unwrap();
    note
}
