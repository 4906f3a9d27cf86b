//! [`TaskStage`]: the stage, as its loop calls it.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    counted_slots::CountedSlots, restarts::TooManyRestarts, shutdown::Shutdown, spawner::SpawnTasks,
};
use crate::{
    engine::clock,
    error::{Callback, Reason},
    stage::{
        Context, End, Failure, Subscription, SubscriptionId, Timer,
        any_stage::{AnyStage, CallbackResult},
    },
};

/// A stage that spawns a task for each event.
pub(in crate::stage) struct TaskStage<T: Send + 'static> {
    pub(super) name: Arc<str>,
    pub(super) spawner: Arc<dyn SpawnTasks<T>>,
    /// Receives the error that the stage must fail with.
    pub(super) failures: mpsc::UnboundedReceiver<TooManyRestarts>,
    pub(super) shutdown: Shutdown,
}

impl<T: Send + 'static> AnyStage for TaskStage<T> {
    type In = T;
    type Out = Infallible;
    /// The stage receives no messages and is not restarted.
    type Stage = Self;
    const HANDLES_DEMAND: bool = false;
    const RECEIVES: bool = true;
    const NEEDS_DEMAND: bool = false;
    const POLL_MORE: Callback = Callback::Task;

    fn new(stage: Self) -> Self {
        stage
    }

    fn inner(&mut self) -> &mut Self {
        self
    }

    async fn handle_events(
        &mut self,
        events: &mut Vec<T>,
        from: &Subscription,
        _: &mut Context<Infallible>,
    ) -> CallbackResult {
        let last = self.spawner.spawn(events, Some(from.id()));
        debug_assert!(last.is_some(), "the registry is closed only after the loop");
        Ok(())
    }

    async fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        _: &mut Context<Infallible>,
    ) -> CallbackResult {
        let slots = producer.slots();
        let slots = slots.expect("subscribed to an output in slots");
        let slots = Arc::new(CountedSlots::new(producer.clone(), slots));
        let registry = self.spawner.registry();
        registry
            .table()
            .subscribed(producer.id(), Arc::clone(&slots));
        // Without the lock.
        slots.request_all();
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        producer: &Subscription,
        _: &End,
        _: &mut Context<Infallible>,
    ) -> CallbackResult {
        self.spawner.registry().table().cancelled(producer.id());
        Ok(())
    }

    /// Fails when too many tasks were restarted.
    fn poll_more(
        &mut self,
        task: &mut Task<'_>,
        _: &mut Context<Infallible>,
    ) -> Poll<CallbackResult> {
        match self.failures.poll_recv(task) {
            Poll::Ready(Some(too_many)) => Poll::Ready(Err(too_many.into())),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Waits for the tasks, as long as [`Shutdown`] allows, and aborts the rest.
    async fn finish(&mut self, end: End) -> End {
        let registry = self.spawner.registry();
        // First: no handle may start a task after the wait has begun.
        registry.table().close();
        let limit = match self.shutdown {
            Shutdown::Abort => Duration::ZERO,
            Shutdown::After(limit) => limit,
            Shutdown::Wait => Duration::MAX,
        };
        if limit.is_zero() || clock::within(limit, registry.idle()).await.is_none() {
            registry.terminate_all();
            registry.idle().await;
        }
        match self.failures.try_recv() {
            Ok(too_many) => {
                let reason = Reason::error(Callback::Task, too_many);
                End::Failed(Failure::new(&self.name, reason))
            }
            Err(_) => end,
        }
    }

    async fn init(&mut self, _: &mut Context<Infallible>) -> CallbackResult {
        Ok(())
    }

    async fn handle_demand(&mut self, _: usize, _: &mut Context<Infallible>) -> CallbackResult {
        Ok(())
    }

    async fn consumer_subscribed(
        &mut self,
        _: SubscriptionId,
        _: &mut Context<Infallible>,
    ) -> CallbackResult {
        Ok(())
    }

    async fn consumer_cancelled(
        &mut self,
        _: SubscriptionId,
        _: &End,
        _: &mut Context<Infallible>,
    ) -> CallbackResult {
        Ok(())
    }

    async fn handle_timer(&mut self, _: Timer, _: &mut Context<Infallible>) -> CallbackResult {
        Ok(())
    }

    async fn handle_discarded(
        &mut self,
        _: &mut Vec<Infallible>,
        _: &mut Context<Infallible>,
    ) -> CallbackResult {
        Ok(())
    }

    async fn terminate(&mut self, _: &End) {}
}

/// Aborts the tasks: the stage was perhaps aborted itself.
impl<T: Send + 'static> Drop for TaskStage<T> {
    fn drop(&mut self) {
        let registry = self.spawner.registry();
        registry.table().close();
        registry.terminate_all();
    }
}
