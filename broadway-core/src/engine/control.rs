//! What is said to producers and to the supervisor from above: run, pause, drain, abort.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::clock;
use crate::{deadline::Deadline, telemetry::DrainCause};

/// The state that everyone sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlState {
    pub(crate) paused: bool,
    pub(crate) drain: Option<Drain>,
    pub(crate) aborted: bool,
}

/// A drain that has begun, and when it must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drain {
    pub(crate) cause: DrainCause,
    pub(crate) began: Instant,
    pub(crate) deadline: Deadline,
    /// Messages that no handler has begun are released, where their source delivers them again.
    pub(crate) releases: bool,
}

impl ControlState {
    /// See [`Drain::releases`].
    pub(crate) fn releases(&self) -> bool {
        self.drain.is_some_and(|drain| drain.releases)
    }
}

/// The saying side; shared by the handle, the producers and the supervisor.
#[derive(Debug)]
pub(crate) struct Control {
    state: watch::Sender<ControlState>,
    /// Whether a drain releases, unless the source has ended by itself.
    may_release: bool,
    /// That of the state, to be read once a chunk without its lock.
    releases: AtomicBool,
}

impl Control {
    pub(crate) fn new(may_release: bool) -> Self {
        Self {
            may_release,
            releases: AtomicBool::new(false),
            state: watch::Sender::new(ControlState {
                paused: false,
                drain: None,
                aborted: false,
            }),
        }
    }

    pub(crate) fn watch(&self) -> ControlWatcher {
        ControlWatcher {
            state: self.state.subscribe(),
        }
    }

    pub(crate) fn state(&self) -> ControlState {
        *self.state.borrow()
    }

    /// Returns whether this changed anything.
    pub(crate) fn pause(&self, paused: bool) -> bool {
        self.state
            .send_if_modified(|state| std::mem::replace(&mut state.paused, paused) != paused)
    }

    /// Begins to drain; a later call may only shorten the limit, and release where the end of the source did not. Returns
    /// whether this call began it.
    pub(crate) fn drain(&self, cause: DrainCause, limit: Duration) -> bool {
        let now = clock::now();
        let deadline = Deadline::since(now, limit);
        let releases = self.may_release && cause != DrainCause::SourceEnded;
        let mut began = false;
        self.state.send_if_modified(|state| {
            let Some(drain) = &mut state.drain else {
                began = true;
                state.drain = Some(Drain {
                    cause,
                    began: now,
                    deadline,
                    releases,
                });
                return true;
            };
            let before = *drain;
            drain.deadline = drain.deadline.min(deadline);
            drain.releases |= releases;
            *drain != before
        });
        if releases {
            self.releases.store(true, Ordering::Release);
        }
        began
    }

    /// Whether a drain has begun that releases what no handler has begun.
    pub(crate) fn releases(&self) -> bool {
        self.releases.load(Ordering::Acquire)
    }

    pub(crate) fn abort(&self) {
        self.state
            .send_if_modified(|state| !std::mem::replace(&mut state.aborted, true));
    }
}

/// The hearing side.
#[derive(Debug, Clone)]
pub(crate) struct ControlWatcher {
    state: watch::Receiver<ControlState>,
}

impl ControlWatcher {
    pub(crate) fn state(&self) -> ControlState {
        *self.state.borrow()
    }

    /// Waits until `wanted` holds.
    pub(crate) async fn until(&mut self, wanted: impl FnMut(&ControlState) -> bool) {
        // The sender lives as long as the topology, whose tasks are the only callers.
        let _ = self.state.wait_for(wanted).await;
    }

    /// Runs `future` until `stop` holds; `None` when it was stopped and dropped. A future that is ready wins.
    pub(crate) async fn run_until<F: Future>(
        &mut self,
        future: F,
        stop: impl FnMut(&ControlState) -> bool,
    ) -> Option<F::Output> {
        // Biased: what a producer has is delivered, even when the drain begins at the same moment.
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.until(stop) => None,
        }
    }

    /// Runs `future` to its end, unless the topology must end by force: aborted, or the drain ran out of time (then with
    /// its limit).
    pub(crate) async fn run_until_forced<F: Future>(
        &mut self,
        future: F,
    ) -> Result<F::Output, Option<Duration>> {
        // Biased: an end that was reached in time counts.
        tokio::select! {
            biased;
            output = future => Ok(output),
            limit = self.forced() => Err(limit),
        }
    }

    async fn forced(&mut self) -> Option<Duration> {
        loop {
            let state = *self.state.borrow_and_update();
            if state.aborted {
                return None;
            }
            let deadline = state
                .drain
                .map_or(Deadline::never(), |drain| drain.deadline);
            if deadline.within(self.state.changed()).await.is_none()
                && let (Some(drain), Some(at)) = (state.drain, deadline.at())
            {
                return Some(at.saturating_duration_since(drain.began));
            }
        }
    }
}
