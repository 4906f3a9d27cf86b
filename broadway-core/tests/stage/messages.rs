//! Calls, casts, infos and timers.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
use std::time::Duration;

use broadway_core::{
    BoxError, StartError,
    machine::dispatch::{Broadcast, Partition},
    stage::{self, Buffer, Closed, Context, Producer, ProducerHandle, Receive, Timer},
};
use futures_util::FutureExt;

use crate::common::{
    Log,
    puppet::{Emit, EmitAndEnd, How, Note, Puppet, StartTimer},
    ready, settle,
};

async fn puppet(buffer: Buffer) -> (ProducerHandle<Puppet>, Log<String>) {
    let (puppet, log) = Puppet::new();
    let stage = stage::producer(puppet)
        .buffer(buffer)
        .start()
        .await
        .unwrap();
    log.take();
    (stage, log)
}

#[tokio::test(start_paused = true)]
async fn a_reply_comes_behind_the_events_of_its_call() {
    let (stage, _) = puppet(Buffer::default()).await;
    let mut stream = stage.output().manual().stream().unwrap();
    stream.ask(2);
    settle().await;
    assert_eq!(stage.call(Emit(vec![7])).await, Ok(1));
    // The reply has arrived, so the event has, too.
    assert_eq!(stream.next().now_or_never(), Some(Some(7)));
}

#[tokio::test(start_paused = true)]
async fn calls_and_casts_are_received_in_order() {
    let (stage, log) = puppet(Buffer::default()).await;
    stage.cast(Note("a")).await.unwrap();
    stage.cast(Note("b")).await.unwrap();
    assert_eq!(stage.call(Note("c")).await, Ok("c"));
    stage.cast(Note("d")).await.unwrap();
    settle().await;
    assert_eq!(log.take(), ["note a", "note b", "note c", "note d"]);
}

#[tokio::test(start_paused = true)]
async fn an_info_is_received_at_once_by_a_consumer() {
    let (source, _) = puppet(Buffer::default()).await;
    let (puppet, log) = Puppet::new();
    let consumer = stage::consumer(puppet)
        .subscribe_to(source.output().manual())
        .start()
        .await
        .unwrap();
    source.call(Emit(vec![1])).await.unwrap();
    settle().await;
    log.take();
    consumer.info(Note("a")).await.unwrap();
    settle().await;
    assert_eq!(log.take(), ["note a"]);
}

