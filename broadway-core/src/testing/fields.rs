//! The fields of events as text, except durations and affected messages.

use crate::telemetry::{Event, Settlement, StageEvent};

type Fields = Vec<(&'static str, String)>;

/// Names the fields of a pattern after the variables that hold them.
macro_rules! texts {
    ($($field:ident),*) => { vec![$((stringify!($field), $field.to_string())),*] };
}

pub(super) fn of(event: &Event<'_>) -> Fields {
    match event {
        Event::TopologyStarted {
            producers,
            processors,
            batchers,
        } => texts![producers, processors, batchers],
        Event::Draining { cause } => texts![cause],
        Event::Drained { unsettled, .. } => texts![unsettled],
        Event::Paused | Event::Resumed => Vec::new(),
        Event::SourcePaused { source } | Event::SourceResumed { source } => texts![source],
        Event::Resized { batcher, from, to } => with(texts![from, to], "batcher", batcher.as_ref()),
        Event::Produced {
            producer,
            count,
            demand,
        } => texts![producer, count, demand],
        Event::ChunkStarted { .. }
        | Event::ChunkStopped { .. }
        | Event::MessageFailed { .. }
        | Event::RetryScheduled { .. }
        | Event::HandlerBlocked { .. } => of_chunk(event),
        Event::BatchReady { .. }
        | Event::BatchStarted { .. }
        | Event::BatchStopped { .. }
        | Event::FailedInBatch { .. }
        | Event::BatchFailed { .. } => of_batch(event),
        Event::HandleDonePanicked { reason } => texts![reason],
        Event::FailedHandled { count, panic, .. } => with(texts![count], "panic", panic.as_ref()),
        Event::Settled {
            producer,
            settlement,
        } => with(of_settlement(settlement), "producer", Some(producer)),
        Event::PushedSettled { settlement } => of_settlement(settlement),
        Event::Pushed { count } => texts![count],
        Event::AckFailed {
            producer,
            count,
            reason,
            ..
        } => texts![producer, count, reason],
        Event::CloseFailed { producer, error } => texts![producer, error],
        Event::RateLimited { producer, held, .. } => texts![producer, held],
        Event::Stage(event) => of_stage(event),
        Event::ProducerFailed { .. } | Event::ProducerRestarted { .. } => of_producer(event),
        Event::DroppedUnsettled { count } => texts![count],
        Event::DeadLettersSent { .. }
        | Event::DeadLettersHeld { .. }
        | Event::DeadLetterRefused { .. } => of_dead_letters(event),
        Event::Published {
            done,
            failed,
            error,
            ..
        } => with(texts![done, failed], "error", error.as_ref()),
        Event::Assigned { .. }
        | Event::Revoked { .. }
        | Event::Halted { .. }
        | Event::Unhalted { .. }
        | Event::Lost { .. }
        | Event::Repositioned { .. }
        | Event::DeliveryLimit { .. }
        | Event::Lag { .. }
        | Event::Committed { .. }
        | Event::CommitFailed { .. }
        | Event::SourceError { .. }
        | Event::LateResults { .. } => of_source(event),
    }
}

fn of_dead_letters(event: &Event<'_>) -> Fields {
    match event {
        Event::DeadLettersSent { count, held, .. } => texts![count, held],
        Event::DeadLettersHeld {
            count,
            held,
            is_paused,
            error,
            ..
        } => texts![count, held, is_paused, error],
        Event::DeadLetterRefused {
            origin,
            reason,
            error,
            ..
        } => texts![origin, reason, error],
        _ => Vec::new(),
    }
}

fn of_producer(event: &Event<'_>) -> Fields {
    match event {
        Event::ProducerFailed {
            producer,
            callback,
            error,
            restart_after,
        } => {
            let restarts = restart_after.is_some();
            texts![producer, callback, error, restarts]
        }
        Event::ProducerRestarted { producer, restarts } => texts![producer, restarts],
        _ => Vec::new(),
    }
}

fn of_chunk(event: &Event<'_>) -> Fields {
    match event {
        Event::ChunkStarted { processor, count } => texts![processor, count],
        Event::ChunkStopped {
            processor,
            done,
            failed,
            forwarded,
            returned,
            retried,
            ..
        } => {
            texts![processor, done, failed, forwarded, returned, retried]
        }
        Event::MessageFailed {
            processor, reason, ..
        } => texts![processor, reason],
        Event::RetryScheduled {
            batcher,
            worker,
            count,
            attempt,
            pause,
            reason,
            ..
        } => with(
            with(
                texts![worker, count, attempt, reason],
                "batcher",
                batcher.as_ref(),
            ),
            "pause",
            Some(&format!("{pause:?}")),
        ),
        Event::HandlerBlocked {
            batcher,
            worker,
            message,
            ..
        } => with(
            with(texts![worker], "batcher", batcher.as_ref()),
            "message",
            message.as_ref(),
        ),
        _ => Vec::new(),
    }
}

fn of_batch(event: &Event<'_>) -> Fields {
    match event {
        Event::BatchReady {
            batcher,
            key,
            trigger,
            count,
            bytes,
        } => with(
            texts![batcher, key, count, bytes],
            "trigger",
            Some(&debug(trigger)),
        ),
        Event::BatchStarted {
            batcher,
            worker,
            key,
            trigger,
            count,
        } => with(
            texts![batcher, worker, key, count],
            "trigger",
            Some(&debug(trigger)),
        ),
        Event::BatchStopped {
            batcher,
            worker,
            done,
            failed,
            retried,
            ..
        } => texts![batcher, worker, done, failed, retried],
        Event::FailedInBatch {
            batcher,
            worker,
            reason,
            ..
        } => texts![batcher, worker, reason],
        Event::BatchFailed {
            batcher,
            worker,
            count,
            reason,
            ..
        } => texts![batcher, worker, count, reason],
        _ => Vec::new(),
    }
}

/// Events that connectors report.
fn of_source(event: &Event<'_>) -> Fields {
    match event {
        Event::Assigned {
            producer,
            part,
            position,
        } => with(texts![producer, part], "position", position.as_ref()),
        Event::Revoked {
            producer,
            part,
            settled,
            repeats,
        } => texts![producer, part, settled, repeats],
        Event::Halted {
            producer,
            part,
            position,
            reason,
        }
        | Event::Repositioned {
            producer,
            part,
            position,
            reason,
        } => texts![producer, part, position, reason],
        Event::Lost {
            producer,
            part,
            from,
            to,
        } => texts![producer, part, from, to],
        Event::DeliveryLimit {
            producer,
            part,
            deliveries,
            is_warning,
            note,
        } => texts![producer, part, deliveries, is_warning, note],
        Event::Lag {
            producer,
            part,
            messages,
            ..
        } => {
            let messages = messages.map_or("unknown".to_owned(), |messages| messages.to_string());
            texts![producer, part, messages]
        }
        Event::Committed {
            producer,
            part,
            position,
        }
        | Event::Unhalted {
            producer,
            part,
            position,
        } => texts![producer, part, position],
        Event::CommitFailed { producer, error } | Event::SourceError { producer, error } => {
            texts![producer, error]
        }
        Event::LateResults {
            producer, count, ..
        } => texts![producer, count],
        _ => Vec::new(),
    }
}

fn of_stage(event: &StageEvent<'_>) -> Fields {
    match event {
        StageEvent::Started | StageEvent::ConsumerSubscribed => Vec::new(),
        StageEvent::Subscribed {
            producer,
            subscriptions,
        } => texts![producer, subscriptions],
        StageEvent::Cancelled {
            producer,
            end,
            subscriptions,
        } => texts![producer, end, subscriptions],
        StageEvent::ConsumerCancelled { end } => texts![end],
        StageEvent::Demanded {
            demand,
            outstanding,
        } => texts![demand, outstanding],
        StageEvent::Handled { count, emitted, .. } => texts![count, emitted],
        StageEvent::Called { callback, .. } => texts![callback],
        StageEvent::Emitted { count, outstanding } => texts![count, outstanding],
        StageEvent::Dropped { count }
        | StageEvent::Buffered { count }
        | StageEvent::Discarded { count } => texts![count],
        StageEvent::Failed {
            reason,
            lost,
            restart_after,
        } => {
            let restarts = restart_after.is_some();
            texts![reason, lost, restarts]
        }
        StageEvent::Restarted { restarts } => texts![restarts],
        StageEvent::Resized { before, members } => texts![before, members],
        StageEvent::TaskFailed {
            task,
            reason,
            restarts,
        } => texts![task, reason, restarts],
        StageEvent::Ended { end } => texts![end],
    }
}

fn with<T: ToString>(mut fields: Fields, name: &'static str, value: Option<&T>) -> Fields {
    fields.extend(value.map(|value| (name, value.to_string())));
    fields
}

fn debug(trigger: &crate::batch::Trigger) -> String {
    format!("{trigger:?}").to_lowercase()
}

fn of_settlement(settlement: &Settlement<'_>) -> Fields {
    let Settlement {
        done,
        failed,
        resolved,
        released,
        delayed,
        ..
    } = *settlement;
    texts![done, failed, resolved, released, delayed]
}
