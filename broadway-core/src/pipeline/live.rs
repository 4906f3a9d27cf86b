//! The settings of a running topology: [`LiveSettings`], with the values that were set last.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::{
    crew::Resize,
    describe::{BatcherDescription, Description},
    validate,
};
use crate::error::Problem;

/// The settings of a running topology, and the parts that they are applied to.
pub(super) struct LiveSettings {
    /// The values that were set last.
    description: Mutex<Description>,
    /// Locked during a change: of two at once, the later one stays everywhere. A lock of its own, since changes call observers, which may
    /// ask for the description.
    changing: Mutex<()>,
    /// Empty until the loops are spawned.
    parts: OnceLock<LiveParts>,
}

/// Weak, since the handle may outlive the topology and must not keep its messages alive.
pub(super) struct LiveParts {
    pub(super) processors: Weak<dyn Resize>,
    pub(super) batchers: Vec<Weak<dyn LiveBatcher>>,
    pub(super) batch_processors: Vec<Weak<dyn Resize>>,
}

/// A running batcher, whatever its types.
pub(super) trait LiveBatcher: Send + Sync {
    /// Changes size and timeouts, also of open batches.
    fn set_limits(&self, limits: &BatcherDescription);

    /// Sends all open batches. Returns how many.
    fn flush(&self) -> usize;
}

impl LiveSettings {
    pub(super) fn new(description: Description) -> Self {
        Self {
            description: Mutex::new(description),
            changing: Mutex::new(()),
            parts: OnceLock::new(),
        }
    }

    /// Sets the parts, once they are there.
    pub(super) fn connect(&self, parts: LiveParts) {
        let _is_first = self.parts.set(parts);
    }

    /// Returns the values that were set last.
    pub(super) fn description(&self) -> Description {
        self.lock().clone()
    }

    /// Returns the index of a batcher.
    ///
    /// # Errors
    ///
    /// Fails if no batcher has this name. The error lists the names.
    pub(super) fn find_batcher(&self, name: &str) -> Result<usize, Problem> {
        let description = self.lock();
        let names: Vec<_> = description
            .batchers
            .iter()
            .map(|batcher| batcher.name)
            .collect();
        let found = names.iter().position(|known| *known == name);
        found.ok_or_else(|| {
            Problem::new(
                format!("batchers.{name}"),
                validate::no_such("batcher", &names),
            )
        })
    }

    /// Returns the index of a source.
    ///
    /// # Errors
    ///
    /// Fails if no source has this name. The error lists the names.
    pub(super) fn find_source(&self, name: &str) -> Result<usize, Problem> {
        let description = self.lock();
        let sources = description.sources.iter();
        let names: Vec<_> = sources.map(|source| source.name.as_str()).collect();
        let found = names.iter().position(|known| *known == name);
        found.ok_or_else(|| {
            Problem::new(
                format!("sources.{name}"),
                validate::no_such("source", &names),
            )
        })
    }

    pub(super) fn batcher(&self, index: usize) -> BatcherDescription {
        self.lock().batchers[index].clone()
    }

    /// Changes size or timeouts of a batcher.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if the new values are invalid or the topology has ended.
    pub(super) fn change_batcher(
        &self,
        index: usize,
        change: impl FnOnce(&mut BatcherDescription),
    ) -> Result<(), Problem> {
        let _changing = self.begin_change();
        let before = self.batcher(index);
        let mut after = before.clone();
        change(&mut after);
        if let Some(problem) = validate::live_batcher(&after) {
            return Err(problem);
        }
        if after == before {
            return Ok(());
        }
        let Some(batcher) = self.live_batcher(index) else {
            return Err(ended(format!("batchers.{}", after.name)));
        };
        batcher.set_limits(&after);
        self.lock().batchers[index] = after;
        Ok(())
    }

    /// Changes the number of a batcher's batch processors. Returns how many there were.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if the number is invalid or the topology has ended.
    pub(super) fn resize_batcher(&self, index: usize, to: usize) -> Result<usize, Problem> {
        let _changing = self.begin_change();
        let mut after = self.batcher(index);
        let from = std::mem::replace(&mut after.concurrency, to);
        if let Some(problem) = validate::live_batcher(&after) {
            return Err(problem);
        }
        let parts = self.parts.get();
        let crew = parts.and_then(|parts| parts.batch_processors.get(index)?.upgrade());
        let Some(crew) = crew else {
            return Err(ended(format!("batchers.{}", after.name)));
        };
        if from != to {
            crew.resize(to);
            self.lock().batchers[index] = after;
        }
        Ok(from)
    }

    /// Returns the number of processors.
    pub(super) fn processors(&self) -> usize {
        self.lock().processors
    }

    /// Changes the number of processors. Returns how many there were.
    ///
    /// # Errors
    ///
    /// As [`resize_batcher`](Self::resize_batcher).
    pub(super) fn resize_processors(&self, to: usize) -> Result<usize, Problem> {
        let _changing = self.begin_change();
        if let Some(problem) = validate::live_processors(to) {
            return Err(problem);
        }
        let crew = self
            .parts
            .get()
            .and_then(|parts| parts.processors.upgrade());
        let Some(crew) = crew else {
            return Err(ended("processors.concurrency"));
        };
        let from = self.lock().processors;
        if from != to {
            crew.resize(to);
            self.lock().processors = to;
        }
        Ok(from)
    }

    /// Sends the open batches of one batcher. Returns how many.
    pub(super) fn flush(&self, index: usize) -> usize {
        self.live_batcher(index)
            .map_or(0, |batcher| batcher.flush())
    }

    /// Sends the open batches of all batchers. Returns how many.
    pub(super) fn flush_all(&self) -> usize {
        let batchers = self.parts.get().map_or(0, |parts| parts.batchers.len());
        (0..batchers).map(|index| self.flush(index)).sum()
    }

    fn live_batcher(&self, index: usize) -> Option<Arc<dyn LiveBatcher>> {
        self.parts.get()?.batchers.get(index)?.upgrade()
    }

    fn begin_change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Description> {
        self.description
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended(option: impl Into<String>) -> Problem {
    Problem::new(option, "cannot be changed any more: the topology has ended")
}
