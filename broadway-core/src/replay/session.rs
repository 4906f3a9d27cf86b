//! [`Session`]: the state of one replay: its counts, when something last came, and whether it has stopped.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    options::Progress,
    report::{ReplayReport, StopReason},
};
use crate::{
    deadline::Deadline,
    engine::clock,
    running::RunningPipeline,
    telemetry::{DrainCause, Event, Observer},
};

pub(super) struct Session {
    state: Mutex<SessionState>,
    /// Notified once, when the first dead letter has come.
    begun: Notify,
    progress: Option<Progress>,
}

struct SessionState {
    report: ReplayReport,
    pipeline: Option<RunningPipeline>,
    /// The dead letters whose message failed: the source delivers them again at once.
    tried: HashSet<String>,
    /// How many messages are being sent, or wait for the rate limit.
    sending: usize,
    last: Instant,
    has_begun: bool,
}

impl Session {
    pub(super) fn new(progress: Option<Progress>) -> Arc<Self> {
        let state = SessionState {
            report: ReplayReport::default(),
            pipeline: None,
            tried: HashSet::new(),
            sending: 0,
            last: clock::now(),
            has_begun: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            begun: Notify::new(),
            progress,
        })
    }

    fn lock(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the counts, and shows them.
    fn count(&self, change: impl FnOnce(&mut ReplayReport)) {
        let report = {
            let mut state = self.lock();
            change(&mut state.report);
            if self.progress.is_none() {
                return;
            }
            state.report.clone()
        };
        if let Some(progress) = &self.progress {
            progress(&report);
        }
    }

    pub(super) fn started(&self, pipeline: &RunningPipeline) {
        self.lock().pipeline = Some(pipeline.clone());
    }

    pub(super) fn report(&self) -> ReplayReport {
        self.lock().report.clone()
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.lock().report.stopped.is_some()
    }

    /// Ends the replay: no more dead letters are read. The first reason stays.
    pub(super) fn stop(&self, reason: StopReason) {
        let pipeline = {
            let mut state = self.lock();
            state.report.stopped.get_or_insert(reason);
            state.pipeline.clone()
        };
        if let Some(pipeline) = pipeline {
            pipeline.begin_drain();
        }
    }

    /// Records that something came, so that the queue is not idle.
    pub(super) fn came(&self) {
        let mut state = self.lock();
        state.last = clock::now();
        if !mem::replace(&mut state.has_begun, true) {
            self.begun.notify_one();
        }
    }

    /// Waits until something has come. Returns once in a session.
    pub(super) async fn begun(&self) {
        self.begun.notified().await;
    }

    /// Records a message that is not a dead letter.
    pub(super) fn other(&self) {
        self.count(|report| report.others += 1);
    }

    /// Records a dead letter. Returns whether to look at it: not if its message has failed before.
    pub(super) fn listed(&self, key: &str) -> bool {
        if self.lock().tried.contains(key) {
            return false;
        }
        self.count(|report| report.listed += 1);
        true
    }

    /// Records a dead letter that matches, as the last one if there are `max` of them now.
    pub(super) fn matched(&self, max: u64) {
        let mut is_last = false;
        self.count(|report| {
            report.matched += 1;
            is_last = report.matched >= max;
        });
        if is_last {
            self.stop(StopReason::MaxReached);
        }
    }

    /// Records that a message is about to be sent.
    pub(super) fn sends(&self) {
        self.lock().sending += 1;
    }

    /// Records that the messages of `count` dead letters were confirmed.
    pub(super) fn replayed(&self, count: usize) {
        self.sent(count);
        self.count(|report| report.replayed += count as u64);
    }

    fn sent(&self, count: usize) {
        let mut state = self.lock();
        state.sending = state.sending.saturating_sub(count);
        state.last = clock::now();
    }

    /// Records that the message of a dead letter failed. `key` is its name if the source delivers it again: then it is held, so that
    /// `hold_max` limits these names, too.
    pub(super) fn failed(&self, key: Option<&str>, error: String) {
        self.sent(1);
        self.lock().tried.extend(key.map(str::to_owned));
        self.count(|report| {
            report.failed += 1;
            report.first_error.get_or_insert(error);
        });
    }

    /// Returns when the queue is idle, unless something comes before: never while a message is being sent, or waits for the rate limit.
    pub(super) fn idle_at(&self, idle_after: Duration, first_within: Duration) -> Deadline {
        let state = self.lock();
        let limit = match state.has_begun {
            true => idle_after,
            false => first_within,
        };
        let start = match state.sending {
            0 => state.last,
            _ => clock::now(),
        };
        Deadline::since(start, limit)
    }
}

/// Watches the pipeline: a partition that is assigned, and a signal.
pub(super) struct SessionObserver(pub(super) Arc<Session>);

impl Observer for SessionObserver {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        match event {
            Event::Assigned { .. } => self.0.came(),
            Event::Draining {
                cause: DrainCause::Signal,
            } => self.0.stop(StopReason::Signal),
            _ => {}
        }
    }
}
