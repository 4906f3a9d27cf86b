//! Restarts of a whole broker. It ends everybody's connections, so it runs only at a node of its own: `BROADWAY_RABBITMQ_RESTART` is
//! the command that restarts the one at `BROADWAY_RABBITMQ`, keeping its data, and `BROADWAY_RABBITMQ_RESTARTS` how often (100).
//! Without the first it is left out.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::{collections::BTreeSet, process::Command};

use broadway_core::testing::Reader;
use common::{Queue, broker, number};

fn restart(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command:?} failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_the_broker_lose_nothing() {
    let Ok(command) = std::env::var("BROADWAY_RABBITMQ_RESTART") else {
        eprintln!("left out: BROADWAY_RABBITMQ_RESTART names no command that restarts the broker");
        return;
    };
    let Some(address) = broker() else { return };
    let restarts = std::env::var("BROADWAY_RABBITMQ_RESTARTS");
    let restarts: u64 = restarts.map_or(100, |n| n.parse().unwrap());
    let queue = Queue::create(&address, "restarts").await;
    let source = queue.source();
    let total = restarts * 10;
    queue.send_persistent(0..total).await;
    let mut reader = Reader::open(&source).await.unwrap();
    let mut done = BTreeSet::new();
    for _ in 0..restarts {
        let received = reader.some(9).await.unwrap();
        done.extend(received.iter().map(number));
        reader.done(received).await;
        // With messages in work.
        let held = reader.some(3).await.unwrap();
        let command = command.clone();
        tokio::task::spawn_blocking(move || restart(&command))
            .await
            .unwrap();
        reader.done(held).await;
    }
    let all = BTreeSet::from_iter(0..total);
    while done != all {
        let received = reader.some(100).await.unwrap();
        done.extend(received.iter().map(number));
        reader.done(received).await;
    }
    reader.close().await.unwrap();
    // The connection of the one before has not outlived the first restart.
    let mut after = Queue::open(&address, "after").await;
    after.name = queue.name;
    let queue = after;
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}
