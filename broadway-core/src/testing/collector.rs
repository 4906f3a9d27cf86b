//! [`Collector`]: a list that handlers append to and tests wait for.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Items in the order in which a handler pushed them. Clones share one list.
///
/// ```
/// use broadway_core::{Message, Pipeline, handler_fn, source, testing::Collector};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let seen = Collector::new();
/// let handler = handler_fn({
///     let seen = seen.clone();
///     move |message: &mut Message<u64>| Ok(seen.push(*message.data()))
/// });
/// let topology = Pipeline::new(source::idle(), handler).start().await?;
/// topology.push([1, 2, 3]).await?;
/// assert_eq!(seen.wait_len(3).await.len(), 3);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub struct Collector<T> {
    shared: Arc<CollectorShared<T>>,
}

struct CollectorShared<T> {
    items: Mutex<Vec<T>>,
    /// Counts the pushed items. A watch, so that no waiter misses a change.
    len: watch::Sender<usize>,
}

impl<T> Collector<T> {
    /// Creates an empty list.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(CollectorShared {
                items: Mutex::new(Vec::new()),
                len: watch::Sender::new(0),
            }),
        }
    }

    /// Appends an item.
    pub fn push(&self, item: T) {
        self.lock().push(item);
        self.shared.len.send_modify(|len| *len += 1);
    }

    /// Returns the number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.shared
            .items
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Collector<T> {
    /// Returns all items.
    #[must_use]
    pub fn all(&self) -> Vec<T> {
        self.lock().clone()
    }

    /// Waits until there are at least `len` items, and returns all of them.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is removed.
    pub async fn wait_len(&self, len: usize) -> Vec<T> {
        // `self` keeps the sender alive.
        let _ = self
            .shared
            .len
            .subscribe()
            .wait_for(|seen| *seen >= len)
            .await;
        self.all()
    }

    /// Waits for an item that `wanted` accepts, and returns the first. Items that were pushed before count.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is removed.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&T) -> bool) -> T {
        let mut len = self.shared.len.subscribe();
        let mut looked_at = 0;
        loop {
            len.borrow_and_update();
            {
                let items = self.lock();
                if let Some(found) = items[looked_at..].iter().find(|item| wanted(item)) {
                    return found.clone();
                }
                looked_at = items.len();
            }
            len.changed().await.expect("the sender is ours");
        }
    }
}

impl<T> Default for Collector<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Collector<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Collector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter()).finish()
    }
}
