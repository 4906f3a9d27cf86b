//! One line for each event: its level, its fields, its text. [`write`] matches every event and calls the function of
//! its group; a test checks that each group writes the events passed to it.

use ::tracing::{debug, error, info, trace, warn};

use super::{TARGET, dead_letters, failed, milliseconds::ms, stage};
use crate::telemetry::{DrainCause, Event, event::trigger_name};

/// Writes the line of `event`, with the keys of failed messages or with their hashes.
pub(super) fn write(pipeline: &str, event: &Event<'_>, keys: bool) {
    match event {
        Event::TopologyStarted { .. }
        | Event::Draining { .. }
        | Event::Drained { .. }
        | Event::DroppedUnsettled { .. }
        | Event::Paused
        | Event::Resumed
        | Event::SourcePaused { .. }
        | Event::SourceResumed { .. }
        | Event::Resized { .. } => topology(pipeline, event),
        Event::MessageFailed { .. }
        | Event::RetryScheduled { .. }
        | Event::FailedInBatch { .. }
        | Event::BatchFailed { .. }
        | Event::AckFailed { .. }
        | Event::LateResults { .. } => failed::write(pipeline, event, keys),
        Event::ChunkStarted { .. }
        | Event::ChunkStopped { .. }
        | Event::HandlerBlocked { .. }
        | Event::FailedHandled { .. }
        | Event::HandleDonePanicked { .. } => processor(pipeline, event),
        Event::BatchReady { .. } | Event::BatchStarted { .. } | Event::BatchStopped { .. } => {
            batcher(pipeline, event)
        }
        Event::Produced { .. }
        | Event::Pushed { .. }
        | Event::PushedSettled { .. }
        | Event::Settled { .. }
        | Event::CloseFailed { .. }
        | Event::RateLimited { .. }
        | Event::ProducerFailed { .. }
        | Event::ProducerRestarted { .. } => producer(pipeline, event),
        Event::Assigned { .. }
        | Event::Revoked { .. }
        | Event::Lag { .. }
        | Event::Committed { .. }
        | Event::CommitFailed { .. }
        | Event::SourceError { .. } => source(pipeline, event),
        Event::Halted { .. }
        | Event::Unhalted { .. }
        | Event::Lost { .. }
        | Event::Repositioned { .. }
        | Event::DeliveryLimit { .. } => part(pipeline, event),
        Event::DeadLettersSent { .. }
        | Event::DeadLettersHeld { .. }
        | Event::DeadLetterRefused { .. } => dead_letters::write(pipeline, event),
        Event::Published { .. } => publisher(pipeline, event),
        Event::Stage(event) => stage::write(pipeline, event),
    }
}

fn publisher(publisher: &str, emitted_event: &Event<'_>) {
    let event = emitted_event.name();
    let Event::Published {
        done,
        failed,
        elapsed,
        error,
    } = *emitted_event
    else {
        return;
    };
    let elapsed_ms = ms(elapsed);
    match error {
        Some(error) => {
            warn!(target: TARGET, event, publisher, done, failed, elapsed_ms, error = %error, "messages were not confirmed");
        }
        None => trace!(target: TARGET, event, publisher, done, elapsed_ms, "published"),
    }
}

/// Writes that `suppressed` lines of `what` were suppressed.
pub(super) fn suppressed(pipeline: &str, what: &'static str, suppressed: u64) {
    warn!(target: TARGET, event = "suppressed", pipeline, what, suppressed, "too many lines of this kind to log each");
}

