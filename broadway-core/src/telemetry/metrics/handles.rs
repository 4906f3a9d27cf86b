//! The handles of one pipeline, and how each event updates them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ::metrics::{Counter, Gauge, Histogram};

use super::{
    catalog, dead_letters::DeadLetterMetrics, parts::SourceMetrics, seconds::SecondsCounter,
};
use crate::{
    batch::Trigger,
    error::{Callback, Reason},
    telemetry::{Event, Settlement, event::trigger_name, named_values::NamedValues},
};

/// The label `producer` of messages that were pushed.
const PUSHED: usize = usize::MAX;

/// The metrics of one pipeline. Metrics without further labels have their handles here, the others with their labels.
#[derive(Debug)]
pub(super) struct PipelineMetrics {
    pipeline: String,
    in_flight: InFlight,
    running: Gauge,
    draining: Gauge,
    paused: Gauge,
    processors: MessageMetrics,
    busy: NamedValues<usize, SecondsCounter>,
    returned: Counter,
    chunk_size: Histogram,
    chunk_seconds: Histogram,
    batchers: NamedValues<str, BatcherMetrics>,
    handle_failed_seconds: Histogram,
    panics: NamedValues<str, Counter>,
    handlers_blocked: Counter,
    end_to_end: Histogram,
    producers: NamedValues<usize, ProducerMetrics>,
    dropped_unsettled: Counter,
    dead_letters: DeadLetterMetrics,
    source: SourceMetrics,
}

impl PipelineMetrics {
    pub(super) fn new(pipeline: &str) -> Self {
        catalog::describe();
        let own = [pipeline];
        Self {
            pipeline: pipeline.to_owned(),
            in_flight: InFlight {
                gauge: catalog::IN_FLIGHT.gauge(&own),
                produced: 0.into(),
                settled: 0.into(),
            },
            running: catalog::RUNNING.gauge(&own),
            draining: catalog::DRAINING.gauge(&own),
            paused: catalog::PAUSED.gauge(&own),
            processors: MessageMetrics::new(pipeline, "processors"),
            busy: NamedValues::new(),
            returned: catalog::RETURNED.counter(&own),
            chunk_size: catalog::CHUNK_SIZE.histogram(&own),
            chunk_seconds: catalog::CHUNK_SECONDS.histogram(&own),
            batchers: NamedValues::new(),
            handle_failed_seconds: catalog::HANDLE_FAILED_SECONDS.histogram(&own),
            panics: NamedValues::new(),
            handlers_blocked: catalog::HANDLERS_BLOCKED.counter(&own),
            end_to_end: catalog::END_TO_END.histogram(&own),
            producers: NamedValues::new(),
            dropped_unsettled: catalog::DROPPED_UNSETTLED.counter(&own),
            dead_letters: DeadLetterMetrics::new(pipeline),
            source: SourceMetrics::new(pipeline),
        }
    }

