//! [`SummaryCounts`]: the counts of a summary. Time is a parameter.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::{Summary, latency::Latencies};
use crate::{error::Reason, telemetry::Settlement};

/// How much of a reason is kept.
const REASON_CHARS_MAX: usize = 200;

#[derive(Default)]
pub(super) struct SummaryCounts {
    pub(super) pipeline: String,
    pub(super) started: Option<Instant>,
    pub(super) ended: Option<Instant>,
    pub(super) read: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) resolved: u64,
    pub(super) released: u64,
    pub(super) delayed: u64,
    pub(super) dropped_unsettled: u64,
    pub(super) ack_failures: u64,
    pub(super) other_reasons: u64,
    /// By batcher and trigger.
    pub(super) batches: BTreeMap<(&'static str, &'static str), BatchCounts>,
    pub(super) latencies: Latencies,
    reasons: HashMap<String, u64>,
    /// When progress was last requested, and how many messages were settled then.
    progress_before: Option<(Instant, u64)>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct BatchCounts {
    pub(super) batches: u64,
    pub(super) messages: u64,
}

/// The figures of a progress line.
#[derive(Debug, PartialEq)]
pub(super) struct ProgressSnapshot {
    pub(super) settled: u64,
    /// Messages per second since the last line.
    pub(super) rate: f64,
    pub(super) failed: u64,
    pub(super) resolved: u64,
    /// Of the messages since the last line.
    pub(super) p99: Option<Duration>,
}

impl SummaryCounts {
    pub(super) fn start(&mut self, pipeline: &str, now: Instant) {
        if self.started.is_none() {
            pipeline.clone_into(&mut self.pipeline);
            self.started = Some(now);
        }
        self.ended = None;
    }

    pub(super) fn end(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    pub(super) fn settle(&mut self, settlement: &Settlement<'_>) {
        self.done += settlement.done as u64;
        self.failed += settlement.failed as u64;
        self.resolved += settlement.resolved as u64;
        self.released += settlement.released as u64;
        self.delayed += settlement.delayed as u64;
        settlement
            .latencies
            .iter()
            .for_each(|latency| self.latencies.record(*latency));
    }

    pub(super) fn count_reason(&mut self, text: String, count: u64) {
        if let Some(known) = self.reasons.get_mut(&text) {
            *known += count;
        } else if self.reasons.len() < Summary::REASONS_MAX {
            self.reasons.insert(text, count);
        } else {
            self.other_reasons += count;
        }
    }

    pub(super) fn count_batch(
        &mut self,
        batcher: &'static str,
        trigger: &'static str,
        messages: u64,
    ) {
        let tally = self.batches.entry((batcher, trigger)).or_default();
        tally.batches += 1;
        tally.messages += messages;
    }

    pub(super) fn reasons_by_count(&self) -> Vec<(&str, u64)> {
        let mut reasons: Vec<_> = self
            .reasons
            .iter()
            .map(|(text, count)| (text.as_str(), *count))
            .collect();
        reasons.sort_unstable_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then(a.cmp(b)));
        reasons
    }

    /// Failed and resolved messages without an event that had a reason: those that a batch handler failed one by one.
    pub(super) fn unexplained(&self) -> u64 {
        (self.failed + self.resolved)
            .saturating_sub(self.reasons.values().sum::<u64>() + self.other_reasons)
    }

    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        self.started.map_or(Duration::ZERO, |started| {
            self.ended.unwrap_or(now).saturating_duration_since(started)
        })
    }

    pub(super) fn throughput(&self, now: Instant) -> f64 {
        rate(self.settled(), self.elapsed(now))
    }

    pub(super) fn progress(&mut self, now: Instant) -> ProgressSnapshot {
        let settled = self.settled();
        let (since, before) = self
            .progress_before
            .unwrap_or((self.started.unwrap_or(now), 0));
        self.progress_before = Some((now, settled));
        ProgressSnapshot {
            settled,
            rate: rate(settled - before, now.saturating_duration_since(since)),
            failed: self.failed,
            resolved: self.resolved,
            p99: self.latencies.take_recent(0.99),
        }
    }

    pub(super) fn settled(&self) -> u64 {
        self.done + self.failed + self.resolved
    }
}

/// Returns the first line of a reason, cut if it is too long.
pub(super) fn reason_text(reason: &Reason) -> String {
    let text = reason.to_string();
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(REASON_CHARS_MAX)
        .collect()
}

fn rate(messages: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() {
        0.0
    } else {
        messages as f64 / elapsed.as_secs_f64()
    }
}
