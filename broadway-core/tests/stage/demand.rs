//! How much is asked for, and when.

use broadway_core::stage;

use crate::common::{Counter, Forwarder, Recorder};

#[tokio::test(start_paused = true)]
async fn a_consumer_handles_half_of_its_maximum_at_a_time_and_asks_for_no_more_than_it() {
    let (counter, demands) = Counter::new(0..3_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder)
        .subscribe_to(counter.output())
        .start()
        .await
        .unwrap();
    assert!(!consumer.join().await.is_failed());
    let demands = demands.take();
    assert_eq!(demands[0], 1_000);
    // What is asked while the producer has no turn is told it in one.
    assert!(demands.iter().all(|demand| [500, 1_000].contains(demand)));
    let chunks = chunks.take();
    assert!(chunks.iter().all(|chunk| chunk.len() == 500));
    assert_eq!(chunks.concat(), (0..3_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_chain_passes_everything_on_and_ends() {
    let (counter, _) = Counter::new(0..10_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let forwarder = stage::producer_consumer(Forwarder)
        .subscribe_to(counter.output().max_demand(100))
        .start()
        .await
        .unwrap();
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder)
        .subscribe_to(forwarder.output().max_demand(10))
        .start()
        .await
        .unwrap();
    assert!(!consumer.join().await.is_failed());
    assert_eq!(chunks.take().concat(), (0..10_000).collect::<Vec<_>>());
}
