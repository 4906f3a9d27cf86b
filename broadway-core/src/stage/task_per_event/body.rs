//! [`Tasks`]: the stage, as its loop sees it.

use std::{
    sync::Arc,
    task::{Context as Task, Poll},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    builder::Shutdown,
    pool::{Scratch, Starts},
    restarts::TooManyRestarts,
};
use crate::{
    engine::clock,
    error::{BoxError, Callback, Reason},
    stage::{Context, End, Failure, Nothing, Subscription, SubscriptionId, Timer, body::Body},
};

type Called = Result<(), BoxError>;

/// A stage that makes tasks of events.
pub(in crate::stage) struct Tasks<T: Send + 'static> {
    pub(super) name: Arc<str>,
    pub(super) pool: Arc<dyn Starts<T>>,
    pub(super) troubles: mpsc::UnboundedReceiver<TooManyRestarts>,
    pub(super) shutdown: Shutdown,
    pub(super) scratch: Scratch,
}

impl<T: Send + 'static> Body for Tasks<T> {
    type In = T;
    type Out = Nothing;
    /// It receives no messages and is not restarted.
    type Stage = Self;
    const ASKED: bool = false;
    const RECEIVES: bool = true;
    const GATED: bool = false;
    const MORE: Callback = Callback::Task;

    fn new(stage: Self) -> Self {
        stage
    }

    fn stage(&mut self) -> &mut Self {
        self
    }

    async fn events(
        &mut self,
        events: &mut Vec<T>,
        from: &Subscription,
        _: &mut Context<Nothing>,
    ) -> Called {
        let pool = Arc::clone(&self.pool);
        let open = pool.start(events, Some(from.id()), &mut self.scratch);
        debug_assert!(open, "closed only after the loop");
        Ok(())
    }

    async fn subscribed(&mut self, producer: &Subscription, _: &mut Context<Nothing>) -> Called {
        let slots = producer.slots();
        let slots = slots.expect("subscribed to an output in slots");
        let due = self
            .pool
            .roster()
            .table()
            .subscribed(producer.clone(), slots);
        due.ask();
        Ok(())
    }

    async fn cancelled(
        &mut self,
        producer: &Subscription,
        _: &End,
        _: &mut Context<Nothing>,
    ) -> Called {
        self.pool.roster().table().cancelled(producer.id());
        Ok(())
    }

    /// Nothing comes by itself but trouble.
    fn poll_more(&mut self, task: &mut Task<'_>, _: &mut Context<Nothing>) -> Poll<Called> {
        match self.troubles.poll_recv(task) {
            Poll::Ready(Some(too_many)) => Poll::Ready(Err(too_many.into())),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Waits for the tasks, as long as it may.
    async fn conclude(&mut self, end: End) -> End {
        let roster = self.pool.roster();
        roster.table().close();
        let limit = match self.shutdown {
            Shutdown::Abort => Duration::ZERO,
            Shutdown::After(limit) => limit,
            Shutdown::Wait => Duration::MAX,
        };
        if limit.is_zero() || clock::within(limit, roster.idle()).await.is_none() {
            roster.terminate_all();
            roster.idle().await;
        }
        match self.troubles.try_recv() {
            Ok(too_many) => {
                let reason = Reason::error(Callback::Task, too_many);
                End::Failed(Failure::new(&self.name, reason))
            }
            Err(_) => end,
        }
    }

    async fn init(&mut self, _: &mut Context<Nothing>) -> Called {
        Ok(())
    }

    async fn demanded(&mut self, _: usize, _: &mut Context<Nothing>) -> Called {
        Ok(())
    }

    async fn consumer_subscribed(&mut self, _: SubscriptionId, _: &mut Context<Nothing>) -> Called {
        Ok(())
    }

    async fn consumer_cancelled(
        &mut self,
        _: SubscriptionId,
        _: &End,
        _: &mut Context<Nothing>,
    ) -> Called {
        Ok(())
    }

    async fn timer(&mut self, _: Timer, _: &mut Context<Nothing>) -> Called {
        Ok(())
    }

    async fn discarded(&mut self, _: &mut Vec<Nothing>, _: &mut Context<Nothing>) -> Called {
        Ok(())
    }

    async fn terminate(&mut self, _: &End) {}
}

/// The stage is gone, aborted perhaps: its tasks go too.
impl<T: Send + 'static> Drop for Tasks<T> {
    fn drop(&mut self) {
        let roster = self.pool.roster();
        roster.table().close();
        roster.terminate_all();
    }
}
