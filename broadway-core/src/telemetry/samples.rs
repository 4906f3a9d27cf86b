//! One of each event, for the tests of observers: they check what an observer does with *every* event.

use std::{sync::Arc, time::Duration};

use super::{AffectedMessages, DrainCause, Event, MessageInfo, Settlement, StageEvent};
use crate::{
    batch::{BatchKey, Trigger},
    end::{End, Failure},
    error::{BoxError, Callback, Reason},
    publish_error::PublishError,
    task_id::TaskId,
};

pub(super) const LATENCIES: [Duration; 2] = [Duration::from_millis(3), Duration::from_millis(5)];

/// Text that stands for user data, which no log and no metric may contain.
pub(super) const SECRET_KEY: &str = "customer-4711";

/// Describes message `index` of a Kafka-like source. Its key is a secret.
pub(super) fn info(index: usize) -> MessageInfo {
    let mut info = MessageInfo::new(format!("orders[3]@{index}")).attempt(2);
    info.producer = Some(0);
    info.key = Some(SECRET_KEY.into());
    info.key_hash = Some(0x4711);
    info
}

pub(super) fn affected(len: usize) -> AffectedMessages<'static> {
    AffectedMessages::new(len, &info)
}

pub(super) fn refused() -> Reason {
    Reason::error(Callback::HandleMessage, "refused")
}

pub(super) fn panicked(callback: Callback) -> Reason {
    Reason::panic(callback, Box::new("index out of bounds"))
}

pub(super) fn settlement(done: usize, failed: usize, released: usize) -> Settlement<'static> {
    Settlement {
        done,
        failed,
        resolved: 0,
        released,
        delayed: 0,
        latencies: &[],
    }
}

