//! A reduction that emits events on the way.

use super::Flow;
use crate::{
    chain::{Chain, Then},
    operator::EmitAndReduce,
    sink::OperatorInfo,
};

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Adds the events that each worker has to a state, and emits events on the way: what `step` appends to its list, which is empty at
    /// each call, and at the end what `finish` makes of the state. `init` creates the state of a worker when it has its first event.
    ///
    /// What `step` emits has the time of its event, and what `finish` emits the latest time of all events. An acknowledged source keeps its
    /// events until the end, since the state may be made of any of them.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// // Sums of at least 10, and the rest.
    /// let sums = Flow::from_iter([3, 8, 2, 9, 4]).workers(1).emit_and_reduce(
    ///     || 0,
    ///     |sum, n, emitted| {
    ///         *sum += n;
    ///         if *sum >= 10 {
    ///             emitted.push(std::mem::take(sum));
    ///         }
    ///     },
    ///     |left| [left],
    /// );
    /// assert_eq!(sums.collect().await?, [11, 11, 4]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    #[allow(
        clippy::type_complexity,
        reason = "nested operators, as iterator adaptors have"
    )]
    pub fn emit_and_reduce<A, U, J, I, F, G>(
        self,
        init: I,
        step: F,
        finish: G,
    ) -> Flow<U, Then<C, EmitAndReduce<A, U, I, F, G>>>
    where
        A: Send + 'static,
        U: Send + 'static,
        J: IntoIterator<Item = U>,
        I: Fn() -> A + Clone + Send + 'static,
        F: FnMut(&mut A, T, &mut Vec<U>) + Clone + Send + 'static,
        G: FnMut(A) -> J + Clone + Send + 'static,
    {
        let info = OperatorInfo::new("emit_and_reduce");
        let advice = "use a durable aggregation, such as `partition(…).durable().aggregate(…)`";
        self.then(info.saved_if(false, advice), |info| {
            EmitAndReduce::new(init, step, finish, info)
        })
    }
}