fn topology(pipeline: &str, emitted_event: &Event<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        Event::TopologyStarted {
            producers,
            processors,
            batchers,
        } => {
            info!(target: TARGET, event, pipeline, producers, processors, batchers, "topology started");
        }
        Event::Draining {
            cause: cause @ DrainCause::Signal,
        } => {
            info!(target: TARGET, event, pipeline, %cause, "topology drains; signal again to abort");
        }
        Event::Draining {
            cause: cause @ DrainCause::Dropped,
        } => {
            warn!(target: TARGET, event, pipeline, %cause,
                "topology drains because its handle was dropped: keep the handle, and wait or drain");
        }
        Event::Draining { cause } => {
            info!(target: TARGET, event, pipeline, %cause, "topology drains")
        }
        Event::Drained {
            elapsed,
            unsettled: 0,
        } => {
            info!(target: TARGET, event, pipeline, elapsed_ms = ms(elapsed), unsettled = 0_u64, "topology ended");
        }
        Event::Drained { elapsed, unsettled } => {
            warn!(target: TARGET, event, pipeline, elapsed_ms = ms(elapsed), unsettled,
                "topology ended with unsettled messages");
        }
        Event::DroppedUnsettled { count } => {
            warn!(target: TARGET, event, pipeline, count, "unsettled messages will be delivered again");
        }
        Event::Paused => info!(target: TARGET, event, pipeline, "topology paused"),
        Event::Resumed => info!(target: TARGET, event, pipeline, "topology resumed"),
        Event::SourcePaused { source } => {
            info!(target: TARGET, event, pipeline, source, "source paused")
        }
        Event::SourceResumed { source } => {
            info!(target: TARGET, event, pipeline, source, "source resumed")
        }
        Event::Resized { batcher, from, to } => {
            info!(target: TARGET, event, pipeline, batcher, from, to, "number of workers changed");
        }
        _ => {}
    }
}

fn processor(pipeline: &str, emitted_event: &Event<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        Event::ChunkStarted { processor, count } => {
            trace!(target: TARGET, event, pipeline, processor, count, "chunk started");
        }
        Event::ChunkStopped {
            processor,
            done,
            failed,
            forwarded,
            returned,
            retried,
            elapsed,
        } => {
            trace!(target: TARGET, event, pipeline, processor, done, failed, forwarded, returned, retried,
                elapsed_ms = ms(elapsed), "chunk handled");
        }
        Event::HandlerBlocked {
            batcher,
            worker,
            blocked,
            message,
        } => {
            warn!(target: TARGET, event, pipeline, batcher, worker, blocked_ms = ms(blocked), id = message,
                "a handler blocks its thread: move the work to spawn_blocking, or await");
        }
        Event::FailedHandled {
            count,
            elapsed,
            panic: None,
        } => {
            trace!(target: TARGET, event, pipeline, count, elapsed_ms = ms(elapsed), "failed messages handled");
        }
        Event::FailedHandled {
            count,
            elapsed,
            panic: Some(reason),
        } => {
            error!(target: TARGET, event, pipeline, count, elapsed_ms = ms(elapsed), %reason,
                "the handler of failed messages panicked");
        }
        Event::HandleDonePanicked { reason } => {
            error!(target: TARGET, event, pipeline, %reason,
                "the handler of successful messages panicked; they are acknowledged all the same");
        }
        _ => {}
    }
}

fn batcher(pipeline: &str, emitted_event: &Event<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        Event::BatchReady {
            batcher,
            key: _,
            trigger,
            count,
            bytes,
        } => {
            trace!(target: TARGET, event, pipeline, batcher, trigger = trigger_name(trigger), count, bytes,
                "batch ready");
        }
        Event::BatchStarted {
            batcher,
            worker,
            key: _,
            trigger,
            count,
        } => {
            trace!(target: TARGET, event, pipeline, batcher, worker, trigger = trigger_name(trigger), count,
                "batch started");
        }
        Event::BatchStopped {
            batcher,
            worker,
            done,
            failed,
            retried,
            elapsed,
        } => {
            debug!(target: TARGET, event, pipeline, batcher, worker, done, failed, retried, elapsed_ms = ms(elapsed),
                "batch handled");
        }
        _ => {}
    }
}

