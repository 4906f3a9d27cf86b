//! The metrics of a source's parts (partitions), the only labels that come and go while a topology runs.
//!
//! The facade cannot forget a series, so the series of a part that was taken away are set to 0: then a sum over the
//! instances of a program stays correct. There may be thousands of parts, so they are in a map behind a lock; their
//! events are a few per second.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ::metrics::{Counter, Gauge};

use super::catalog;

#[derive(Debug)]
pub(super) struct SourceMetrics {
    pipeline: String,
    parts: Gauge,
    assigned: Counter,
    revoked_settled: Counter,
    revoked_unsettled: Counter,
    commits_done: Counter,
    commits_failed: Counter,
    by_part: Mutex<HashMap<String, PartMetrics>>,
}

#[derive(Debug)]
struct PartMetrics {
    lag: Gauge,
    oldest: Gauge,
    committed_position: Gauge,
    halted: Gauge,
    lost: Counter,
    ours: bool,
    halted_at: Option<i64>,
}

impl SourceMetrics {
    pub(super) fn new(pipeline: &str) -> Self {
        let own = [pipeline];
        Self {
            parts: catalog::PARTS.gauge(&own),
            assigned: catalog::ASSIGNED.counter(&own),
            revoked_settled: catalog::REVOKED.counter(&[pipeline, "true"]),
            revoked_unsettled: catalog::REVOKED.counter(&[pipeline, "false"]),
            commits_done: catalog::COMMITS.counter(&[pipeline, "ok"]),
            commits_failed: catalog::COMMITS.counter(&[pipeline, "failed"]),
            by_part: Mutex::default(),
            pipeline: pipeline.to_owned(),
        }
    }

    pub(super) fn assigned(&self, part: &str) {
        self.assigned.increment(1);
        self.with_part(part, |part| {
            part.resume();
            if !std::mem::replace(&mut part.ours, true) {
                self.parts.increment(1);
            }
        });
    }

    pub(super) fn revoked(&self, part: &str, settled: bool) {
        if settled {
            &self.revoked_settled
        } else {
            &self.revoked_unsettled
        }
        .increment(1);
        self.with_part(part, |part| {
            part.resume();
            part.lag(Some(0), None);
            if std::mem::replace(&mut part.ours, false) {
                self.parts.decrement(1);
            }
        });
    }

    /// Handles the end of the topology: no part is assigned any more, whether or not that was reported.
    pub(super) fn end(&self) {
        let mut by_part = self.by_part.lock().unwrap_or_else(PoisonError::into_inner);
        for part in by_part.values_mut() {
            part.resume();
            part.lag(Some(0), None);
            part.ours = false;
        }
        self.parts.set(0);
    }

    pub(super) fn halted(&self, part: &str, position: i64) {
        self.with_part(part, |part| {
            part.halted_at = Some(position);
            part.halted.set(1);
        });
    }

    pub(super) fn resumed(&self, part: &str) {
        self.with_part(part, PartMetrics::resume);
    }

    pub(super) fn lost(&self, part: &str, from: i64, to: i64) {
        let positions = u64::try_from(to - from).unwrap_or(0);
        self.with_part(part, |part| part.lost.increment(positions));
    }

    pub(super) fn lag(&self, part: &str, messages: Option<u64>, oldest: Option<Duration>) {
        self.with_part(part, |part| part.lag(messages, oldest));
    }

    pub(super) fn committed(&self, part: &str, position: i64) {
        self.commits_done.increment(1);
        self.with_part(part, |part| {
            part.committed_position.set(position as f64);
            if part.halted_at.is_some_and(|halted_at| position > halted_at) {
                part.resume();
            }
        });
    }

    pub(super) fn commit_failed(&self) {
        self.commits_failed.increment(1);
    }

    fn with_part(&self, name: &str, work: impl FnOnce(&mut PartMetrics)) {
        let mut by_part = self.by_part.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = by_part.get_mut(name) {
            return work(part);
        }
        work(
            by_part
                .entry(name.to_owned())
                .or_insert_with(|| PartMetrics::new(&self.pipeline, name)),
        );
    }
}

impl PartMetrics {
    fn new(pipeline: &str, part: &str) -> Self {
        let own = [pipeline, part];
        Self {
            lag: catalog::LAG.gauge(&own),
            oldest: catalog::OLDEST.gauge(&own),
            committed_position: catalog::COMMITTED_POSITION.gauge(&own),
            halted: catalog::HALTED.gauge(&own),
            lost: catalog::LOST.counter(&own),
            ours: false,
            halted_at: None,
        }
    }

    /// Sets unknown values to NaN. A value that stays at its last figure would look like a true one.
    fn lag(&self, messages: Option<u64>, oldest: Option<Duration>) {
        let none_waits = messages == Some(0);
        self.lag
            .set(messages.map_or(f64::NAN, |messages| messages as f64));
        self.oldest.set(match oldest {
            Some(oldest) => oldest.as_secs_f64(),
            None if none_waits => 0.0,
            None => f64::NAN,
        });
    }

    fn resume(&mut self) {
        self.halted_at = None;
        self.halted.set(0);
    }
}
