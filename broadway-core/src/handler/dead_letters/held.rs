//! [`HeldLetters`]: counts the dead letters that wait for their confirmation, keeps the sources paused, and reports both.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    engine::clock,
    error::Reason,
    publish_error::PublishError,
    running::{Pause, RunningPipeline},
    telemetry::Event,
};

/// What a layer knows of its pipelines, and how many dead letters it holds.
#[derive(Default)]
pub(super) struct HeldLetters {
    state: Mutex<HeldState>,
}

#[derive(Default)]
struct HeldState {
    /// Several, if they share the layer. The one that started last is the last.
    pipelines: Vec<RunningPipeline>,
    count: usize,
}

impl HeldLetters {
    fn lock(&self) -> MutexGuard<'_, HeldState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a pipeline that has started.
    pub(super) fn started(&self, pipeline: &RunningPipeline) {
        let mut state = self.lock();
        state.pipelines.retain(|pipeline| !pipeline.has_ended());
        state.pipelines.push(pipeline.clone());
    }

    /// Returns the pipeline that started last.
    pub(super) fn pipeline(&self) -> Option<RunningPipeline> {
        self.lock().pipelines.last().cloned()
    }

    /// Stops asking all sources for messages, until the pauses are dropped.
    fn pauses(&self) -> Vec<Pause> {
        // Not under the lock: observers are called.
        let pipelines = self.lock().pipelines.clone();
        pipelines.iter().map(RunningPipeline::pause).collect()
    }
}

/// The dead letters of one call of `handle_failed`. Dropping it, also in an abort, releases those that it holds.
pub(super) struct Waiting<'a> {
    held: &'a HeldLetters,
    count: usize,
    since: Option<Instant>,
    pauses: Vec<Pause>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(held: &'a HeldLetters) -> Self {
        Self {
            held,
            count: 0,
            since: None,
            pauses: Vec::new(),
        }
    }

    /// Records that `count` dead letters were not confirmed and will be sent again after `retry_after`. From the second time on, the
    /// sources are paused: one failure is often over at once.
    pub(super) fn hold(&mut self, count: usize, retry_after: Duration, error: &PublishError) {
        let now = clock::now();
        let is_first = self.since.is_none();
        let since = *self.since.get_or_insert(now);
        if !is_first && self.pauses.is_empty() {
            self.pauses = self.held.pauses();
        }
        let is_paused = !self.pauses.is_empty();
        let event = |held| Event::DeadLettersHeld {
            count,
            held,
            waited: now.saturating_duration_since(since),
            retry_after,
            is_paused,
            error,
        };
        self.set(count, event);
    }

    /// Records that `sent` dead letters were confirmed, and that `left` still wait.
    pub(super) fn sent(&mut self, sent: usize, left: usize) {
        if sent > 0 {
            let now = clock::now();
            let waited = self.since.map(|since| now.saturating_duration_since(since));
            // Of the others it is not known yet whether they wait: `hold` follows.
            let held = left.min(self.count);
            self.set(held, |held| Event::DeadLettersSent {
                count: sent,
                held,
                waited,
            });
        }
        if left == 0 {
            self.pauses.clear();
        }
    }

    /// Records that a dead letter was refused.
    pub(super) fn refused(&mut self, origin: &str, reason: &Reason, error: &PublishError) {
        self.set(self.count.saturating_sub(1), |held| {
            Event::DeadLetterRefused {
                origin,
                held,
                reason,
                error,
            }
        });
    }

    /// Sets how many wait, and reports `event` with how many the whole layer holds.
    fn set<'e>(&mut self, count: usize, event: impl FnOnce(usize) -> Event<'e>) {
        let mut state = self.held.lock();
        state.count = state.count - self.count + count;
        self.count = count;
        let event = event(state.count);
        // Under the lock: reported out of order, an old count would stay in the gauge.
        if let Some(pipeline) = state.pipelines.last() {
            pipeline.emit(&event);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.held.lock().count -= self.count;
        }
    }
}
