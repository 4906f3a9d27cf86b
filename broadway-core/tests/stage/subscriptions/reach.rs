//! Stages that nothing can reach end, and leave nothing behind.

use std::convert::Infallible;

use broadway_core::{
    BoxError,
    stage::{self, Consumer, Context, Subscription},
};

use super::{Probe, counter, queue};
use crate::common::{Forwarder, Recorder, settle};

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_producer_is_shut_down() {
    let (queue, log) = queue("queue").await;
    let output = queue.output();
    drop(queue);
    settle().await;
    let stream = output.stream().unwrap();
    drop(output);
    settle().await;
    assert_eq!(tasks(), 1, "the stream reaches it");
    drop(stream);
    settle().await;
    assert_eq!(tasks(), 0);
    assert_eq!(log.take().last().unwrap(), "terminated: shut down");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_nothing_can_reach_ends() {
    let (queue, _) = queue("queue").await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).start().await.unwrap();
    let subscription = probe.subscribe(&queue.output()).unwrap();
    drop(probe);
    settle().await;
    log.take();
    // It keeps its subscription, and its producer.
    assert_eq!(tasks(), 2);
    assert!(subscription.cancel());
    settle().await;
    assert_eq!(log.take(), ["cancelled queue: ended", "terminated: ended"]);
    assert!(!subscription.cancel());
    drop(queue);
    settle().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_chain_without_handles_runs_to_its_end_and_leaves_no_task() {
    let counter = counter(0..5_000).await;
    let forwarder = stage::producer_consumer(Forwarder).subscribe_to(counter.output());
    let forwarder = forwarder.start().await.unwrap();
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder)
        .subscribe_to(forwarder.output())
        .start();
    drop(consumer.await.unwrap());
    drop((counter, forwarder));
    assert_eq!(tasks(), 3);
    while tasks() > 0 {
        settle().await;
    }
    assert_eq!(chunks.take().concat(), (0..5_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_consumer_ends_all_stages_that_have_no_other() {
    let (queue, _) = queue("queue").await;
    let forwarder = stage::producer_consumer(Forwarder).subscribe_to(queue.output());
    let forwarder = forwarder.start().await.unwrap();
    let probe = stage::consumer(Probe::new().0)
        .subscribe_to(forwarder.output())
        .start()
        .await
        .unwrap();
    drop((queue, forwarder));
    settle().await;
    assert_eq!(tasks(), 3);
    probe.stop().await;
    settle().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_fails_to_start_leaves_no_task_and_no_subscription() {
    struct Broken;

    impl Consumer for Broken {
        type Event = u64;

        async fn handle_events(
            &mut self,
            _: &mut Vec<u64>,
            _: &Subscription,
            _: &mut Context<Infallible>,
        ) -> Result<(), BoxError> {
            Ok(())
        }

        async fn init(&mut self, _: &mut Context<Infallible>) -> Result<(), BoxError> {
            Err("no disk".into())
        }
    }

    let (queue, log) = queue("queue").await;
    let error = stage::consumer(Broken)
        .name("broken")
        .subscribe_to(queue.output())
        .start()
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("broken") && text.contains("no disk"),
        "{text}"
    );
    settle().await;
    assert_eq!(log.take().len(), 2, "subscribed and cancelled");
    assert_eq!(tasks(), 1);
}
