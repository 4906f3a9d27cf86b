//! One result of all workers.

use std::sync::Arc;

use super::Flow;
use crate::{
    Windowed,
    chain::Chain,
    operator::{WholeMerger, WindowsMerger},
    sink::{OperatorInfo, Route},
};

/// What to do instead in a flow with snapshots.
const MERGE_BEHIND: &str =
    "use a durable aggregation with `partition(|_| ())`, or merge the results where they arrive";

impl<T: Send + 'static, C: Chain<Out = Windowed<T>>> Flow<Windowed<T>, C> {
    /// Merges the results that all workers have for a window: one worker creates a state for each window with `init`, adds each result to
    /// it with `merge`, in any order, and emits it when the watermarks of all workers have passed the end of the window. It emits the
    /// others at the end: windows without times, and those that end last. Results are in the order of the ends of their windows.
    ///
    /// The worker holds the states of the windows that are open. It expects one result of each worker (and key) for each window: earlier
    /// results of a window that fires [early](crate::Firing::Early) are merged as well. Behind windows with a
    /// [lateness](crate::Windows::lateness), it waits until the lateness is over, since the watermark does; late results of a window make up
    /// one more result, with [`Firing::Late`](crate::Firing::Late).
    ///
    /// ```
    /// use broadway_flow::{EventTime, Flow, Timestamp, Windows};
    /// use std::{collections::BTreeMap, time::Duration};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let visits = [("ada", 1), ("bob", 2), ("ada", 3), ("bob", 61)];
    /// let times = EventTime::new(|visit: &(&str, i64)| Timestamp::from_millis(visit.1 * 1_000));
    /// let tables = Flow::from_iter(visits)
    ///     .event_time(times)
    ///     .partition(|visit| visit.0)
    ///     .window(Windows::fixed(Duration::from_secs(60)))
    ///     .count()
    ///     .departition(BTreeMap::new, |table, (name, visits)| {
    ///         table.insert(name, visits);
    ///     });
    /// let tables: Vec<_> = tables.collect().await?.into_iter().map(|table| table.value).collect();
    /// assert_eq!(tables, [BTreeMap::from([("ada", 2), ("bob", 1)]), BTreeMap::from([("bob", 1)])]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn departition<A, I, M>(self, init: I, merge: M) -> Flow<Windowed<A>>
    where
        A: Send + 'static,
        I: FnMut() -> A + Clone + Send + 'static,
        M: FnMut(&mut A, T) + Clone + Send + 'static,
    {
        let mut flow = self.gathered("departition");
        let info = OperatorInfo::detailed("departition", "by window");
        let info = Arc::new(info.saved_if(false, MERGE_BEHIND));
        flow.open.plan.operators.push(Arc::clone(&info));
        let open = flow.open.with(move |_, next| {
            WindowsMerger::new(init.clone(), merge.clone(), Arc::clone(&info), next)
        });
        Flow::at(open, flow.options)
    }
}

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Merges the events of all workers: one worker adds each event to a state, in any order, and emits it at the end. Without events, it
    /// emits what `init` returns.
    ///
    /// For results in windows, see [`departition`](Flow::departition).
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let sums = Flow::from_iter(1..=100).reduce(|| 0, |sum, n| *sum += n);
    /// let sum = sums.departition_all(|| 0, |sum, of_worker| *sum += of_worker);
    /// assert_eq!(sum.collect().await?, [5_050]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn departition_all<A, I, M>(self, init: I, merge: M) -> Flow<A>
    where
        A: Send + 'static,
        I: FnMut() -> A + Clone + Send + 'static,
        M: FnMut(&mut A, T) + Clone + Send + 'static,
    {
        let mut flow = self.gathered("departition");
        let info = OperatorInfo::new("departition_all").saved_if(false, MERGE_BEHIND);
        let info = Arc::new(info);
        flow.open.plan.operators.push(Arc::clone(&info));
        // A result of the whole has no time.
        flow.open.plan.has_time = false;
        let open = flow.open.with(move |seat, next| {
            let is_first = seat.worker() == 0;
            WholeMerger::new(
                init.clone(),
                merge.clone(),
                is_first,
                Arc::clone(&info),
                next,
            )
        });
        Flow::at(open, flow.options)
    }

    /// Sends all events to one worker.
    fn gathered(self, boundary: &'static str) -> Flow<T> {
        let flow = self.into_next(boundary, |_| ToFirst);
        flow.workers(1)
    }
}

/// Sends all events to the first worker, also if more workers are set behind it.
struct ToFirst;

impl<T> Route<T> for ToFirst {
    fn route(&mut self, _event: &T, _targets: usize) -> usize {
        0
    }
}
