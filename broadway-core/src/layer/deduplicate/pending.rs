//! [`Pending`]: the ids of messages that are being handled, and what the store answered about those that will be.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

/// How long a second copy waits for the first one at most. The pipeline reports the end of every message that it settles, but not of
/// one that it releases because its source has lost it, which may be delivered again.
pub(super) const HELD_MAX: Duration = Duration::from_secs(60);

/// More answers than these are dropped: they belong to messages that were prepared and then released. The store is asked again.
const ANSWERS_MAX: usize = 100_000;

/// See the file.
#[derive(Default)]
pub(super) struct Pending(Mutex<State>);

#[derive(Default)]
struct State {
    /// Since when a message with this id is in flight.
    held: HashMap<String, Instant, RandomState>,
    /// How many ids there were after old ones were removed last.
    held_after_sweep: usize,
    /// `None` while the store is being asked.
    answers: HashMap<String, Option<bool>, RandomState>,
}

/// What to do with a message.
pub(super) enum Claim<'a> {
    /// Another copy is in flight.
    Held,
    /// It may be handled, if it is new. `answer` is the store's, from when its chunk was prepared.
    Mine {
        answer: Option<bool>,
        claim: Claimed<'a>,
    },
}

impl Pending {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the store is being asked about `ids`.
    pub(super) fn ask(&self, ids: &[String]) {
        let mut state = self.state();
        if state.answers.len() + ids.len() > ANSWERS_MAX {
            state.answers.clear();
        }
        let asked = ids.iter().map(|id| (id.clone(), None));
        state.answers.extend(asked);
    }

    /// Notes what the store answered. An answer about a message that has ended meanwhile is out of date, and ignored.
    pub(super) fn answered(&self, ids: &[String], answers: &[bool]) {
        let mut state = self.state();
        for (id, answer) in ids.iter().zip(answers) {
            if let Some(asked) = state.answers.get_mut(id) {
                *asked = Some(*answer);
            }
        }
    }

    /// Forgets that the store was asked.
    pub(super) fn unanswered(&self, ids: &[String]) {
        let mut state = self.state();
        for id in ids {
            state.answers.remove(id);
        }
    }

    /// Claims `id` for a message, unless another one with this id is in flight. A message that `is_back` has claimed it before, and went into
    /// a batch that failed.
    pub(super) fn claim<'a>(&'a self, id: &'a str, is_back: bool, now: Instant) -> Claim<'a> {
        let mut state = self.state();
        state.sweep(now);
        match state.held.entry(id.to_owned()) {
            Entry::Occupied(since) if !is_back && is_held(*since.get(), now) => return Claim::Held,
            Entry::Occupied(mut since) => drop(since.insert(now)),
            Entry::Vacant(vacant) => drop(vacant.insert(now)),
        }
        Claim::Mine {
            answer: state.answers.remove(id).flatten(),
            claim: Claimed {
                pending: self,
                id,
                is_kept: false,
            },
        }
    }

    /// Notes that the messages have ended.
    pub(super) fn ended<'i>(&self, ids: impl IntoIterator<Item = &'i String>) {
        let mut state = self.state();
        for id in ids {
            state.held.remove(id);
            state.answers.remove(id);
        }
    }
}

fn is_held(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < HELD_MAX
}

impl State {
    /// Removes ids that are held for too long, whenever the number has doubled: constant time per id.
    fn sweep(&mut self, now: Instant) {
        if self.held.len() < (self.held_after_sweep * 2).max(1_024) {
            return;
        }
        self.held.retain(|_, since| is_held(*since, now));
        self.held_after_sweep = self.held.len();
    }
}

/// An id that a message has claimed. Dropped, it gives the id up: the message failed, or its call was dropped.
pub(super) struct Claimed<'a> {
    pending: &'a Pending,
    id: &'a str,
    is_kept: bool,
}

impl Claimed<'_> {
    /// Keeps the id claimed until the message has ended.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.pending.state().held.remove(self.id);
        }
    }
}
