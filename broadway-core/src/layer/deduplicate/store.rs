//! [`DedupStore`]: where the ids of handled messages are kept, and [`RecentIds`], which keeps them in memory.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    config_error::Checks, engine::clock, error::BoxError, error::Problem, machine::recent::Recent,
};

/// Keeps the ids of messages that were handled, for [`Deduplicate`](super::Deduplicate).
///
/// Implement it for a database that several processes share. It forgets ids after a time of its choice: that is how long duplicates are
/// recognised. Its calls should have a time limit of their own.
///
/// ```
/// use broadway_core::{BoxError, layer::DedupStore};
///
/// struct Redis; // with a connection pool
///
/// impl DedupStore for Redis {
///     async fn contains_all(&self, ids: &[String]) -> Result<Vec<bool>, BoxError> {
///         // One MGET.
///         # Ok(vec![false; ids.len()])
///     }
///
///     async fn insert_all(&self, ids: &[String]) -> Result<(), BoxError> {
///         // One pipeline of SET … EX 3600.
///         # let _ = ids;
///         # Ok(())
///     }
/// }
/// ```
pub trait DedupStore: Send + Sync + 'static {
    /// Returns for each id whether it was inserted, in the order of `ids`.
    ///
    /// # Errors
    ///
    /// An error fails the messages that were asked for, as a transient error. A result of another length is such an error.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at an await.
    fn contains_all(
        &self,
        ids: &[String],
    ) -> impl Future<Output = Result<Vec<bool>, BoxError>> + Send;

    /// Inserts ids, of which some may be known already.
    ///
    /// # Errors
    ///
    /// An error is logged and counted. The messages are acknowledged all the same, and their duplicates are not recognised.
    fn insert_all(&self, ids: &[String]) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Validates the options. Returns none by default.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// A [`DedupStore`] in memory: the last ids, up to a number and an age. Duplicates of another process, or from before a restart, are not
/// recognised.
///
/// An id takes about 150 bytes, and its own length. When there are more ids than the number, the oldest are forgotten first.
pub struct RecentIds {
    capacity: usize,
    window: Duration,
    ids: Mutex<Option<Recent>>,
}

impl RecentIds {
    /// Keeps up to `capacity` ids (1 to 100,000,000), each for up to `window` (more than zero; [`Duration::MAX`] for no limit).
    #[must_use]
    pub fn new(capacity: usize, window: Duration) -> Self {
        Self {
            capacity,
            window,
            ids: Mutex::new(None),
        }
    }

    fn with<T>(&self, call: impl FnOnce(&mut Recent) -> T) -> T {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        call(ids.get_or_insert_with(|| Recent::new(self.capacity, self.window)))
    }
}

impl Default for RecentIds {
    /// 100,000 ids for up to 10 minutes.
    fn default() -> Self {
        Self::new(100_000, Duration::from_secs(600))
    }
}

impl fmt::Debug for RecentIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecentIds")
            .field("capacity", &self.capacity)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl DedupStore for RecentIds {
    async fn contains_all(&self, ids: &[String]) -> Result<Vec<bool>, BoxError> {
        let now = clock::now();
        Ok(self.with(|known| ids.iter().map(|id| known.contains(id, now)).collect()))
    }

    async fn insert_all(&self, ids: &[String]) -> Result<(), BoxError> {
        self.with(|known| {
            // Under the lock, so that times never go back.
            let now = clock::now();
            ids.iter().for_each(|id| known.insert(id, now));
        });
        Ok(())
    }

    fn check(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.within("capacity", self.capacity, 1..=100_000_000);
        checks.above_zero("window", self.window);
        checks.into_problems()
    }
}
