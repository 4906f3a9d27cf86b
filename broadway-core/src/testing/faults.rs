//! [`Faults`]: a handler that fails on purpose.

use std::fmt;

use super::fault_plan::FaultPlan;
use crate::{
    batch::Batch,
    chunk::Chunk,
    error::{BoxError, Callback, Problem},
    handler::{Failed, Handler, Next},
    message::Message,
};

/// Wraps a handler. Calls fail, panic or hang as the [`FaultPlan`] specifies; all others reach the inner handler.
///
/// ```
/// use broadway_core::{Callback, Message, Pipeline, handler_fn, source};
/// use broadway_core::testing::{Fault, Faults, drained};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let (handler, plan) = Faults::of(handler_fn(|_: &mut Message<u64>| Ok(())));
/// plan.at(Callback::HandleMessage, 1, Fault::panic("the second message"));
/// let topology = Pipeline::new(source::idle(), handler).start().await?;
/// topology.push([1, 2, 3]).await?;
/// let totals = drained(&topology).await;
/// assert_eq!((totals.done, totals.failed), (2, 1));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[must_use = "a handler does nothing until a pipeline has it"]
pub struct Faults<H> {
    inner: H,
    plan: FaultPlan,
}

impl<H: Handler> Faults<H> {
    /// Wraps `inner`. Returns the plan too, which has no faults at first.
    pub fn of(inner: H) -> (Self, FaultPlan) {
        let plan = FaultPlan::new();
        let faults = Self {
            inner,
            plan: plan.clone(),
        };
        (faults, plan)
    }
}

impl<H> fmt::Debug for Faults<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<H: Handler> Handler for Faults<H> {
    type In = H::In;
    type Out = H::Out;
    type Batcher = H::Batcher;

    fn check(&self) -> Vec<Problem> {
        self.inner.check()
    }

    async fn prepare_messages(&self, chunk: &mut Chunk<'_, H::In>) -> Result<(), BoxError> {
        self.plan.apply(Callback::PrepareMessages).await?;
        self.inner.prepare_messages(chunk).await
    }

    async fn handle_message(
        &self,
        message: &mut Message<H::In>,
    ) -> Result<Next<H::Out, H::Batcher>, BoxError> {
        self.plan.apply(Callback::HandleMessage).await?;
        self.inner.handle_message(message).await
    }

    async fn handle_batch(
        &self,
        batcher: H::Batcher,
        batch: &mut Batch<H::Out>,
    ) -> Result<(), BoxError> {
        self.plan.apply(Callback::HandleBatch).await?;
        self.inner.handle_batch(batcher, batch).await
    }

    async fn handle_failed(&self, failed: &mut [Failed<H::In, H::Out>]) {
        if let Err(error) = self.plan.apply(Callback::HandleFailed).await {
            panic!("{error}");
        }
        self.inner.handle_failed(failed).await;
    }
}