#[tokio::test(start_paused = true)]
async fn an_info_is_received_at_once_by_a_stage_in_the_middle_whatever_events_wait_before_it() {
    for waiting in [vec![], vec![1, 2, 3]] {
        let (source, _) = puppet(Buffer::default()).await;
        let (puppet, log) = Puppet::new();
        let middle = stage::producer_consumer(puppet)
            .subscribe_to(source.output())
            .start()
            .await
            .unwrap();
        settle().await;
        source.call(Emit(waiting)).await.unwrap();
        settle().await;
        log.take();
        middle.info(Note("a")).await.unwrap();
        settle().await;
        assert_eq!(log.take(), ["note a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_info_is_received_at_once_if_nothing_is_buffered() {
    for buffer in [Buffer::default(), Buffer::unbounded(), Buffer::keep_last(1)] {
        let (stage, log) = puppet(buffer).await;
        stage.info(Note("a")).await.unwrap();
        settle().await;
        assert_eq!(log.take(), ["note a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_info_is_received_behind_the_events_that_are_buffered() {
    for (buffer, emitted) in [
        (Buffer::unbounded(), 3),
        (Buffer::wait(5), 3),
        (Buffer::keep_first(1), 1),
        (Buffer::keep_last(3), 3),
        (Buffer::keep_last(5), 3),
    ] {
        let (stage, log) = puppet(buffer).await;
        stage.call(Emit((0..emitted).collect())).await.unwrap();
        stage.info(Note("a")).await.unwrap();
        let mut stream = stage.output().manual().stream().unwrap();
        settle().await;
        log.take();
        for _ in 0..emitted {
            assert_eq!(log.take(), [""; 0]);
            stream.ask(1);
            assert_eq!(ready(&mut stream).await.len(), 1);
        }
        assert_eq!(log.take(), ["note a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_info_to_a_full_buffer_that_loses_nothing_waits_for_room_and_then_behind_the_events() {
    let (stage, log) = puppet(Buffer::wait(2)).await;
    stage.call(Emit(vec![0, 1])).await.unwrap();
    stage.info(Note("a")).await.unwrap();
    let mut stream = stage.output().manual().stream().unwrap();
    settle().await;
    log.take();
    stream.ask(1);
    assert_eq!(ready(&mut stream).await, [0]);
    assert_eq!(log.take(), [""; 0]);
    stream.ask(1);
    assert_eq!(ready(&mut stream).await, [1]);
    assert_eq!(log.take(), ["note a"]);
}

#[tokio::test(start_paused = true)]
async fn an_info_does_not_wait_for_events_emitted_after_it() {
    let (stage, log) = puppet(Buffer::default()).await;
    stage.call(Emit(vec![0, 1])).await.unwrap();
    stage.info(Note("a")).await.unwrap();
    stage.call(Emit(vec![2, 3])).await.unwrap();
    let mut stream = stage.output().manual().stream().unwrap();
    stream.ask(1);
    assert_eq!(ready(&mut stream).await, [0]);
    stage.call(Emit(vec![4])).await.unwrap();
    assert_eq!(log.take(), ["consumer subscribed"]);
    stream.ask(1);
    assert_eq!(ready(&mut stream).await, [1]);
    assert_eq!(log.take(), ["note a"]);
    stream.ask(9);
    assert_eq!(ready(&mut stream).await, [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn an_info_does_not_wait_for_events_that_were_discarded() {
    let (stage, log) = puppet(Buffer::keep_last(2)).await;
    stage.call(Emit(vec![0, 1])).await.unwrap();
    stage.info(Note("a")).await.unwrap();
    stage.call(Emit(vec![2])).await.unwrap();
    settle().await;
    assert_eq!(log.take(), ["discarded [0] at a demand of 0"]);
    stage.call(Emit(vec![3])).await.unwrap();
    settle().await;
    assert_eq!(log.take(), ["discarded [1] at a demand of 0", "note a"]);
}

#[tokio::test(start_paused = true)]
async fn infos_are_received_in_order() {
    let (stage, log) = puppet(Buffer::default()).await;
    stage.info(Note("a")).await.unwrap();
    stage.call(Emit(vec![0])).await.unwrap();
    stage.info(Note("b")).await.unwrap();
    stage.info(Note("c")).await.unwrap();
    stage.call(Emit(vec![1])).await.unwrap();
    stage.info(Note("d")).await.unwrap();
    stage.call(Note("a call")).await.unwrap();
    assert_eq!(log.take(), ["note a", "note a call"]);
    let mut stream = stage.output().manual().stream().unwrap();
    stream.ask(1);
    ready(&mut stream).await;
    assert_eq!(log.take(), ["consumer subscribed", "note b", "note c"]);
    stream.ask(1);
    ready(&mut stream).await;
    assert_eq!(log.take(), ["note d"]);
}

#[tokio::test(start_paused = true)]
async fn infos_that_wait_behind_events_are_limited_like_the_mailbox() {
    let (puppet, log) = Puppet::new();
    let stage = stage::producer(puppet).mailbox(2).start().await.unwrap();
    stage.call(Emit(vec![0])).await.unwrap();
    // Two behind the event, two in the mailbox.
    for _ in 0..4 {
        stage.info(Note("")).now_or_never().unwrap().unwrap();
        settle().await;
    }
    let mut fifth = Box::pin(stage.info(Note("")));
    settle().await;
    assert!((&mut fifth).now_or_never().is_none());
    let mut stream = stage.output().stream().unwrap();
    assert_eq!(ready(&mut stream).await, [0]);
    fifth.await.unwrap();
    settle().await;
    let notes = log.take();
    assert_eq!(notes.iter().filter(|entry| *entry == "note ").count(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_info_waits_for_events_that_are_put_aside_for_a_partition() {
    let (puppet, log) = Puppet::new();
    let stage = stage::producer(puppet)
        .dispatcher(Partition::new(2, |n: &u64| Some((n % 2) as usize)))
        .start()
        .await
        .unwrap();
    let mut even = stage.partition(0).manual().stream().unwrap();
    let mut odd = stage.partition(1).manual().stream().unwrap();
    even.ask(4);
    settle().await;
    stage.call(Emit(vec![0, 1, 2, 3])).await.unwrap();
    stage.info(Note("a")).await.unwrap();
    assert_eq!(ready(&mut even).await, [0, 2]);
    log.take();
    odd.ask(1);
    assert_eq!(ready(&mut odd).await, [1]);
    assert!(!log.take().contains(&"note a".to_owned()));
    odd.ask(1);
    assert_eq!(ready(&mut odd).await, [3]);
    assert!(log.take().contains(&"note a".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_info_does_not_wait_for_a_partition_without_a_consumer() {
    let (puppet, log) = Puppet::new();
    let stage = stage::producer(puppet)
        .dispatcher(Partition::new(2, |n: &u64| Some((n % 2) as usize)))
        .start()
        .await
        .unwrap();
    let even = stage.partition(0).manual().stream().unwrap();
    even.ask(4);
    settle().await;
    stage.call(Emit(vec![1, 3])).await.unwrap();
    stage.info(Note("a")).await.unwrap();
    settle().await;
    assert!(log.take().contains(&"note a".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_info_waits_for_the_slowest_consumer_of_a_broadcast() {
    let (puppet, log) = Puppet::new();
    let stage = stage::producer(puppet)
        .dispatcher(Broadcast::new())
        .start()
        .await
        .unwrap();
    let fast = stage.output().manual().stream().unwrap();
    let slow = stage.output().manual().stream().unwrap();
    fast.ask(10);
    stage.call(Emit(vec![0, 1])).await.unwrap();
    stage.info(Note("a")).await.unwrap();
    slow.ask(1);
    settle().await;
    assert!(!log.take().contains(&"note a".to_owned()));
    slow.ask(1);
    settle().await;
    assert_eq!(log.take(), ["note a"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_learns_that_the_stage_failed_at_its_message() {
    for how in [How::Error, How::Panic] {
        let (stage, _) = puppet(Buffer::default()).await;
        let gone = stage.call(EmitAndEnd(1, how)).await.unwrap_err();
        assert_eq!(gone.stage(), "producer");
        assert!(stage.join().await.is_failed());
        assert_eq!(stage.call(Note("")).await.unwrap_err(), gone);
        assert_eq!(stage.cast(Note("")).await.unwrap_err(), gone);
        assert_eq!(stage.info(Note("")).await.unwrap_err(), gone);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_failed_is_not_received_again_and_those_behind_it_are_received() {
    let (puppet, log) = Puppet::new();
    let again = puppet.clone();
    let stage = stage::producer(puppet.at("receive", How::Panic))
        .restart(Default::default(), move || again.clone())
        .start()
        .await
        .unwrap();
    let fails = tokio::spawn({
        let stage = stage.clone();
        async move { stage.call(Note("fails")).await }
    });
    settle().await;
    assert_eq!(stage.call(Note("next")).await, Ok("next"));
    assert!(fails.await.unwrap().is_err());
    assert_eq!(log.take(), ["init", "note fails", "init", "note next"]);
}

#[tokio::test(start_paused = true)]
async fn infos_that_wait_outlive_a_restart() {
    let (puppet, log) = Puppet::new();
    let again = puppet.clone();
    let stage = stage::producer(puppet)
        .restart(Default::default(), move || again.clone())
        .start()
        .await
        .unwrap();
    stage.call(Emit(vec![0])).await.unwrap();
    stage.info(Note("a")).await.unwrap();
    assert!(stage.call(EmitAndEnd(1, How::Panic)).await.is_err());
    stage.call(Note("b")).await.unwrap();
    assert_eq!(log.take(), ["init", "init", "note b"]);
    let mut stream = stage.output().stream().unwrap();
    assert_eq!(ready(&mut stream).await, [0]);
    assert!(log.take().contains(&"note a".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_when_a_stage_stops_are_dropped_and_callers_learn_it() {
    let (stage, log) = puppet(Buffer::wait(1)).await;
    stage.call(Emit(vec![0])).await.unwrap();
    let waits = tokio::spawn({
        let stage = stage.clone();
        async move { stage.call(Note("never")).await }
    });
    settle().await;
    stage.stop().await;
    let gone: Closed = waits.await.unwrap().unwrap_err();
    assert!(gone.to_string().starts_with("stage producer has ended"));
    assert_eq!(log.take(), ["terminate: shut down"]);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_without_room_is_refused() {
    for size in [0, 1_000_001] {
        let started = stage::producer(Puppet::new().0).mailbox(size).start().await;
        let Err(StartError::Invalid(problems)) = started else {
            panic!("it started");
        };
        assert_eq!(problems[0].option(), "mailbox");
    }
}

/// Starts and cancels timers, and emits the seconds since the start when one runs out.
struct Clock {
    began: tokio::time::Instant,
}

enum Set {
    After(u64),
    Cancel(Timer),
}

impl Producer for Clock {
    type Event = u64;

    async fn handle_demand(&mut self, _: usize, _: &mut Context<u64>) -> Result<(), BoxError> {
        Ok(())
    }

    async fn handle_timer(&mut self, _: Timer, cx: &mut Context<u64>) -> Result<(), BoxError> {
        cx.emit(self.began.elapsed().as_secs());
        Ok(())
    }
}

impl Receive<Set, u64> for Clock {
    type Reply = (Option<Timer>, bool);

    async fn receive(
        &mut self,
        set: Set,
        cx: &mut Context<u64>,
    ) -> Result<(Option<Timer>, bool), BoxError> {
        Ok(match set {
            Set::After(seconds) => (Some(cx.start_timer(Duration::from_secs(seconds))), true),
            Set::Cancel(timer) => (None, cx.cancel_timer(timer)),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn timers_run_out_once_in_the_order_of_their_deadlines_unless_cancelled() {
    let began = tokio::time::Instant::now();
    let clock = stage::producer(Clock { began }).start().await.unwrap();
    let mut stream = clock.output().stream().unwrap();
    let mut timers = Vec::new();
    for seconds in [3, 1, 4, 2, 5] {
        let (timer, _) = clock.call(Set::After(seconds)).await.unwrap();
        timers.push(timer.unwrap());
    }
    assert!(clock.call(Set::Cancel(timers[2])).await.unwrap().1);
    assert!(!clock.call(Set::Cancel(timers[2])).await.unwrap().1);
    let mut ran_out = Vec::new();
    for _ in 0..4 {
        ran_out.push(stream.next().await.unwrap());
    }
    assert_eq!(ran_out, [1, 2, 3, 5]);
    assert!(!clock.call(Set::Cancel(timers[0])).await.unwrap().1);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(ready(&mut stream).await, [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn timers_do_not_outlive_a_restart() {
    let (puppet, log) = Puppet::new();
    let again = puppet.clone();
    let stage = stage::producer(puppet)
        .restart(Default::default(), move || again.clone())
        .start()
        .await
        .unwrap();
    stage.call(StartTimer).await.unwrap();
    assert!(stage.call(EmitAndEnd(1, How::Error)).await.is_err());
    tokio::time::advance(Duration::from_secs(5)).await;
    settle().await;
    assert!(!log.take().contains(&"timer".to_owned()));
    assert_eq!(stage.stats().restarts, 1);
}
