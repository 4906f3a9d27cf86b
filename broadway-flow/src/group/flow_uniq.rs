//! The first event of each key, in the whole input.

use std::hash::Hash;

use crate::{Flow, chain::Chain};

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Keeps the first event of each key, and emits it at once. The first event is the one that arrives first. For the keys of windows, see
    /// [`Grouped::uniq`](crate::Grouped::uniq).
    ///
    /// # Limits
    ///
    /// Each worker behind the partition holds all its keys, at most `keys_max`. One more ends the flow with an error of the kind
    /// [`Limit`](crate::FlowErrorKind::Limit).
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let words = Flow::from_iter(["apple", "ant", "bee"]).workers(1);
    /// let first = words.uniq_by(|word| word.as_bytes()[0], 256);
    /// let mut first = first.collect().await?;
    /// first.sort();
    /// assert_eq!(first, ["apple", "bee"]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn uniq_by<K, F>(self, key: F, keys_max: usize) -> Flow<T>
    where
        K: Hash + Eq + Clone + Send + 'static,
        F: FnMut(&T) -> K + Clone + Send + 'static,
    {
        self.partition(key).uniq(keys_max)
    }

    /// Keeps one of equal events. As [`uniq_by`](Self::uniq_by), with a clone of the event as its key.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut all = Flow::from_iter([3, 1, 3, 3]).uniq(1_000).collect().await?;
    /// all.sort();
    /// assert_eq!(all, [1, 3]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn uniq(self, keys_max: usize) -> Flow<T>
    where
        T: Hash + Eq + Clone,
    {
        self.uniq_by(T::clone, keys_max)
    }
}
