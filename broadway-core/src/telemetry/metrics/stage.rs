//! The handles of one stage, and how each of its events updates them.

use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram};

use super::{catalog, seconds::SecondsCounter};
use crate::{
    error::Callback,
    telemetry::{StageEvent, named_values::NamedValues},
};

/// The metrics of the stages of one name. All but those by callback are created at its first event: metrics that a kind
/// of stage cannot have stay 0.
#[derive(Debug)]
pub(super) struct StageMetrics {
    stage: String,
    running: Gauge,
    subscriptions: Gauge,
    consumers: Gauge,
    demand: Gauge,
    buffered: Gauge,
    received: Counter,
    emitted: Counter,
    discarded: Counter,
    dropped: Counter,
    lost: Counter,
    restarts: Counter,
    chunk_size: Histogram,
    calls: NamedValues<str, Histogram>,
    busy: SecondsCounter,
    failures: NamedValues<str, Counter>,
}

impl StageMetrics {
    pub(super) fn new(stage: &str) -> Self {
        catalog::describe();
        let own = [stage];
        Self {
            stage: stage.to_owned(),
            running: catalog::STAGE_RUNNING.gauge(&own),
            subscriptions: catalog::STAGE_SUBSCRIPTIONS.gauge(&own),
            consumers: catalog::STAGE_CONSUMERS.gauge(&own),
            demand: catalog::STAGE_DEMAND.gauge(&own),
            buffered: catalog::STAGE_BUFFERED.gauge(&own),
            received: catalog::STAGE_RECEIVED.counter(&own),
            emitted: catalog::STAGE_EMITTED.counter(&own),
            discarded: catalog::STAGE_DISCARDED.counter(&own),
            dropped: catalog::STAGE_DROPPED.counter(&own),
            lost: catalog::STAGE_LOST.counter(&own),
            restarts: catalog::STAGE_RESTARTS.counter(&own),
            chunk_size: catalog::STAGE_CHUNK_SIZE.histogram(&own),
            calls: NamedValues::new(),
            busy: SecondsCounter::new(&catalog::STAGE_BUSY_SECONDS, &own),
            failures: NamedValues::new(),
        }
    }

    /// Updates the metrics that `event` affects.
    pub(super) fn record(&self, event: &StageEvent<'_>) {
        match *event {
            StageEvent::Started => self.running.increment(1),
            StageEvent::Subscribed { subscriptions, .. }
            | StageEvent::Cancelled { subscriptions, .. } => {
                self.subscriptions.set(subscriptions as f64);
            }
            StageEvent::ConsumerSubscribed => self.consumers.increment(1),
            StageEvent::ConsumerCancelled { .. } => self.consumers.decrement(1),
            StageEvent::Demanded { outstanding, .. } => self.demand.set(outstanding as f64),
            // The `Emitted` event that follows reports the emitted events.
            StageEvent::Handled { count, elapsed, .. } => {
                self.received.increment(count as u64);
                self.chunk_size.record(count as f64);
                self.called(Callback::HandleEvents, elapsed);
            }
            StageEvent::Called { callback, elapsed } => self.called(callback, elapsed),
            StageEvent::Emitted { count, outstanding } => {
                self.emitted.increment(count as u64);
                self.demand.set(outstanding as f64);
            }
            StageEvent::Dropped { count } => self.dropped.increment(count as u64),
            StageEvent::Buffered { count } => self.buffered.set(count as f64),
            StageEvent::Discarded { count } => self.discarded.increment(count as u64),
            StageEvent::Failed { reason, lost, .. } => self.failed(reason.callback(), lost),
            StageEvent::TaskFailed { reason, .. } => self.failed(reason.callback(), 0),
            StageEvent::Restarted { .. } => self.restarts.increment(1),
            // Members report their own starts and ends: `running` is the number of members.
            StageEvent::Resized { .. } => {}
            StageEvent::Ended { .. } => self.end(),
        }
    }

    fn called(&self, callback: Callback, elapsed: Duration) {
        let name = callback.name();
        let make = || catalog::STAGE_CALLBACK_SECONDS.histogram(&[&self.stage, name]);
        self.calls.get(name, make).record(elapsed);
        self.busy.add(elapsed);
    }

    /// Lost events were received too, and no `Handled` reports them.
    fn failed(&self, callback: Callback, lost: usize) {
        self.received.increment(lost as u64);
        self.lost.increment(lost as u64);
        let name = callback.name();
        let make = || catalog::STAGE_FAILURES.counter(&[&self.stage, name]);
        self.failures.get(name, make).increment(1);
    }

    /// The remaining subscriptions, on both sides, end with the stage without an event of their own.
    fn end(&self) {
        self.running.decrement(1);
        for state in [
            &self.subscriptions,
            &self.consumers,
            &self.demand,
            &self.buffered,
        ] {
            state.set(0);
        }
    }
}
