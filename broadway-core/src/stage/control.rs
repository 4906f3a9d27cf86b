//! What is said to producers and to the supervisor from above: run, pause, drain, abort.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::timer;
use crate::{deadline::Deadline, telemetry::DrainCause};

/// The state that everyone sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
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

impl Word {
    /// See [`Drain::releases`].
    pub(crate) fn releases(&self) -> bool {
        self.drain.is_some_and(|drain| drain.releases)
    }
}

/// The saying side; shared by the handle, the producers and the supervisor.
#[derive(Debug)]
pub(crate) struct Control {
    word: watch::Sender<Word>,
    /// Whether a drain releases, unless the source has ended by itself.
    may_release: bool,
    /// That of the word, to be read once a chunk without its lock.
    releases: AtomicBool,
}

impl Control {
    pub(crate) fn new(may_release: bool) -> Self {
        Self {
            may_release,
            releases: AtomicBool::new(false),
            word: watch::Sender::new(Word {
                paused: false,
                drain: None,
                aborted: false,
            }),
        }
    }

    pub(crate) fn listen(&self) -> Listener {
        Listener {
            word: self.word.subscribe(),
        }
    }

    pub(crate) fn word(&self) -> Word {
        *self.word.borrow()
    }

    /// Returns whether this changed anything.
    pub(crate) fn pause(&self, paused: bool) -> bool {
        self.word
            .send_if_modified(|word| std::mem::replace(&mut word.paused, paused) != paused)
    }

    /// Begins to drain; a later call may only shorten the limit, and release where the end of the source did not. Returns
    /// whether this call began it.
    pub(crate) fn drain(&self, cause: DrainCause, limit: Duration) -> bool {
        let now = timer::now();
        let deadline = Deadline::since(now, limit);
        let releases = self.may_release && cause != DrainCause::SourceEnded;
        let mut began = false;
        self.word.send_if_modified(|word| {
            let Some(drain) = &mut word.drain else {
                began = true;
                word.drain = Some(Drain {
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
        self.word
            .send_if_modified(|word| !std::mem::replace(&mut word.aborted, true));
    }
}

/// The hearing side.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    word: watch::Receiver<Word>,
}

impl Listener {
    pub(crate) fn word(&self) -> Word {
        *self.word.borrow()
    }

    /// Waits until `wanted` holds.
    pub(crate) async fn until(&mut self, wanted: impl FnMut(&Word) -> bool) {
        // The sender lives as long as the topology, whose tasks are the only callers.
        let _ = self.word.wait_for(wanted).await;
    }

    /// Runs `future` until `stop` holds; `None` when it was stopped and dropped. A future that is ready wins.
    pub(crate) async fn run_until<F: Future>(
        &mut self,
        future: F,
        stop: impl FnMut(&Word) -> bool,
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
            let word = *self.word.borrow_and_update();
            if word.aborted {
                return None;
            }
            let deadline = word.drain.map_or(Deadline::never(), |drain| drain.deadline);
            if deadline.within(self.word.changed()).await.is_none()
                && let (Some(drain), Some(at)) = (word.drain, deadline.at())
            {
                return Some(at.saturating_duration_since(drain.began));
            }
        }
    }
}