/// Calls `observe` with one of each event (and with the variants of events that mean different things), in an order in
/// which a topology might report them.
pub(super) fn every_event(mut observe: impl FnMut(&Event<'_>)) {
    let key = BatchKey::from(SECRET_KEY);
    let (refused, broken) = (refused(), panicked(Callback::HandleBatch));
    let done_broken = panicked(Callback::HandleDone);
    let error = BoxError::from("connection reset");
    let unconfirmed = PublishError::unconfirmed("no answer");
    let (ms, part) = (Duration::from_millis, "orders[3]");
    let (batcher, trigger) = ("events", Trigger::Size);
    let two = Settlement {
        latencies: &LATENCIES,
        ..settlement(1, 1, 0)
    };
    let events = [
        Event::TopologyStarted {
            producers: 1,
            processors: 2,
            batchers: 1,
        },
        Event::Assigned {
            producer: 0,
            part,
            position: Some(7),
        },
        Event::Produced {
            producer: 0,
            count: 9,
            demand: 10,
        },
        Event::RateLimited {
            producer: 0,
            held: 2,
            wait: ms(1500),
        },
        Event::ChunkStarted {
            processor: 1,
            count: 8,
        },
        Event::MessageFailed {
            processor: 1,
            reason: &refused,
            affected: affected(1),
        },
        Event::RetryScheduled {
            batcher: None,
            worker: 1,
            count: 1,
            attempt: 2,
            pause: ms(400),
            reason: &refused,
            affected: affected(1),
        },
        Event::HandlerBlocked {
            batcher: None,
            worker: 1,
            blocked: ms(10_000),
            message: Some("orders[3]@88127"),
        },
        Event::HandlerBlocked {
            batcher: Some(batcher),
            worker: 0,
            blocked: ms(20_000),
            message: None,
        },
        Event::ChunkStopped {
            processor: 1,
            done: 1,
            failed: 1,
            forwarded: 5,
            returned: 1,
            retried: 0,
            elapsed: ms(1250),
        },
        Event::FailedHandled {
            count: 1,
            elapsed: ms(1),
            panic: None,
        },
        Event::FailedHandled {
            count: 1,
            elapsed: ms(1),
            panic: Some(&broken),
        },
        Event::HandleDonePanicked {
            reason: &done_broken,
        },
        Event::Settled {
            producer: 0,
            settlement: two,
        },
        Event::BatchReady {
            batcher,
            key: &key,
            trigger,
            count: 5,
            bytes: 640,
        },
        Event::BatchStarted {
            batcher,
            worker: 0,
            key: &key,
            trigger,
            count: 5,
        },
        Event::BatchFailed {
            batcher,
            worker: 0,
            count: 5,
            reason: &broken,
            affected: affected(5),
        },
        Event::FailedInBatch {
            batcher,
            worker: 0,
            reason: &broken,
            affected: affected(1),
        },
        Event::BatchStopped {
            batcher,
            worker: 0,
            done: 4,
            failed: 1,
            retried: 0,
            elapsed: ms(20),
        },
        Event::Settled {
            producer: 0,
            settlement: Settlement {
                resolved: 2,
                delayed: 2,
                ..settlement(4, 1, 1)
            },
        },
        Event::AckFailed {
            producer: 0,
            count: 5,
            reason: &refused,
            affected: affected(5),
        },
        Event::Lag {
            producer: 0,
            part,
            messages: None,
            oldest: None,
        },
        Event::Lag {
            producer: 0,
            part,
            messages: Some(90),
            oldest: Some(ms(2500)),
        },
        Event::Committed {
            producer: 0,
            part,
            position: 12,
        },
        Event::CommitFailed {
            producer: 0,
            error: "not coordinator",
        },
        Event::Pushed { count: 3 },
        Event::PushedSettled {
            settlement: Settlement {
                resolved: 1,
                ..settlement(1, 1, 0)
            },
        },
        Event::CloseFailed {
            producer: 0,
            error: "flush timed out",
        },
        Event::SourceError {
            producer: 0,
            error: "broker down",
        },
        Event::LateResults {
            producer: 0,
            count: 3,
            affected: affected(1),
        },
        Event::DeadLettersSent {
            count: 2,
            held: 0,
            waited: None,
        },
        Event::DeadLettersHeld {
            count: 2,
            held: 3,
            waited: ms(200),
            retry_after: ms(400),
            is_paused: true,
            error: &unconfirmed,
        },
        Event::DeadLettersSent {
            count: 2,
            held: 1,
            waited: Some(ms(600)),
        },
        Event::DeadLetterRefused {
            origin: "orders[3]@7",
            held: 0,
            reason: &refused,
            error: &unconfirmed,
        },
        Event::Published {
            done: 2,
            failed: 1,
            elapsed: ms(4),
            error: Some(&unconfirmed),
        },
        Event::Published {
            done: 3,
            failed: 0,
            elapsed: ms(4),
            error: None,
        },
        Event::Halted {
            producer: 0,
            part,
            position: 12,
            reason: "refused",
        },
        Event::Unhalted {
            producer: 0,
            part,
            position: 12,
        },
        Event::Lost {
            producer: 0,
            part,
            from: 12,
            to: 20,
        },
        Event::Repositioned {
            producer: 0,
            part,
            position: 20,
            reason: "made anew",
        },
        Event::DeliveryLimit {
            producer: 0,
            part,
            deliveries: 3,
            is_warning: false,
            note: "`limit`",
        },
        Event::DeliveryLimit {
            producer: 0,
            part,
            deliveries: 1,
            is_warning: true,
            note: "`limit`",
        },
        Event::ProducerFailed {
            producer: 0,
            callback: Callback::Produce,
            error: &error,
            restart_after: Some(ms(100)),
        },
        Event::ProducerRestarted {
            producer: 0,
            restarts: 1,
        },
        Event::Paused,
        Event::Resumed,
        Event::SourcePaused { source: "orders" },
        Event::SourceResumed { source: "orders" },
        Event::Resized {
            batcher: None,
            from: 4,
            to: 8,
        },
        Event::Resized {
            batcher: Some("events"),
            from: 2,
            to: 1,
        },
        Event::ProducerFailed {
            producer: 0,
            callback: Callback::Open,
            error: &error,
            restart_after: None,
        },
        Event::Revoked {
            producer: 0,
            part,
            settled: true,
            repeats: 0,
        },
        Event::Revoked {
            producer: 0,
            part,
            settled: false,
            repeats: 3,
        },
        Event::Draining {
            cause: DrainCause::Signal,
        },
        Event::DroppedUnsettled { count: 1 },
        Event::Drained {
            elapsed: ms(2000),
            unsettled: 1,
        },
    ];
    events.iter().for_each(&mut observe);
    every_stage_event(|event| observe(&Event::Stage(event)));
}

/// The end of a stage that `refused` a chunk.
pub(super) fn failed_end() -> End {
    let reason = Reason::error(Callback::HandleEvents, "refused");
    End::Failed(Failure::new(&Arc::from("numbers"), reason))
}

fn every_stage_event(mut observe: impl FnMut(StageEvent<'_>)) {
    let ms = Duration::from_millis;
    let refused = Reason::error(Callback::HandleEvents, "refused");
    let broken = panicked(Callback::HandleTimer);
    let no_task = Reason::error(Callback::Task, "refused");
    let (failed, normal, producer) = (failed_end(), End::Normal, "numbers");
    let events = [
        StageEvent::Started,
        StageEvent::Subscribed {
            producer,
            subscriptions: 2,
        },
        StageEvent::ConsumerSubscribed,
        StageEvent::Demanded {
            demand: 10,
            outstanding: 12,
        },
        StageEvent::Handled {
            count: 5,
            emitted: 9,
            elapsed: ms(1250),
        },
        StageEvent::Emitted {
            count: 9,
            outstanding: 3,
        },
        StageEvent::Called {
            callback: Callback::Receive,
            elapsed: ms(1),
        },
        StageEvent::Dropped { count: 2 },
        StageEvent::Buffered { count: 4 },
        StageEvent::Discarded { count: 6 },
        StageEvent::Failed {
            reason: &refused,
            lost: 3,
            restart_after: Some(ms(100)),
        },
        StageEvent::Restarted { restarts: 1 },
        StageEvent::TaskFailed {
            task: TaskId::new(7),
            reason: &no_task,
            restarts: false,
        },
        StageEvent::Cancelled {
            producer,
            end: &failed,
            subscriptions: 1,
        },
        StageEvent::ConsumerCancelled { end: &normal },
        StageEvent::Failed {
            reason: &broken,
            lost: 0,
            restart_after: None,
        },
        StageEvent::Ended { end: &failed },
    ];
    events.into_iter().for_each(&mut observe);
}
