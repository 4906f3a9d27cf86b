//! The lines of stages.

use ::tracing::{debug, error, info, trace, warn};

use super::{TARGET, milliseconds::ms};
use crate::telemetry::StageEvent;

pub(super) fn write(stage: &str, emitted_event: &StageEvent<'_>) {
    match emitted_event {
        StageEvent::Started
        | StageEvent::Failed { .. }
        | StageEvent::Restarted { .. }
        | StageEvent::Ended { .. } => life(stage, emitted_event),
        StageEvent::Subscribed { .. }
        | StageEvent::Cancelled { .. }
        | StageEvent::ConsumerSubscribed
        | StageEvent::ConsumerCancelled { .. } => subscription(stage, emitted_event),
        StageEvent::Demanded { .. }
        | StageEvent::Handled { .. }
        | StageEvent::Called { .. }
        | StageEvent::Emitted { .. }
        | StageEvent::Dropped { .. }
        | StageEvent::Buffered { .. }
        | StageEvent::Discarded { .. }
        | StageEvent::Resized { .. }
        | StageEvent::TaskFailed { .. } => work(stage, emitted_event),
    }
}

/// Writes that `suppressed` lines of `what` were suppressed.
pub(super) fn suppressed(stage: &str, what: &'static str, suppressed: u64) {
    warn!(target: TARGET, event = "suppressed", stage, what, suppressed, "too many lines of this kind to log each");
}

fn life(stage: &str, emitted_event: &StageEvent<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        StageEvent::Started => debug!(target: TARGET, event, stage, "stage started"),
        StageEvent::Failed {
            reason,
            lost,
            restart_after: Some(wait),
        } => {
            let restart_after_ms = ms(wait);
            if reason.is_panic() {
                error!(target: TARGET, event, stage, %reason, lost, restart_after_ms,
                    "stage failed; it is restarted");
            } else {
                warn!(target: TARGET, event, stage, %reason, lost, restart_after_ms,
                    "stage failed; it is restarted");
            }
        }
        StageEvent::Failed {
            reason,
            lost,
            restart_after: None,
        } => error!(target: TARGET, event, stage, %reason, lost, "stage failed for good"),
        StageEvent::Restarted { restarts } => {
            info!(target: TARGET, event, stage, restarts, "stage runs again");
        }
        StageEvent::Ended { end } if end.is_failed() => {
            warn!(target: TARGET, event, stage, %end, "stage ended with a failure");
        }
        StageEvent::Ended { end } => debug!(target: TARGET, event, stage, %end, "stage ended"),
        _ => {}
    }
}

fn subscription(stage: &str, emitted_event: &StageEvent<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        StageEvent::Subscribed {
            producer,
            subscriptions,
        } => {
            debug!(target: TARGET, event, stage, producer, subscriptions, "stage subscribed");
        }
        StageEvent::Cancelled {
            producer,
            end,
            subscriptions,
        } => {
            debug!(target: TARGET, event, stage, producer, %end, subscriptions, "a subscription ended");
        }
        StageEvent::ConsumerSubscribed => {
            debug!(target: TARGET, event, stage, "a consumer subscribed");
        }
        StageEvent::ConsumerCancelled { end } => {
            debug!(target: TARGET, event, stage, %end, "a consumer's subscription ended");
        }
        _ => {}
    }
}

fn work(stage: &str, emitted_event: &StageEvent<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        StageEvent::Demanded {
            demand,
            outstanding,
        } => {
            trace!(target: TARGET, event, stage, demand, outstanding, "stage received demand");
        }
        StageEvent::Handled {
            count,
            emitted,
            elapsed,
        } => {
            trace!(target: TARGET, event, stage, count, emitted, elapsed_ms = ms(elapsed), "stage handled a chunk");
        }
        StageEvent::Called { callback, elapsed } => {
            trace!(target: TARGET, event, stage, %callback, elapsed_ms = ms(elapsed), "stage was called");
        }
        StageEvent::Emitted { count, outstanding } => {
            trace!(target: TARGET, event, stage, count, outstanding, "stage emitted events");
        }
        StageEvent::Dropped { count } => {
            trace!(target: TARGET, event, stage, count, "the dispatcher discarded events");
        }
        StageEvent::Buffered { count } => {
            trace!(target: TARGET, event, stage, count, "events wait in the stage's buffer");
        }
        StageEvent::Discarded { count } => {
            warn!(target: TARGET, event, stage, count, "stage discarded events because its buffer is full");
        }
        StageEvent::Resized { before, members } => {
            debug!(target: TARGET, event, stage, before, members, "pool resized");
        }
        StageEvent::TaskFailed {
            task,
            reason,
            restarts,
        } => {
            if reason.is_panic() {
                error!(target: TARGET, event, stage, %task, %reason, restarts, "a task failed");
            } else {
                warn!(target: TARGET, event, stage, %task, %reason, restarts, "a task failed");
            }
        }
        _ => {}
    }
}
