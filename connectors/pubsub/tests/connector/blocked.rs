//! A handler that blocks every thread of the user's runtime for longer than a lease.

use std::{
    sync::{Arc, RwLock},
    thread,
    time::Duration,
};

use broadway_core::{
    Message, Pipeline, Processors, Record, Totals, handler_fn, testing::Collector,
};
use broadway_pubsub::{PubSub, PubSubRecord};
use google_cloud_auth::credentials::anonymous::Builder as Anonymous;
use google_cloud_pubsub::client::Subscriber;
use tokio::runtime::{Builder, Runtime};

use crate::common::{Fixture, counts};

const MESSAGES: u64 = 6;

fn runtime(threads: usize) -> Runtime {
    let mut builder = if threads == 1 {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap()
}

/// Handles messages under leases of ten seconds on `threads` threads, all of which the handler blocks for twenty-five.
fn block(threads: usize, source: impl FnOnce(&Fixture) -> PubSub) {
    // The test's own threads, which no handler blocks.
    let watch = runtime(2);
    let Some(fixture) = watch.block_on(Fixture::new("blocked")) else {
        return;
    };
    watch.block_on(fixture.publish_numbers(0..MESSAGES));
    let source = source(&fixture).lease_extension_max(Duration::from_secs(10));
    let handled = Collector::new();
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let (seen, gate) = (handled.clone(), gate.clone());
    let user = thread::spawn(move || {
        let handler = handler_fn(move |message: &mut Message<PubSubRecord>| {
            seen.push(String::from_utf8(message.data().payload().to_vec()).unwrap());
            drop(gate.read());
            Ok(())
        });
        run(threads, source, handler)
    });
    watch.block_on(async {
        handled.wait_len(threads).await;
        // A real wait: the leases run on the clock of the server.
        tokio::time::sleep(Duration::from_secs(25)).await;
    });
    drop(closed);
    let totals = user.join().unwrap();
    let rest = watch.block_on(fixture.rest());
    assert_eq!(rest, Vec::<String>::new(), "some came again");
    let twice: Vec<_> = counts(handled.all())
        .into_iter()
        .filter(|(_, n)| *n > 1)
        .collect();
    assert_eq!(twice, [], "handled more than once");
    assert_eq!(totals.done, MESSAGES);
}

fn run<H>(threads: usize, source: PubSub, handler: H) -> Totals
where
    H: broadway_core::Handler<In = PubSubRecord, Out: Sync>,
{
    runtime(threads).block_on(async {
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

#[test]
fn a_handler_that_blocks_the_only_thread_keeps_its_leases() {
    block(1, Fixture::source);
}

#[test]
fn leases_are_kept_with_a_client_that_is_built_for_the_source() {
    block(1, |fixture| {
        let endpoint = fixture.endpoint.clone();
        PubSub::subscription(&fixture.subscription).client_with(move || {
            let builder = Subscriber::builder().with_endpoint(&endpoint);
            let builder = builder.with_credentials(Anonymous::new().build());
            async move { Ok(builder.build().await?) }
        })
    });
}

#[test]
fn a_handler_that_blocks_all_threads_keeps_its_leases() {
    block(2, Fixture::source);
}
