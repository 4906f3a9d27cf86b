//! The join of two flows.

use std::hash::Hash;

use crate::{Flow, Join, Side, chain::Chain, group::KeyRoute, operator::Map, sink::OperatorInfo};

impl<T: Clone + Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Joins the events of two flows that have the same key, within windows, or within the whole input. Each key function is called once
    /// for each event of its side.
    ///
    /// ```
    /// use broadway_flow::{EventTime, Flow, Timestamp, Windows};
    /// use std::time::Duration;
    ///
    /// // A click, or a view, of an advertisement at a second.
    /// type Seen = (&'static str, i64);
    ///
    /// fn timed(events: Vec<Seen>) -> Flow<Seen> {
    ///     let times = EventTime::new(|event: &Seen| Timestamp::from_millis(event.1 * 1_000));
    ///     Flow::from_iter(events).event_time(times)
    /// }
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let views = timed(vec![("shoes", 1), ("hats", 20)]);
    /// let clicks = timed(vec![("shoes", 9), ("hats", 21), ("shoes", 70)]);
    /// let clicked = views
    ///     .join(clicks, |view| view.0, |click| click.0)
    ///     .within(Windows::fixed(Duration::from_secs(60)))
    ///     .inner(|view, click| (view.0, click.1 - view.1));
    /// let mut clicked = clicked.collect().await?;
    /// clicked.sort();
    /// assert_eq!(clicked, [("hats", 1), ("shoes", 8)]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn join<K, R, D, LeftKey, RightKey>(
        self,
        right: Flow<R, D>,
        mut left_key: LeftKey,
        mut right_key: RightKey,
    ) -> Join<K, T, R>
    where
        K: Hash + Eq + Clone + Send + 'static,
        R: Clone + Send + 'static,
        D: Chain<Out = R>,
        LeftKey: FnMut(&T) -> K + Clone + Send + 'static,
        RightKey: FnMut(&R) -> K + Clone + Send + 'static,
    {
        let options = self.options.clone();
        let left = self.then(OperatorInfo::new("key"), |info| {
            Map::new(
                move |event: T| (left_key(&event), Side::<T, R>::Left(event)),
                info,
            )
        });
        let right = right.then(OperatorInfo::new("key"), |info| {
            Map::new(
                move |event: R| (right_key(&event), Side::<T, R>::Right(event)),
                info,
            )
        });
        let sides = [
            left.route(|_| KeyRoute::new()),
            right.route(|_| KeyRoute::new()),
        ];
        Join::new(sides, options)
    }
}