    /// Updates the metrics that `event` affects.
    pub(super) fn record(&self, event: &Event<'_>, latency: bool) {
        match *event {
            Event::TopologyStarted { .. } => self.start(),
            Event::Draining { .. } => self.draining.set(1),
            Event::Drained { .. } => self.end(),
            Event::Paused => self.paused.set(1),
            Event::Resumed => self.paused.set(0),
            Event::Produced {
                producer, count, ..
            } => self.produced(producer, count),
            Event::ChunkStarted { count, .. } => self.chunk_size.record(count as f64),
            Event::ChunkStopped {
                processor,
                done,
                failed,
                forwarded,
                returned,
                retried,
                elapsed,
            } => {
                self.processors.add(done, failed, forwarded);
                self.returned.increment(returned as u64);
                self.processors.retried.increment(retried as u64);
                self.chunk_seconds.record(elapsed);
                self.busy(processor).add(elapsed);
            }
            Event::MessageFailed { reason, .. } => self.failed(reason),
            Event::HandlerBlocked { .. } => self.handlers_blocked.increment(1),
            Event::BatchReady {
                batcher,
                trigger,
                count,
                bytes,
                ..
            } => {
                self.batcher(batcher).ready(trigger, count, bytes);
            }
            Event::BatchStopped {
                batcher,
                done,
                failed,
                retried,
                elapsed,
                ..
            } => {
                self.batcher(batcher)
                    .stopped(done, failed, retried, elapsed);
            }
            // `ChunkStopped` and `BatchStopped` count them.
            Event::RetryScheduled { .. } => {}
            Event::HandleDonePanicked { reason } => self.failed(reason),
            // `BatchStopped` counts it, and it is never a panic.
            Event::FailedInBatch { .. } => {}
            Event::BatchFailed {
                batcher, reason, ..
            } => {
                self.batcher(batcher).failures.increment(1);
                self.failed(reason);
            }
            Event::FailedHandled { elapsed, panic, .. } => {
                self.handle_failed_seconds.record(elapsed);
                panic.into_iter().for_each(|reason| self.failed(reason));
            }
            Event::Settled {
                producer,
                settlement,
            } => self.settled(producer, settlement, latency),
            Event::Pushed { count } => self.produced(PUSHED, count),
            Event::PushedSettled { settlement } => self.settled(PUSHED, settlement, false),
            Event::AckFailed {
                producer,
                count,
                reason,
                ..
            } => {
                self.producer(producer).ack_failures.increment(1);
                self.producer(producer)
                    .ack_failed_messages
                    .increment(count as u64);
                self.failed(reason);
            }
            Event::CloseFailed { producer, .. } => {
                self.producer(producer).close_failures.increment(1);
            }
            Event::RateLimited { producer, wait, .. } => {
                self.producer(producer).rate_limited.add(wait)
            }
            Event::ProducerFailed {
                producer, callback, ..
            } => self.producer(producer).failed(callback),
            Event::ProducerRestarted { producer, .. } => {
                self.producer(producer).restarts.increment(1)
            }
            Event::SourceError { producer, .. } => {
                self.producer(producer).source_error.increment(1)
            }
            Event::LateResults {
                producer, count, ..
            } => self.producer(producer).late.increment(count as u64),
            Event::DroppedUnsettled { count } => self.dropped_unsettled.increment(count),
            Event::Assigned { part, .. } => self.source.assigned(part),
            Event::Revoked { part, settled, .. } => self.source.revoked(part, settled),
            Event::Halted { part, position, .. } => self.source.halted(part, position),
            Event::Unhalted { part, .. } => self.source.resumed(part),
            Event::Lost { part, from, to, .. } => self.source.lost(part, from, to),
            // A position cannot be added up; the log has the reason.
            Event::Repositioned { .. } | Event::DeliveryLimit { .. } => {}
            Event::Lag {
                part,
                messages,
                oldest,
                ..
            } => self.source.lag(part, messages, oldest),
            Event::Committed { part, position, .. } => self.source.committed(part, position),
            Event::CommitFailed { .. } => self.source.commit_failed(),
            // What the program has changed itself; the log has it.
            Event::SourcePaused { .. } | Event::SourceResumed { .. } | Event::Resized { .. } => {}
            Event::DeadLettersSent { count, held, .. } => self.dead_letters.sent(count, held),
            Event::DeadLettersHeld { held, .. } => self.dead_letters.held(held),
            Event::DeadLetterRefused { held, .. } => self.dead_letters.refused(held),
            // `BatchReady` reported its size and trigger.
            Event::BatchStarted { .. } => {}
            // `PublisherMetrics` and `StageMetrics` handle these.
            Event::Published { .. } | Event::Stage(_) => {}
        }
    }

    fn start(&self) {
        self.running.set(1);
        self.draining.set(0);
        self.paused.set(0);
    }

    fn end(&self) {
        self.running.set(0);
        self.draining.set(0);
        self.paused.set(0);
        self.in_flight.end();
        self.dead_letters.held(0);
        self.source.end();
    }

    fn produced(&self, producer: usize, count: usize) {
        self.producer(producer).produced.increment(count as u64);
        self.in_flight.produced(count as u64);
    }

    fn settled(&self, producer: usize, settlement: Settlement<'_>, latency: bool) {
        let Settlement {
            done,
            failed,
            resolved,
            released,
            delayed,
            latencies,
        } = settlement;
        self.producer(producer).settled(&settlement);
        let all = done + failed + resolved + released + delayed;
        self.in_flight.settled(all as u64);
        if latency {
            latencies
                .iter()
                .for_each(|latency| self.end_to_end.record(*latency));
        }
    }

    fn failed(&self, reason: &Reason) {
        if reason.is_panic() {
            let callback = reason.callback().name();
            let make = || catalog::HANDLER_PANICS.counter(&[&self.pipeline, callback]);
            self.panics.get(callback, make).increment(1);
        }
    }

    fn busy(&self, processor: usize) -> &SecondsCounter {
        let make = || {
            SecondsCounter::new(
                &catalog::BUSY_SECONDS,
                &[&self.pipeline, &processor.to_string()],
            )
        };
        self.busy.get(&processor, make)
    }

    fn batcher(&self, batcher: &str) -> &BatcherMetrics {
        self.batchers
            .get(batcher, || BatcherMetrics::new(&self.pipeline, batcher))
    }

    fn producer(&self, producer: usize) -> &ProducerMetrics {
        self.producers
            .get(&producer, || ProducerMetrics::new(&self.pipeline, producer))
    }
}

/// The gauge of messages in flight. It also keeps the count itself, to take back the messages that a topology left when
/// it ended: otherwise the gauge would never return to 0.
#[derive(Debug)]
struct InFlight {
    gauge: Gauge,
    produced: AtomicU64,
    settled: AtomicU64,
}

impl InFlight {
    fn produced(&self, count: u64) {
        self.produced.fetch_add(count, Ordering::Relaxed);
        self.gauge.increment(count as f64);
    }

