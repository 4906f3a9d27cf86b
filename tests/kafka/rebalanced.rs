//! Two instances in one group: one joins and one leaves midway.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    broker::{broker, create_topic, publish, unique},
    ledger::{Entry, Verdict, check},
    member,
};

const KEYS: u32 = 1_000;
const PER_KEY: u32 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_join_and_leave_lose_nothing_repeat_nothing_and_keep_the_order_of_keys() {
    let Some(broker) = broker() else { return };
    let (topic, group) = (unique("rebalanced"), unique("group"));
    create_topic(&broker, &topic, 8).await;
    tokio::task::block_in_place(|| publish(&broker, &topic, KEYS, PER_KEY));

    let ledger: Arc<Mutex<Vec<Entry>>> = Arc::default();
    let handled = || ledger.lock().unwrap().len();
    let write = || {
        let ledger = Arc::clone(&ledger);
        move |entries: &[Entry]| {
            ledger.lock().unwrap().extend_from_slice(entries);
            Ok(())
        }
    };
    let first = member::start(&broker, &topic, &group, 20_000, write()).await;
    until(|| handled() >= 40_000).await;
    let second = member::start(&broker, &topic, &group, 20_000, write()).await;
    until(|| second.totals().done >= 20_000).await;
    let totals = first.drain().await.unwrap();
    assert_eq!(totals.failed, 0);
    let all = usize::try_from(KEYS * PER_KEY).unwrap();
    until(|| handled() >= all).await;
    let drained = second.drain().await.unwrap();
    assert_eq!(drained.failed, 0);

    let entries = ledger.lock().unwrap();
    let clean = Verdict {
        lost: 0,
        repeated: 0,
        reordered: 0,
    };
    assert_eq!(check(&entries, KEYS, PER_KEY), clean);
}

/// Polls a condition. With a real broker time is real and cannot be paused.
async fn until(mut reached: impl FnMut() -> bool) {
    let polling = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !reached() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), polling)
        .await
        .expect("progress within two minutes");
}
