//! A handler that blocks every thread of the user's runtime for longer than a message stays hidden.

use std::{
    sync::{Arc, RwLock},
    thread,
    time::Duration,
};

use aws_sdk_sqs::Client;
use aws_smithy_http_client::{Builder, tls};
use broadway_core::{
    Message, Outgoing, Pipeline, Processors, Publisher, Totals, handler_fn, testing::Collector,
};
use broadway_sqs::{Sqs, SqsPublisher, SqsRecord};
use tokio::runtime::Runtime;

use crate::common::{Queue, broker};

const MESSAGES: u64 = 4;

fn runtime(threads: usize) -> Runtime {
    let mut builder = if threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap()
}

/// Handles the messages of a queue that hides them for a second, on `threads` threads, all of which the handler blocks while
/// another consumer waits four seconds for a message.
fn block(threads: usize, name: &str, source: impl FnOnce(&Queue) -> Sqs) {
    block_on(threads, runtime(threads), name, source);
}

fn block_on(threads: usize, user: Runtime, name: &str, source: impl FnOnce(&Queue) -> Sqs) {
    let Some(address) = broker() else { return };
    // The test's own threads, which no handler blocks.
    let watch = runtime(2);
    let queue = watch.block_on(async {
        let queue = Queue::create(&address, name, 1).await;
        let is_fifo = queue.url.ends_with(".fifo");
        let group = |_| is_fifo.then(|| "group".to_owned());
        queue.send_to_groups(0..MESSAGES, group).await;
        queue
    });
    let (source, handled) = (source(&queue), Collector::new());
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let (seen, gate) = (handled.clone(), gate.clone());
    let handling = thread::spawn(move || {
        let handler = handler_fn(move |message: &mut Message<SqsRecord>| {
            seen.push(message.data().body().to_owned());
            drop(gate.read());
            Ok(())
        });
        run(threads, &user, source, handler)
    });
    let in_work = watch.block_on(async {
        handled.wait_len(threads).await;
        handled.all()
    });
    // Messages that were not received yet are visible; they are returned after a second.
    let others = watch.block_on(async {
        let mut others = Vec::new();
        for _ in 0..2 {
            let rival = queue.client.receive_message().queue_url(&queue.url);
            let rival = rival.max_number_of_messages(10).wait_time_seconds(2);
            others.extend(rival.send().await.unwrap().messages.unwrap_or_default());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        others
    });
    drop(closed);
    let totals = handling.join().unwrap();
    let stolen = others
        .iter()
        .filter(|other| in_work.iter().any(|body| Some(body) == other.body.as_ref()));
    assert_eq!(
        stolen.count(),
        0,
        "another consumer received a message that is being handled"
    );
    let mut bodies = handled.all();
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3"]);
    assert_eq!(totals.done, MESSAGES);
    watch.block_on(queue.emptied());
}

fn run<H>(threads: usize, user: &Runtime, source: Sqs, handler: H) -> Totals
where
    H: broadway_core::Handler<In = SqsRecord, Out: Sync>,
{
    user.block_on(async {
        let topology = Pipeline::new(source, handler)
            .processors(Processors::new(threads).max_demand(1))
            .start()
            .await
            .unwrap();
        while topology.totals().done < MESSAGES {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        topology.drain().await.unwrap()
    })
}

fn own_client(queue: &Queue) -> Sqs {
    Sqs::queue(&queue.url)
        .region("elasticmq")
        .credentials("test", "test")
        .wait_time(Duration::from_secs(1))
}

#[test]
fn a_handler_that_blocks_the_only_thread_keeps_its_messages() {
    block(1, "blocked", own_client);
}

#[test]
fn a_handler_that_blocks_all_threads_keeps_its_messages() {
    block(2, "blocked", own_client);
}

#[test]
fn messages_of_a_group_are_kept_while_their_handler_blocks() {
    block(1, "blocked.fifo", own_client);
}

#[test]
fn a_provided_client_keeps_messages_too() {
    block(1, "blocked", Queue::source);
}

/// A client that shares its connections with all clients made from it, as with the SDK's own configuration.
fn pooled(client: &Client) -> Client {
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    let http = Builder::new().tls_provider(tls).build_https();
    Client::from_conf(client.config().to_builder().http_client(http).build())
}

/// Connections that a publisher with the same client made are driven by the runtime that the handler blocks.
#[test]
fn connections_of_a_publisher_with_the_same_client_are_not_used_for_leases() {
    let Some(address) = broker() else { return };
    let user = runtime(1);
    let mut letters = user.block_on(Queue::create(&address, "letters", 30));
    letters.client = pooled(&letters.client);
    let publisher = user.block_on(async {
        let publisher = SqsPublisher::queue(&letters.url).client(letters.client.clone());
        let publisher = publisher.open().await.unwrap();
        // Concurrently, so that several connections are idle afterwards.
        let all = (0..100).map(|n| Outgoing::new(n.to_string())).collect();
        let results = publisher.publish(all).await;
        assert!(results.iter().all(Result::is_ok));
        publisher
    });
    let client = letters.client.clone();
    block_on(1, user, "blocked", move |queue| {
        Sqs::queue(&queue.url)
            .client(client)
            .wait_time(Duration::from_secs(1))
    });
    drop(publisher);
}
