//! Dead letters, and retries that are parked.

use std::{
    env,
    path::Path,
    process::{self, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use broadway_core::{
    BoxError, Message, Outgoing, Pipeline, Processors, Publisher, Record, Retry, handler_fn,
};
use broadway_queue::{Queue, QueueRecord};
use tokio::time::{sleep, timeout};

use crate::common::{TOPIC, finish, folder, number, open, publish, publisher, source};

#[tokio::test]
async fn a_message_that_fails_too_often_is_moved_to_the_dead_letters() {
    let folder = folder();
    publish(&publisher(folder.path(), 2).await, 0..3).await;
    let source = source(folder.path())
        .deliveries_max(2)
        .dead_letter_topic("orders.dead");
    let mut reader = open(&source).await;
    for delivery in 1..=2 {
        let mut received = reader.exactly(if delivery == 1 { 3 } else { 1 }).await;
        received.sort_unstable_by_key(|one| number(&one.item));
        let failing = received.remove(0);
        assert_eq!(number(&failing.item), 0);
        reader.failed([failing]).await;
        reader.done(received).await;
    }
    let mut dead = open(&Queue::topic(folder.path(), "orders.dead")).await;
    let letters = dead.exactly(1).await;
    let record = &letters[0].item;
    assert_eq!((number(record), record.key()), (0, Some(&b"0"[..])));
    let info = broadway_core::dead_letter::DeadLetterInfo::of(record).unwrap();
    assert!(info.origin.starts_with("orders["), "{info:?}");
    assert_eq!(info.attempts, Some(2));
    dead.done(letters).await;
    dead.close().await.unwrap();
    reader
        .nothing_until(sleep(Duration::from_millis(200)))
        .await;
    reader.close().await.unwrap();
}

#[tokio::test]
async fn dead_letters_need_both_options() {
    let half = Queue::topic("unused", TOPIC).deliveries_max(3);
    let problems = broadway_core::Source::check(&half);
    assert!(
        problems
            .iter()
            .any(|problem| problem.option() == "deliveries_max"),
        "{problems:?}"
    );
}

/// A pipeline whose handler fails `failures` times, and counts its calls.
async fn run(
    folder: &Path,
    calls: &Arc<AtomicU32>,
    failures: u32,
    retry: Retry,
) -> broadway_core::Topology<QueueRecord> {
    let calls = Arc::clone(calls);
    let handler = handler_fn(move |_: &mut Message<QueueRecord>| {
        match calls.fetch_add(1, Ordering::Relaxed) < failures {
            true => Err(BoxError::from("not yet")),
            false => Ok(()),
        }
    });
    Pipeline::new(source(folder), handler)
        .on_failure(retry.then_reject())
        .start()
        .await
        .unwrap()
}

async fn wait_calls(calls: &AtomicU32, n: u32) {
    let reached = timeout(Duration::from_secs(20), async {
        while calls.load(Ordering::Relaxed) < n {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(
        reached.await.is_ok(),
        "{} calls",
        calls.load(Ordering::Relaxed)
    );
}

#[tokio::test]
async fn a_parked_retry_survives_a_restart_and_counts_its_attempts() {
    let folder = folder();
    publish(&publisher(folder.path(), 1).await, 0..1).await;
    let calls = Arc::new(AtomicU32::new(0));
    let retry = || {
        Retry::fixed(Duration::from_secs(1))
            .attempts(3)
            .park_after(Duration::from_millis(500))
    };
    let topology = run(folder.path(), &calls, u32::MAX, retry()).await;
    wait_calls(&calls, 1).await;
    // A drain does not wait for the retry.
    let totals = timeout(Duration::from_millis(900), topology.drain())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(totals.in_flight(), 0, "{totals:?}");
    let topology = run(folder.path(), &calls, u32::MAX, retry()).await;
    wait_calls(&calls, 3).await;
    // The third attempt was the last: it failed for good, and the source delivers it anew.
    wait_calls(&calls, 4).await;
    topology.drain().await.unwrap();
}

#[tokio::test]
async fn a_parked_retry_keeps_its_place_before_later_messages_of_its_key() {
    let folder = folder();
    let publisher = publisher(folder.path(), 1).await;
    for n in 0..3 {
        publisher
            .publish_one(Outgoing::new(n.to_string()).key("k"))
            .await
            .unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, failed) = (Arc::clone(&seen), AtomicU32::new(0));
    let handler = handler_fn(move |message: &mut Message<QueueRecord>| {
        let number = number(message.data());
        if number == 0 && failed.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(BoxError::from("not yet"));
        }
        log.lock().unwrap().push(number);
        Ok(())
    });
    let retry = Retry::fixed(Duration::from_millis(300)).park_after(Duration::ZERO);
    let topology = Pipeline::new(source(folder.path()), handler)
        .processors(Processors::new(1).max_demand(1))
        .on_failure(retry.then_reject())
        .start()
        .await
        .unwrap();
    let reached = timeout(Duration::from_secs(20), async {
        while seen.lock().unwrap().len() < 3 {
            sleep(Duration::from_millis(5)).await;
        }
    });
    reached.await.unwrap();
    topology.drain().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2]);
    let mut rest = open(&source(folder.path())).await;
    publish(&publisher, 7..8).await;
    assert_eq!(finish(&mut rest, 1).await, [7]);
    rest.close().await.unwrap();
}

/// Handlers do not wait, so the results of a whole chunk reach the source at once.
#[tokio::test]
async fn the_last_message_of_a_key_is_handled_last_however_fast_handlers_are() {
    let folder = folder();
    let publisher = publisher(folder.path(), 1).await;
    let messages = (0..20).map(|n: u64| Outgoing::new(n.to_string()).key("k"));
    assert!(
        publisher
            .publish(messages.collect())
            .await
            .iter()
            .all(Result::is_ok)
    );
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, failures) = (Arc::clone(&seen), AtomicU32::new(0));
    let handler = handler_fn(move |message: &mut Message<QueueRecord>| {
        let number = number(message.data());
        if number == 3 && failures.fetch_add(1, Ordering::Relaxed) < 2 {
            return Err(BoxError::from("not yet"));
        }
        log.lock().unwrap().push(number);
        Ok(())
    });
    let topology = Pipeline::new(source(folder.path()), handler)
        .processors(Processors::new(1).by_record_key())
        .start()
        .await
        .unwrap();
    // Messages that were handled before the third are handled again behind it.
    let reached = timeout(Duration::from_secs(20), async {
        loop {
            let seen = seen.lock().unwrap().clone();
            let tail = seen
                .iter()
                .rposition(|number| *number == 3)
                .map(|at| &seen[at..]);
            if tail == Some(&(3..20).collect::<Vec<_>>()[..]) {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(reached.await.is_ok(), "{:?}", seen.lock().unwrap());
    topology.drain().await.unwrap();
}

const POISON: &str = "BROADWAY_QUEUE_POISON";

/// The child process of the next test: ends when it is given the message.
#[tokio::test]
async fn child_that_a_message_ends() {
    let Some(path) = env::var_os(POISON) else {
        return;
    };
    let handler =
        handler_fn(|_: &mut Message<QueueRecord>| -> Result<(), BoxError> { process::abort() });
    let source = source(Path::new(&path))
        .deliveries_max(3)
        .dead_letter_topic("orders.dead");
    let topology = Pipeline::new(source, handler).start().await.unwrap();
    sleep(Duration::from_secs(5)).await;
    topology.drain().await.unwrap();
}

#[tokio::test]
async fn a_message_that_ends_the_process_at_once_is_moved_to_the_dead_letters() {
    let folder = folder();
    publish(&publisher(folder.path(), 1).await, 0..1).await;
    let mut aborted = 0;
    loop {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "failures::child_that_a_message_ends"])
            .env(POISON, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        if child.success() {
            break;
        }
        aborted += 1;
        assert!(aborted <= 3, "it ends the process each time");
    }
    assert_eq!(aborted, 3);
    let mut dead = open(&Queue::topic(folder.path(), "orders.dead")).await;
    let letters = dead.exactly(1).await;
    assert_eq!(number(&letters[0].item), 0);
    dead.done(letters).await;
    dead.close().await.unwrap();
}
