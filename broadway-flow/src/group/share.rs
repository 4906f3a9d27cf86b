//! [`Share`]: which of the saved states a worker takes.

use std::hash::Hash;

use super::route::worker_of;
use crate::{sink::Seat, state::SavedState};

/// Which of the saved states a worker takes. The number of workers may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// States of its keys, from all workers: events come by key.
    OfKeys,
    /// States of the former worker in its place, and of others that have no place any more: events come from anywhere.
    OfWorkers,
}

impl Share {
    /// The states that may have something for the worker.
    pub(super) fn of<'a>(
        self,
        states: &'a [SavedState],
        seat: &Seat,
    ) -> impl Iterator<Item = &'a SavedState> + use<'a> {
        let (worker, workers) = (seat.worker, seat.workers);
        states.iter().filter(move |state| match self {
            Self::OfKeys => true,
            Self::OfWorkers => state.worker % workers == worker,
        })
    }

    /// Whether the worker takes the state of a key.
    pub(super) fn keeps<K: Hash>(self, key: &K, seat: &Seat) -> bool {
        match self {
            Self::OfKeys => worker_of(key, seat.workers) == seat.worker,
            Self::OfWorkers => true,
        }
    }

    /// Fails if a worker would take the states of several workers, and they cannot be merged.
    pub(super) fn check(
        self,
        states: &[SavedState],
        seat: &Seat,
        merges: bool,
    ) -> Result<(), String> {
        let before = states.iter().map(|state| state.worker + 1).max();
        match before {
            Some(before) if self == Self::OfWorkers && before > seat.workers && !merges => {
                Err(format!(
                    "{before} workers saved it, and their states do not merge: use at least {before} workers"
                ))
            }
            _ => Ok(()),
        }
    }
}
