//! No event waits for a stage that is busy, idle or not polled.

use std::convert::Infallible;

use broadway_core::{
    BoxError,
    stage::{self, Cancel, Context, Receive},
};

use super::{Probe, Push, counter, queue};
use crate::common::{Forwarder, Recorder, settle};

/// Waits for a permit.
struct Hold;

impl Receive<Hold> for Probe {
    type Reply = ();

    async fn receive(&mut self, _: Hold, _: &mut Context<Infallible>) -> Result<(), BoxError> {
        let gate = self.gate.as_ref().unwrap();
        gate.acquire().await.unwrap().forget();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_a_busy_consumer_has_asked_for_go_to_one_that_is_idle() {
    let counter = counter(0..100).await;
    let output = counter.output().max_demand(10).cancel(Cancel::Temporary);
    let (busy, log, gate) = Probe::gated();
    let busy = stage::consumer(busy).subscribe_to(output.clone());
    let busy = busy.start().await.unwrap();
    settle().await;
    let (recorder, chunks) = Recorder::new();
    let idle = stage::consumer(recorder).subscribe_to(output);
    let idle = idle.start().await.unwrap();
    settle().await;
    assert_eq!(chunks.take().concat(), (5..100).collect::<Vec<_>>());
    assert_eq!(log.take().last().unwrap(), "producer [0, 1, 2, 3, 4]");
    gate.add_permits(1);
    settle().await;
    assert!(busy.end().is_none() && idle.end().is_none());
}

#[tokio::test(start_paused = true)]
async fn events_do_not_wait_for_a_consumer_that_is_busy_with_a_message() {
    let (queue, _) = queue("queue").await;
    let (busy, _, gate) = Probe::gated();
    let busy = stage::consumer(busy)
        .subscribe_to(queue.output())
        .start()
        .await
        .unwrap();
    let (other, log) = Probe::new();
    let _other = stage::consumer(other)
        .subscribe_to(queue.output().max_demand(10))
        .start()
        .await
        .unwrap();
    settle().await;
    busy.cast(Hold).await.unwrap();
    settle().await;
    queue.call(Push(0..2)).await.unwrap();
    settle().await;
    assert_eq!(log.take(), ["subscribed queue", "queue [0, 1]"]);
    gate.add_permits(1);
}

#[tokio::test(start_paused = true)]
async fn events_do_not_wait_for_a_stage_that_has_lost_its_demand() {
    let (queue, _) = queue("queue").await;
    let forwarder = stage::producer_consumer(Forwarder)
        .subscribe_to(queue.output())
        .start()
        .await
        .unwrap();
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).start().await.unwrap();
    let asked = probe.subscribe(&forwarder.output()).unwrap();
    settle().await;
    asked.cancel();
    settle().await;
    log.take();
    // It may hold the events that it was once asked for; the rest goes to others.
    queue.call(Push(0..5_000)).await.unwrap();
    probe.subscribe(&queue.output().max_demand(2)).unwrap();
    settle().await;
    let direct = log.take().len() - 1;
    assert_eq!(forwarder.stats().received as usize + direct, 5_000);
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_a_stream_that_holds_a_chunk() {
    let counter = counter(0..20).await;
    let mut idle = counter.output().max_demand(10).stream().unwrap();
    assert_eq!(idle.next().await, Some(0));
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder)
        .subscribe_to(counter.output())
        .start()
        .await
        .unwrap();
    settle().await;
    assert!(consumer.end().is_some());
    assert_eq!(chunks.take().concat(), (5..20).collect::<Vec<_>>());
    assert_eq!(idle.next_chunk().await, Some(vec![1, 2, 3, 4]));
}

#[tokio::test(start_paused = true)]
async fn events_do_not_wait_for_a_stream_whose_next_was_dropped() {
    let (queue, _) = queue("queue").await;
    let mut dropped = queue.output().stream().unwrap();
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).subscribe_to(queue.output().max_demand(10));
    let _probe = probe.start().await.unwrap();
    let next = futures_util::FutureExt::now_or_never(dropped.next());
    assert!(next.is_none());
    settle().await;
    queue.call(Push(0..2)).await.unwrap();
    settle().await;
    assert_eq!(log.take().last().unwrap(), "queue [0, 1]");
}
