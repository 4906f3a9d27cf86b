//! The first events of an order, of all workers together.

use std::cmp::Ordering;

use super::{Durability, Grouped, Shape};
use crate::{Flow, aggregate::Top, chain::Chain};

impl<T, C, S, D> Grouped<(), T, C, S, D>
where
    T: Clone + Send + 'static,
    C: Chain<Out = ((), T)>,
{
    /// Keeps the first `n` events of each window in the order of `order`, in this order: one result for each window with events, of all
    /// workers together.
    ///
    /// One worker makes the result. If windows fire only when they end, each worker before it sends it at most `n` events for each window.
    ///
    /// ```
    /// use broadway_flow::{EventTime, Flow, Timestamp, Windows};
    /// use std::time::Duration;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let scores = [("ada", 7, 1), ("bob", 9, 2), ("cid", 8, 3), ("dan", 1, 61)];
    /// let times = EventTime::new(|score: &(&str, i32, i64)| Timestamp::from_millis(score.2 * 1_000));
    /// let best = Flow::from_iter(scores)
    ///     .event_time(times)
    ///     .window(Windows::fixed(Duration::from_secs(60)))
    ///     .take_sort(2, |a, b| b.1.cmp(&a.1))
    ///     .map(|best| best.value.into_iter().map(|score| score.0).collect::<Vec<_>>());
    /// let mut best = best.collect().await?;
    /// best.sort();
    /// assert_eq!(best, [vec!["bob", "cid"], vec!["dan"]]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn take_sort<F>(mut self, n: usize, order: F) -> Flow<S::Out>
    where
        F: Fn(&T, &T) -> Ordering + Clone + Send + 'static,
        S: Shape<(), Vec<T>>,
        D: Durability<T, (), Top<F>>,
    {
        self.is_gathered = true;
        self.workers = Some(1);
        self.aggregate_as("take_sort", Top::new(n, order))
    }
}
