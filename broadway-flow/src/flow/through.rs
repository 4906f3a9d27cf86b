//! External stages in a flow.

use std::sync::Arc;

use broadway_core::{BoxError, stage::Output};

use super::{Flow, boundary::RoundRobin};
use crate::{
    chain::Chain,
    graph::{Input, OpenSegment},
    run::Through,
    sink::OperatorInfo,
};

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Passes the events through stages of your own, such as one that asks a remote service. When the flow starts, `stages` is called with
    /// the output of the flow so far. It starts stages that subscribe to it, and returns the output of the last one, with whose events the
    /// flow goes on.
    ///
    /// The flow ends when the last stage ends, so the stages must end when the flow before them does: with the default of
    /// [`Output::cancel`], a stage ends with its producer, once it has handled all events. The flow subscribes with the options of the
    /// output that `stages` returns, and demand reaches the flow before through the stages.
    ///
    /// Events lose their times there: call [`event_time`](Self::event_time) behind the stages.
    ///
    /// # Errors
    ///
    /// The flow does not start if `stages` returns an error. It fails if the last stage fails, or is shut down before its end: a stage
    /// fails with its producer by default, so a failure of an earlier stage reaches the flow as well.
    ///
    /// ```
    /// use broadway_core::stage;
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let flow = Flow::from_iter(1..=1_000).through(async |numbers| {
    ///     let doubled = stage::map(|n: u32| n * 2).subscribe_to(numbers).start().await?;
    ///     Ok(doubled.output())
    /// });
    /// let sum = flow.departition_all(|| 0, |sum, n| *sum += n);
    /// assert_eq!(sum.collect().await?, [1_001_000]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn through<U, F, O>(self, stages: F) -> Flow<U>
    where
        U: Send + 'static,
        F: FnOnce(Output<T>) -> O + Send + 'static,
        O: Future<Output = Result<Output<U>, BoxError>> + Send + 'static,
    {
        let options = self.options.clone();
        let segment = self.route(RoundRobin::new);
        let info = Arc::new(OperatorInfo::new("through"));
        let mut plan = segment.plan.next("through");
        plan.has_time = false;
        plan.may_idle = false;
        plan.operators.push(Arc::clone(&info));
        let inputs = vec![Input::Between {
            segment: Box::new(segment),
            between: Box::new(Through::new(stages, info)),
        }];
        Flow::at(OpenSegment::new(inputs, plan), options)
    }
}