fn producer(pipeline: &str, emitted_event: &Event<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        Event::Produced {
            producer,
            count,
            demand,
        } => {
            trace!(target: TARGET, event, pipeline, producer, count, demand, "messages produced");
        }
        Event::Pushed { count } => {
            trace!(target: TARGET, event, pipeline, count, "messages pushed");
        }
        Event::PushedSettled { settlement } => {
            trace!(target: TARGET, event, pipeline, done = settlement.done, failed = settlement.failed,
                resolved = settlement.resolved, released = settlement.released, delayed = settlement.delayed,
                "pushed messages settled");
        }
        Event::Settled {
            producer,
            settlement,
        } => {
            trace!(target: TARGET, event, pipeline, producer, done = settlement.done, failed = settlement.failed,
                resolved = settlement.resolved, released = settlement.released, delayed = settlement.delayed,
                "messages settled");
        }
        Event::CloseFailed { producer, error } => {
            error!(target: TARGET, event, pipeline, producer, error,
                "closing failed; unconfirmed messages will be delivered again");
        }
        Event::RateLimited {
            producer,
            held,
            wait,
        } => {
            debug!(target: TARGET, event, pipeline, producer, held, wait_ms = ms(wait), "rate limit reached");
        }
        Event::ProducerFailed {
            producer,
            callback,
            error,
            restart_after: Some(wait),
        } => {
            warn!(target: TARGET, event, pipeline, producer, %callback, %error, restart_after_ms = ms(wait),
                "producer failed; its source is opened again");
        }
        Event::ProducerFailed {
            producer,
            callback,
            error,
            restart_after: None,
        } => {
            error!(target: TARGET, event, pipeline, producer, %callback, %error, "producer failed for good");
        }
        Event::ProducerRestarted { producer, restarts } => {
            info!(target: TARGET, event, pipeline, producer, restarts, "producer delivers again");
        }
        _ => {}
    }
}

fn source(pipeline: &str, emitted_event: &Event<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        Event::Assigned {
            producer,
            part,
            position,
        } => {
            info!(target: TARGET, event, pipeline, producer, part, position, "part assigned");
        }
        Event::Revoked {
            producer,
            part,
            settled: true,
            ..
        } => {
            info!(target: TARGET, event, pipeline, producer, part, settled = true, "part revoked");
        }
        Event::Revoked {
            producer,
            part,
            settled: false,
            repeats,
        } => {
            warn!(target: TARGET, event, pipeline, producer, part, settled = false, repeats,
                "part revoked before its messages were settled; they are repeated elsewhere");
        }
        Event::Lag {
            producer,
            part,
            messages,
            oldest,
        } => {
            let oldest_ms = oldest.map(ms);
            match messages {
                Some(messages) => {
                    debug!(target: TARGET, event, pipeline, producer, part, messages, oldest_ms, "lag");
                }
                None => {
                    debug!(target: TARGET, event, pipeline, producer, part, messages = "unknown", oldest_ms, "lag");
                }
            }
        }
        Event::Committed {
            producer,
            part,
            position,
        } => {
            trace!(target: TARGET, event, pipeline, producer, part, position, "committed");
        }
        Event::CommitFailed { producer, error } => {
            warn!(target: TARGET, event, pipeline, producer, error, "commit failed");
        }
        Event::SourceError { producer, error } => {
            warn!(target: TARGET, event, pipeline, producer, error, "the connection of the source failed; it recovers");
        }
        _ => {}
    }
}

/// Writes the lines that an operator has to look at.
fn part(pipeline: &str, emitted_event: &Event<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        Event::Halted {
            producer,
            part,
            position,
            reason,
        } => {
            error!(target: TARGET, event, pipeline, producer, part, position, reason,
                "part halted until an operator decides");
        }
        Event::Unhalted {
            producer,
            part,
            position,
        } => {
            info!(target: TARGET, event, pipeline, producer, part, position, "halted part resumed");
        }
        Event::Lost {
            producer,
            part,
            from,
            to,
        } => {
            error!(target: TARGET, event, pipeline, producer, part, from, to,
                "messages were deleted at the source before they were read");
        }
        Event::Repositioned {
            producer,
            part,
            position,
            reason,
        } => {
            warn!(target: TARGET, event, pipeline, producer, part, position, reason, "part repositioned");
        }
        Event::DeliveryLimit {
            producer,
            part,
            deliveries,
            is_warning,
            note,
        } => {
            let message = "the broker limits the deliveries of a message";
            match is_warning {
                true => {
                    warn!(target: TARGET, event, pipeline, producer, part, deliveries, note, "{message}")
                }
                false => {
                    info!(target: TARGET, event, pipeline, producer, part, deliveries, note, "{message}")
                }
            }
        }
        _ => {}
    }
}
