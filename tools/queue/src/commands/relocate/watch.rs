//! [`Watch`]: the observer of the pipeline, which reports failures and keeps where partitions stopped.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use broadway::telemetry::{Event, Observer};

use crate::progress::Progress;

/// How often failures of messages are reported at most.
const INTERVAL: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Watch {
    progress: Progress,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By partition, the offset of the record that cannot be read.
    halted: BTreeMap<u32, u64>,
    last_error: Option<String>,
    /// When failures were reported, and how many came since then.
    reported: Option<Instant>,
    since: usize,
}

impl Watch {
    pub(super) fn new(progress: Progress) -> Self {
        Self {
            progress,
            state: Arc::default(),
        }
    }

    /// The offset at which a partition stopped, or the largest one.
    pub(super) fn halted_at(&self, partition: u32) -> u64 {
        let state = self.lock();
        state.halted.get(&partition).copied().unwrap_or(u64::MAX)
    }

    pub(super) fn has_halted(&self) -> bool {
        !self.lock().halted.is_empty()
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.lock().last_error.clone()
    }

    /// Messages were not confirmed. An outage has many of them.
    fn failed(&self, count: usize, reason: &impl Display) {
        let mut state = self.lock();
        state.since += count;
        state.last_error = Some(reason.to_string());
        let is_due = state.reported.is_none_or(|at| at.elapsed() >= INTERVAL);
        if !is_due {
            return;
        }
        let failed = std::mem::take(&mut state.since);
        state.reported = Some(Instant::now());
        drop(state);
        self.progress.note(&format!(
            "{failed} not confirmed, they are sent again: {reason}"
        ));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        match event {
            Event::FailedInBatch { reason, .. } | Event::MessageFailed { reason, .. } => {
                self.failed(1, reason);
            }
            Event::BatchFailed { count, reason, .. } => self.failed(*count, reason),
            Event::Halted {
                part,
                position,
                reason,
                ..
            } => {
                if let (Some(partition), Ok(offset)) = (number(part), u64::try_from(*position)) {
                    self.lock().halted.insert(partition, offset);
                }
                self.progress
                    .note(&format!("{part} stops before {position}: {reason}"));
            }
            Event::Lost { part, from, to, .. } => {
                let text = format!("{part}: the records from {from} to {to} cannot be moved");
                self.progress.note(&format!("{text}: deleted or corrupt"));
            }
            Event::ProducerFailed { error, .. } => {
                self.progress.note(&format!("the queue failed: {error}"));
            }
            Event::SourceError { error, .. } | Event::CloseFailed { error, .. } => {
                self.progress.note(&format!("the queue failed: {error}"));
            }
            Event::AckFailed { count, reason, .. } => {
                self.progress.note(&format!(
                    "{count} records could not be settled and may be moved again: {reason}"
                ));
            }
            _ => {}
        }
    }
}

/// The number of a partition such as `orders[3]`.
fn number(part: &str) -> Option<u32> {
    let (_, number) = part.strip_suffix(']')?.rsplit_once('[')?;
    number.parse().ok()
}
