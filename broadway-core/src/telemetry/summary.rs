//! [`Summary`]: the output of a command-line program: one line while it runs, and a table at the end.
//!
//! `counts.rs` counts, with time as a parameter; `table.rs` formats. This file shares the counts between the topology,
//! which reports events, and the program, which reads them.

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

/// Counts the events of a topology, for a closing table ([`Display`](fmt::Display)) and a
/// [`progress_line`](Self::progress_line).
///
/// A clone shares the counts: give one to the pipeline and keep the other. One summary is for one topology; the counts
/// of several that share one are added up. Stages are not counted, because they settle nothing.
///
/// # Cost
///
/// A short lock for each event, except chunk events. It requests latencies, so each settled message costs about 2 ns
/// for reading the clock and about 5 ns for sorting it into a histogram, under that lock.
///
/// # Limits
///
/// The first [`REASONS_MAX`](Self::REASONS_MAX) reasons of failures are counted separately, further ones together. The
/// first line of a reason is kept, up to 200 characters. Latencies are accurate to about 1 %, and those above one hour
/// count as one hour.
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
    /// How many reasons of failures are counted separately.
    pub const REASONS_MAX: usize = 20;

    /// Creates an empty summary.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns one line about the time since the last call: messages settled, messages per second, failures, and the
    /// 99th percentile of the latency. For example `1,204,511 messages  80,645 msg/s  12 failed  p99 8.4 ms`.
    #[must_use]
    pub fn progress_line(&self) -> String {
        let progress = self.lock().progress(Instant::now());
        table::progress_line(&progress)
    }

    /// Returns how many messages producers delivered or programs pushed.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.lock().read
    }

    /// Returns how many messages were settled as done.
    #[must_use]
    pub fn ok(&self) -> u64 {
        self.lock().done
    }

    /// Returns how many messages were settled as failed. Their source decides what happens to them.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.lock().failed
    }

    /// Returns how many messages failed and were then [resolved](crate::Failed::resolve), for example as dead letters.
    #[must_use]
    pub fn resolved(&self) -> u64 {
        self.lock().resolved
    }

    /// Returns how many messages were released unhandled.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.lock().released
    }

    /// Returns how many messages were not handled and left to their source, which delivers them again after a time.
    #[must_use]
    pub fn delayed(&self) -> u64 {
        self.lock().delayed
    }

    /// Returns how many messages were not settled when the topology ended.
    #[must_use]
    pub fn dropped_unsettled(&self) -> u64 {
        self.lock().dropped_unsettled
    }

    /// Returns how many messages could not be acknowledged.
    #[must_use]
    pub fn ack_failures(&self) -> u64 {
        self.lock().ack_failures
    }

    /// Returns the reasons of failures with their counts, the most frequent first. Reasons that are not counted
    /// separately come last, as `other`.
    #[must_use]
    pub fn reasons(&self) -> Vec<(String, u64)> {
        let counts = self.lock();
        let separate = counts
            .reasons_by_count()
            .into_iter()
            .map(|(text, count)| (text.to_owned(), count));
        separate
            .chain((counts.other_reasons > 0).then(|| ("other".to_owned(), counts.other_reasons)))
            .collect()
    }

    /// Returns how many batches of `batcher` were completed by `trigger`.
    #[must_use]
    pub fn batches(&self, batcher: &str, trigger: Trigger) -> u64 {
        self.lock()
            .batches
            .get(&(batcher, trigger_name(trigger)))
            .map_or(0, |tally| tally.batches)
    }

    /// Returns the time from the topology's start to its end, or until now.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.lock().elapsed(Instant::now())
    }

    /// Returns the messages settled as done, failed or resolved per second of [`elapsed`](Self::elapsed).
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.lock().throughput(Instant::now())
    }

    /// Returns the time within which the fraction `quantile` of the messages was settled, counted from their delivery;
    /// 0.99 is the 99th percentile. `None` before the first settled message.
    #[must_use]
    pub fn latency(&self, quantile: f64) -> Option<Duration> {
        self.lock().latencies.quantile(quantile)
    }

    /// The counts stay usable after a panic under the lock, because each is correct on its own.
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
            // Includes the events of stages.
            _ => {}
        }
    }

    fn wants_latency(&self) -> bool {
        true
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Formatted into a string first: a slow `f` must not hold up the topology.
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
