//! The lines of stages.

use ::tracing::{debug, info, trace, warn};

use super::TARGET;
use crate::telemetry::StageEvent;

pub(super) fn write(stage: &str, told: &StageEvent<'_>) {
    let event = told.name();
    match *told {
        StageEvent::Started => info!(target: TARGET, event, stage, "stage started"),
        StageEvent::Demanded { demand, emitted } => {
            trace!(target: TARGET, event, stage, demand, emitted, "stage was asked for events");
        }
        StageEvent::Handled {
            count,
            emitted,
            elapsed,
        } => {
            trace!(target: TARGET, event, stage, count, emitted, ?elapsed, "stage handled a chunk");
        }
        StageEvent::Discarded { count } => {
            warn!(target: TARGET, event, stage, count, "stage discarded events, as its buffer is full");
        }
        StageEvent::Failed {
            reason,
            lost,
            restart_after,
        } => {
            warn!(target: TARGET, event, stage, %reason, lost, ?restart_after, "stage failed");
        }
        StageEvent::Restarted { restarts } => {
            info!(target: TARGET, event, stage, restarts, "stage runs again");
        }
        StageEvent::TaskFailed {
            task,
            reason,
            restarts,
        } => {
            warn!(target: TARGET, event, stage, %task, %reason, restarts, "task failed");
        }
        StageEvent::Ended { end } => debug!(target: TARGET, event, stage, %end, "stage ended"),
    }
}
