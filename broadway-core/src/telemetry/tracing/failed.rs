//! The lines about failed messages, which identify them. A message is formatted only if the level of its line is
//! enabled.

use std::fmt::{self, Write};

use ::tracing::{Level, enabled, error, field::display, info, warn};

use super::{IDS_MAX, TARGET, milliseconds::ms};
use crate::telemetry::{AffectedMessages, Event, MessageInfo};

/// How much of a key is logged.
const KEY_BYTES_MAX: usize = 200;

pub(super) fn write(pipeline: &str, event: &Event<'_>, keys: bool) {
    match event {
        Event::MessageFailed { .. } | Event::FailedInBatch { .. } => one(pipeline, event, keys),
        _ => several(pipeline, event),
    }
}

fn one(pipeline: &str, emitted_event: &Event<'_>, keys: bool) {
    let event = emitted_event.name();
    let (worker, reason, affected) = match *emitted_event {
        Event::MessageFailed {
            processor,
            reason,
            affected,
        } => ((Some(processor), None, None), reason, affected),
        Event::FailedInBatch {
            batcher,
            worker,
            reason,
            affected,
        } => ((None, Some(batcher), Some(worker)), reason, affected),
        _ => return,
    };
    let is_enabled = match reason.is_panic() {
        true => enabled!(target: TARGET, Level::ERROR),
        false => enabled!(target: TARGET, Level::WARN),
    };
    if !is_enabled {
        return;
    }
    let (processor, batcher, worker) = worker;
    let info = affected.first().unwrap_or_default();
    let key = LoggedKey::of(&info, keys);
    let (key, key_hash) = (key.shown.map(display), key.hash.map(display));
    let MessageInfo {
        producer,
        id,
        attempt,
        ..
    } = &info;
    let id = (!id.is_empty()).then_some(id.as_str());
    if reason.is_panic() {
        error!(target: TARGET, event, pipeline, processor, batcher, worker, producer, id, attempt, key, key_hash,
            class = reason.class().name(), %reason, "message failed");
    } else {
        warn!(target: TARGET, event, pipeline, processor, batcher, worker, producer, id, attempt, key, key_hash,
            class = reason.class().name(), %reason, "message failed");
    }
}

fn several(pipeline: &str, emitted_event: &Event<'_>) {
    let event = emitted_event.name();
    match *emitted_event {
        Event::BatchFailed {
            batcher,
            worker,
            count,
            reason,
            affected,
        } if enabled!(target: TARGET, Level::ERROR) => {
            let ids = ids(affected, count);
            error!(target: TARGET, event, pipeline, batcher, worker, count, ids, %reason, "batch failed");
        }
        Event::RetryScheduled {
            batcher,
            worker,
            count,
            attempt,
            pause,
            reason,
            affected,
        } if enabled!(target: TARGET, Level::INFO) => {
            let (processor, worker) = match batcher {
                None => (Some(worker), None),
                Some(_) => (None, Some(worker)),
            };
            let ids = ids(affected, count);
            info!(target: TARGET, event, pipeline, processor, batcher, worker, count, ids, attempt,
                class = reason.class().name(), retry_after_ms = ms(pause), %reason, "handled again after a pause");
        }
        Event::AckFailed {
            producer,
            count,
            reason,
            affected,
        } if enabled!(target: TARGET, Level::ERROR) => {
            let ids = ids(affected, count);
            error!(target: TARGET, event, pipeline, producer, count, ids, %reason,
                "acknowledging failed; the source will deliver the messages again");
        }
        Event::LateResults {
            producer,
            count,
            affected,
        } if enabled!(target: TARGET, Level::WARN) => {
            let ids = ids(affected, count);
            warn!(target: TARGET, event, pipeline, producer, count, ids,
                "results arrived too late and are ignored; the source delivers their messages again");
        }
        _ => {}
    }
}

/// Returns `orders[3]@12, orders[3]@13, orders[0]@7 and 97 more`. `None` if the source knows no ids.
fn ids(affected: AffectedMessages<'_>, count: usize) -> Option<String> {
    let infos = affected.iter().take(IDS_MAX);
    let infos: Vec<_> = infos.filter(|info| !info.id.is_empty()).collect();
    let mut ids = String::new();
    for info in &infos {
        let comma = if ids.is_empty() { "" } else { ", " };
        let _ = write!(ids, "{comma}{info}");
    }
    let more = count.saturating_sub(infos.len());
    if !infos.is_empty() && more > 0 {
        let _ = write!(ids, " and {more} more");
    }
    (!infos.is_empty()).then_some(ids)
}

/// The key, if it may be logged, or its hash.
struct LoggedKey<'a> {
    shown: Option<ShownKey<'a>>,
    hash: Option<HexHash>,
}

impl<'a> LoggedKey<'a> {
    fn of(info: &'a MessageInfo, keys: bool) -> Self {
        let shown = info.key.as_deref().filter(|_| keys).map(ShownKey);
        let hash = info.key_hash.filter(|_| shown.is_none()).map(HexHash);
        Self { shown, hash }
    }
}

struct ShownKey<'a>(&'a [u8]);

impl fmt::Display for ShownKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = &self.0[..self.0.len().min(KEY_BYTES_MAX)];
        write!(f, "{}", cut.escape_ascii())?;
        match self.0.len() - cut.len() {
            0 => Ok(()),
            rest => write!(f, "… ({rest} bytes more)"),
        }
    }
}

struct HexHash(u64);

impl fmt::Display for HexHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
