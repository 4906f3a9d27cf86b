//! The lines of dead letters.

use ::tracing::{debug, error, info, warn};

use super::{TARGET, milliseconds::ms};
use crate::telemetry::Event;

pub(super) fn write(pipeline: &str, emitted_event: &Event<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        Event::DeadLettersSent {
            count,
            held,
            waited: None,
        } => debug!(target: TARGET, event, pipeline, count, held, "dead letters sent"),
        Event::DeadLettersSent {
            count,
            held,
            waited: Some(waited),
        } => {
            info!(target: TARGET, event, pipeline, count, held, waited_ms = ms(waited),
                "dead letters that had waited are confirmed");
        }
        Event::DeadLettersHeld {
            count,
            held,
            waited,
            retry_after,
            is_paused,
            error,
        } => {
            warn!(target: TARGET, event, pipeline, count, held, waited_ms = ms(waited), retry_after_ms = ms(retry_after),
                is_paused, %error, "dead letters are not confirmed; their messages wait");
        }
        Event::DeadLetterRefused {
            origin,
            held,
            reason,
            error,
        } => {
            error!(target: TARGET, event, pipeline, id = origin, held, %reason, %error,
                "a dead letter cannot be sent; its message stays failed");
        }
        _ => {}
    }
}
