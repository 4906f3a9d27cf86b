//! Members of a group: assignment, rebalance, late results.

use std::{collections::BTreeSet, time::Duration};

use broadway_core::{Acknowledger, testing::Reader};
use broadway_queue::{Order, QueueProducer};
use tokio::time::{sleep, timeout};

use crate::common::{finish, folder, number, numbers, open, publish, publisher, source};

const SOON: Duration = Duration::from_secs(10);

fn partitions(reader: &Reader<QueueProducer>) -> usize {
    let recorder = reader.recorder();
    recorder.count("assigned") - recorder.count("revoked")
}

async fn wait_partitions(reader: &Reader<QueueProducer>, n: usize) {
    let reached = timeout(SOON, async {
        while partitions(reader) != n {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(
        reached.await.is_ok(),
        "{} partitions instead of {n}",
        partitions(reader)
    );
}

#[tokio::test]
async fn members_share_the_partitions_and_each_message_goes_to_one() {
    let folder = folder();
    let publisher = publisher(folder.path(), 8).await;
    let source = source(folder.path());
    let mut a = open(&source).await;
    let mut b = open(&source).await;
    wait_partitions(&a, 4).await;
    wait_partitions(&b, 4).await;
    publish(&publisher, 0..400).await;
    let mut all = Vec::new();
    while all.len() < 400 {
        tokio::select! {
            some = a.some(50) => { let some = some.unwrap(); all.extend(numbers(&some)); a.done(some).await; }
            some = b.some(50) => { let some = some.unwrap(); all.extend(numbers(&some)); b.done(some).await; }
        }
    }
    all.sort_unstable();
    assert_eq!(all, (0..400).collect::<Vec<_>>());
    a.close().await.unwrap();
    wait_partitions(&b, 8).await;
    b.close().await.unwrap();
}

#[tokio::test]
async fn a_partition_changes_its_owner_when_that_has_settled_what_it_holds() {
    let folder = folder();
    let publisher = publisher(folder.path(), 2).await;
    publish(&publisher, 0..20).await;
    let source = source(folder.path());
    let mut a = open(&source).await;
    let held = a.exactly(20).await;
    let mut b = open(&source).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(partitions(&b), 0, "it waits for what the other one holds");
    a.done(held).await;
    wait_partitions(&b, 1).await;
    publish(&publisher, 20..40).await;
    let (some, others) = tokio::join!(a.some(20), b.some(20));
    let (some, others) = (some.unwrap(), others.unwrap());
    let came: BTreeSet<_> = some
        .iter()
        .chain(&others)
        .map(|one| number(&one.item))
        .collect();
    assert_eq!(came, (20..40).collect());
    a.done(some).await;
    b.done(others).await;
    a.close().await.unwrap();
    b.close().await.unwrap();
}

#[tokio::test]
async fn after_the_revoke_timeout_the_rest_goes_to_the_new_owner_and_late_results_are_ignored() {
    let folder = folder();
    publish(&publisher(folder.path(), 2).await, 0..20).await;
    let source = source(folder.path())
        .order(Order::Unordered)
        .revoke_timeout(Duration::from_millis(200));
    let mut a = open(&source).await;
    let held = a.exactly(20).await;
    let mut b = open(&source).await;
    let taken = b.some(20).await.unwrap();
    let (lost, kept): (Vec<_>, Vec<_>) = held
        .into_iter()
        .partition(|one| a.acknowledger().is_stale(&one.token));
    assert_eq!(numbers(&lost), numbers(&taken));
    a.done(lost).await;
    assert_eq!(
        a.recorder().sum("late_results", "count") as usize,
        taken.len()
    );
    assert!(
        taken
            .iter()
            .all(|one| !b.acknowledger().is_stale(&one.token)),
        "a late result settled it"
    );
    a.done(kept).await;
    b.done(taken).await;
    a.close().await.unwrap();
    b.close().await.unwrap();
    let mut rest = open(&source).await;
    rest.nothing_until(sleep(Duration::from_millis(300))).await;
    rest.close().await.unwrap();
}

#[tokio::test]
async fn a_member_that_is_dropped_leaves_its_messages_to_the_others() {
    let folder = folder();
    publish(&publisher(folder.path(), 4).await, 0..40).await;
    let source = source(folder.path());
    let mut a = open(&source).await;
    let held = a.exactly(40).await;
    let mut b = open(&source).await;
    drop(held);
    drop(a);
    assert_eq!(finish(&mut b, 40).await.len(), 40);
    b.close().await.unwrap();
}

#[tokio::test]
async fn sources_of_one_group_must_have_the_same_options() {
    let folder = folder();
    let reader = open(&source(folder.path())).await;
    let other = source(folder.path()).lease_max(Duration::from_secs(60));
    let error = Reader::open(&other).await.unwrap_err().to_string();
    assert!(
        error.contains("\"default\"") && error.contains("options"),
        "{error}"
    );
    reader.close().await.unwrap();
}

#[tokio::test]
async fn a_lease_that_ends_gives_the_message_to_another_delivery() {
    let folder = folder();
    publish(&publisher(folder.path(), 1).await, 0..1).await;
    let mut reader = open(&source(folder.path()).lease_max(Duration::from_secs(1))).await;
    let held = reader.exactly(1).await;
    let again = reader.exactly(1).await;
    assert!(reader.acknowledger().is_stale(&held[0].token));
    reader.done(again).await;
    reader.done(held).await;
    assert_eq!(reader.recorder().sum("late_results", "count"), 1);
    reader.close().await.unwrap();
}
