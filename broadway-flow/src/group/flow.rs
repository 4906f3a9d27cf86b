//! Flows with keys and windows.

use std::{cmp::Ordering, hash::Hash};

use crate::{
    Flow, Windows,
    chain::{Chain, Then},
    group::{Grouped, OfKeys, OfWorkers, OfWorkersInWindows},
    operator::Map,
    sink::OperatorInfo,
};

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Sends all events of a key to the same worker of the next segment, to be aggregated. `key` is called once for each event.
    #[allow(
        clippy::type_complexity,
        reason = "nested operators, as iterator adaptors have"
    )]
    pub fn partition<K, F>(
        self,
        mut key: F,
    ) -> Grouped<K, T, Then<C, Map<impl FnMut(T) -> (K, T) + Clone + Send + 'static>>, OfKeys>
    where
        K: Hash + Eq + Clone + Send + 'static,
        F: FnMut(&T) -> K + Clone + Send + 'static,
    {
        let flow = self.then(OperatorInfo::new("key"), |info| {
            Map::new(move |event: T| (key(&event), event), info)
        });
        Grouped::new(flow, None, Windows::global())
    }

    /// Aggregates the events that each worker has, in windows. For one result for all workers, set [`workers`](Self::workers) to 1, or
    /// partition by a constant.
    #[allow(
        clippy::type_complexity,
        reason = "nested operators, as iterator adaptors have"
    )]
    pub fn window(
        self,
        windows: Windows<T>,
    ) -> Grouped<
        (),
        T,
        Then<C, Map<impl FnMut(T) -> ((), T) + Clone + Send + 'static>>,
        OfWorkersInWindows,
    > {
        let flow = self.then(OperatorInfo::new("window"), |info| {
            Map::new(|event: T| ((), event), info)
        });
        Grouped::new(flow, Some(()), windows)
    }

    /// Adds the events that each worker has to a state, and emits it at the end: one for each worker that had events.
    pub fn reduce<A, I, F>(self, init: I, add: F) -> Flow<A>
    where
        A: Clone + Send + 'static,
        I: Fn() -> A + Clone + Send + 'static,
        F: Fn(&mut A, T) + Clone + Send + 'static,
    {
        let flow = self.then(OperatorInfo::new("whole"), |info| {
            Map::new(|event: T| ((), event), info)
        });
        let whole: Grouped<_, _, _, OfWorkers> = Grouped::new(flow, Some(()), Windows::global());
        whole.reduce(init, add)
    }

    /// Keeps the first `n` events in the order of `order`: one sorted list at the end, of all workers together. A flow without events has
    /// no result. For one list for each window, see [`Grouped::take_sort`].
    ///
    /// Each worker holds `n` events, and at times twice as many.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let largest = Flow::from_iter(0..10_000).take_sort(3, |a, b| b.cmp(a));
    /// assert_eq!(largest.collect().await?, [[9_999, 9_998, 9_997]]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn take_sort<F>(self, n: usize, order: F) -> Flow<Vec<T>>
    where
        T: Clone,
        F: Fn(&T, &T) -> Ordering + Clone + Send + 'static,
    {
        let flow = self.then(OperatorInfo::new("whole"), |info| {
            Map::new(|event: T| ((), event), info)
        });
        let whole: Grouped<_, _, _, OfWorkers> = Grouped::new(flow, Some(()), Windows::global());
        whole.take_sort(n, order)
    }
}