    fn settled(&self, count: u64) {
        self.settled.fetch_add(count, Ordering::Relaxed);
        self.gauge.decrement(count as f64);
    }

    fn end(&self) {
        let left = self.produced.swap(0, Ordering::Relaxed) as f64
            - self.settled.swap(0, Ordering::Relaxed) as f64;
        self.gauge.decrement(left);
    }
}

/// Records messages that left processors or a batcher.
#[derive(Debug)]
struct MessageMetrics {
    done: Counter,
    failed: Counter,
    forwarded: Counter,
    retried: Counter,
}

impl MessageMetrics {
    fn new(pipeline: &str, stage: &str) -> Self {
        let counter = |result| catalog::MESSAGES.counter(&[pipeline, stage, result]);
        Self {
            done: counter("ok"),
            failed: counter("failed"),
            forwarded: counter("forwarded"),
            retried: catalog::RETRIES.counter(&[pipeline, stage]),
        }
    }

    fn add(&self, done: usize, failed: usize, forwarded: usize) {
        self.done.increment(done as u64);
        self.failed.increment(failed as u64);
        self.forwarded.increment(forwarded as u64);
    }
}

#[derive(Debug)]
struct BatcherMetrics {
    pipeline: String,
    batcher: String,
    messages: MessageMetrics,
    size: Histogram,
    bytes: Histogram,
    flushed: NamedValues<str, Counter>,
    seconds: Histogram,
    failures: Counter,
}

impl BatcherMetrics {
    fn new(pipeline: &str, batcher: &str) -> Self {
        let own = [pipeline, batcher];
        Self {
            pipeline: pipeline.to_owned(),
            batcher: batcher.to_owned(),
            messages: MessageMetrics::new(pipeline, &format!("batcher:{batcher}")),
            size: catalog::BATCH_SIZE.histogram(&own),
            bytes: catalog::BATCH_BYTES.histogram(&own),
            flushed: NamedValues::new(),
            seconds: catalog::BATCH_SECONDS.histogram(&own),
            failures: catalog::BATCH_FAILURES.counter(&own),
        }
    }

    fn ready(&self, trigger: Trigger, count: usize, bytes: usize) {
        let reason = trigger_name(trigger);
        let make = || catalog::BATCH_FLUSH.counter(&[&self.pipeline, &self.batcher, reason]);
        self.flushed.get(reason, make).increment(1);
        self.size.record(count as f64);
        if bytes > 0 {
            self.bytes.record(bytes as f64);
        }
    }

    fn stopped(&self, done: usize, failed: usize, retried: usize, elapsed: Duration) {
        self.messages.add(done, failed, 0);
        self.messages.retried.increment(retried as u64);
        self.seconds.record(elapsed);
    }
}

#[derive(Debug)]
struct ProducerMetrics {
    pipeline: String,
    producer: String,
    produced: Counter,
    done: Counter,
    failed: Counter,
    resolved: Counter,
    released: Counter,
    delayed: Counter,
    close_failures: Counter,
    ack_failures: Counter,
    ack_failed_messages: Counter,
    rate_limited: SecondsCounter,
    failures: NamedValues<str, Counter>,
    restarts: Counter,
    source_error: Counter,
    late: Counter,
}

impl ProducerMetrics {
    fn new(pipeline: &str, producer: usize) -> Self {
        let producer = match producer {
            PUSHED => "pushed".to_owned(),
            producer => producer.to_string(),
        };
        let own = [pipeline, &producer];
        let settled = |result| catalog::SETTLED.counter(&[pipeline, &producer, result]);
        Self {
            produced: catalog::PRODUCED.counter(&own),
            done: settled("ok"),
            failed: settled("failed"),
            resolved: settled("resolved"),
            released: settled("released"),
            delayed: settled("delayed"),
            close_failures: catalog::CLOSE_FAILURES.counter(&own),
            ack_failures: catalog::ACK_FAILURES.counter(&own),
            ack_failed_messages: catalog::ACK_FAILED_MESSAGES.counter(&own),
            rate_limited: SecondsCounter::new(&catalog::RATE_LIMITED_SECONDS, &own),
            failures: NamedValues::new(),
            restarts: catalog::PRODUCER_RESTARTS.counter(&own),
            source_error: catalog::SOURCE_ERRORS.counter(&own),
            late: catalog::LATE_RESULTS.counter(&own),
            pipeline: pipeline.to_owned(),
            producer,
        }
    }

    fn settled(&self, settlement: &Settlement<'_>) {
        self.done.increment(settlement.done as u64);
        self.failed.increment(settlement.failed as u64);
        self.resolved.increment(settlement.resolved as u64);
        self.released.increment(settlement.released as u64);
        self.delayed.increment(settlement.delayed as u64);
    }

    fn failed(&self, callback: Callback) {
        let callback = callback.name();
        let make =
            || catalog::PRODUCER_FAILURES.counter(&[&self.pipeline, &self.producer, callback]);
        self.failures.get(callback, make).increment(1);
    }
}
