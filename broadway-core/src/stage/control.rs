//! What is said to producers and to the supervisor from above: run, pause, drain, abort.

use std::time::{Duration, Instant};

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
}

/// The saying side; shared by the handle, the producers and the supervisor.
#[derive(Debug)]
pub(crate) struct Control {
    word: watch::Sender<Word>,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
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

    /// Begins to drain; a later call may only shorten the limit. Returns whether this call began it.
    pub(crate) fn drain(&self, cause: DrainCause, limit: Duration) -> bool {
        let now = timer::now();
        let deadline = Deadline::since(now, limit);
        let mut began = false;
        self.word.send_if_modified(|word| match &mut word.drain {
            None => {
                word.drain = Some(Drain {
                    cause,
                    began: now,
                    deadline,
                });
                began = true;
                true
            }
            Some(drain) if deadline < drain.deadline => {
                drain.deadline = deadline;
                true
            }
            Some(_) => false,
        });
        began
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
