//! [`Summary`]: what a command-line program shows, a line while it runs and a table at the end.
//!
//! `counts.rs` counts, and is told the time; `table.rs` writes. This file shares the counts between the topology, which
//! tells, and the program, which asks.

mod counts;
mod latency;
mod table;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use self::counts::SummaryCounts;
use super::{Event, Observer, event::trigger_name};
use crate::batch::Trigger;

/// Counts what happens in a topology, for a closing table ([`Display`](fmt::Display)) and a
/// [`progress_line`](Self::progress_line).
///
/// A clone shares the counts: give one to the pipeline and keep the other. One summary is for one topology; several that
/// share one are added up. Stages are not counted: they settle nothing.
///
/// # Cost
///
/// A short lock for each event but those of chunks. It asks for latencies, so that each settled message costs about
/// 2 ns for reading the clock and some 5 ns for sorting it into a histogram, under that lock.
///
/// # Limits
///
/// It tells apart the first [`REASONS_MAX`](Self::REASONS_MAX) reasons of failures; further ones are counted together. Of
/// a reason it keeps the first line, up to 200 characters. Latencies are kept to about 1 %, and those above one hour count
/// as one hour.
///
/// ```
/// use broadway_core::telemetry::Summary;
///
/// let summary = Summary::new();
/// let observer = summary.clone(); // for `Pipeline::observe`
/// # drop(observer);
/// println!("{}", summary.progress_line());
/// println!("{summary}");
/// ```
#[derive(Clone, Default)]
pub struct Summary {
    counts: Arc<Mutex<SummaryCounts>>,
}

impl Summary {
    /// How many reasons of failures are told apart.
    pub const REASONS_MAX: usize = 20;

    /// A summary of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One line for now: messages settled, messages a second and the 99th percentile of the latency since the line before,
    /// and failures. As in `1,204,511 messages  80,645 msg/s  12 failed  p99 8.4 ms`.
    #[must_use]
    pub fn progress_line(&self) -> String {
        let progress = self.lock().progress(Instant::now());
        table::progress_line(&progress)
    }

    /// Messages that producers delivered, or that were pushed.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.lock().read
    }

    /// Messages settled as succeeded.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.lock().done
    }

    /// Messages settled as failed: their source decides what becomes of them.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.lock().failed
    }

    /// Messages that failed and were then [resolved](crate::Failed::resolve), as by dead letters.
    #[must_use]
    pub fn resolved(&self) -> u64 {
        self.lock().resolved
    }

    /// Messages released unhandled.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.lock().released
    }

    /// Messages that were not settled when the topology ended.
    #[must_use]
    pub fn dropped_unsettled(&self) -> u64 {
        self.lock().dropped_unsettled
    }

    /// Messages whose acknowledgement failed.
    #[must_use]
    pub fn ack_failures(&self) -> u64 {
        self.lock().ack_failures
    }

    /// Why messages failed and how many, the most frequent first. Those that are not told apart come last, as `other`.
    #[must_use]
    pub fn reasons(&self) -> Vec<(String, u64)> {
        let counts = self.lock();
        let told = counts
            .reasons_by_count()
            .into_iter()
            .map(|(text, count)| (text.to_owned(), count));
        told.chain((counts.other_reasons > 0).then(|| ("other".to_owned(), counts.other_reasons)))
            .collect()
    }

    /// How many batches of `batcher` were completed by `trigger`.
    #[must_use]
    pub fn batches(&self, batcher: &str, trigger: Trigger) -> u64 {
        self.lock()
            .batches
            .get(&(batcher, trigger_name(trigger)))
            .map_or(0, |tally| tally.batches)
    }

    /// The time from the topology's start to its end, or until now.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.lock().elapsed(Instant::now())
    }

    /// Messages settled as succeeded, failed or resolved, for each second of [`elapsed`](Self::elapsed).
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.lock().throughput(Instant::now())
    }

    /// The time within which the fraction `quantile` of the messages was settled, counted from their delivery, as in `0.99`
    /// for the 99th percentile. `None` before the first settled message.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Option<Duration> {
        self.lock().latencies.quantile(quantile)
    }

    /// The counts stay usable when a thread panicked with the lock: each is right by itself.
    fn lock(&self) -> MutexGuard<'_, SummaryCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Summary {
    fn on_event(&self, pipeline: &str, event: &Event<'_>) {
        match *event {
            // The text is made without the lock.
            Event::MessageFailed { reason, .. } => {
                let text = counts::reason_text(reason);
                self.lock().count_reason(text, 1);
            }
            Event::FailedInBatch { reason, .. } => {
                let text = counts::reason_text(reason);
                self.lock().count_reason(text, 1);
            }
            Event::BatchFailed { count, reason, .. } => {
                let text = counts::reason_text(reason);
                self.lock().count_reason(text, count as u64);
            }
            Event::TopologyStarted { .. } => self.lock().start(pipeline, Instant::now()),
            Event::Drained { .. } => self.lock().end(Instant::now()),
            Event::Produced { count, .. } | Event::Pushed { count } => {
                self.lock().read += count as u64;
            }
            Event::Settled { settlement, .. } | Event::PushedSettled { settlement } => {
                self.lock().settle(&settlement);
            }
            Event::BatchReady {
                batcher,
                trigger,
                count,
                ..
            } => {
                self.lock()
                    .count_batch(batcher, trigger_name(trigger), count as u64);
            }
            Event::AckFailed { count, .. } => self.lock().ack_failures += count as u64,
            Event::DroppedUnsettled { count } => self.lock().dropped_unsettled += count,
            // Those of stages too.
            _ => {}
        }
    }

    fn wants_latency(&self) -> bool {
        true
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written aside first: whatever `f` writes to must not hold up the topology.
        let text = table::closing(&self.lock(), Instant::now());
        f.write_str(&text)
    }
}

impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.lock();
        f.debug_struct("Summary")
            .field("read", &counts.read)
            .field("ok", &counts.done)
            .field("failed", &counts.failed)
            .field("resolved", &counts.resolved)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
