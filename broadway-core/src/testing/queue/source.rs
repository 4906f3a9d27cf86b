//! The source of a [`MemoryQueue`](super::MemoryQueue): its feed's source, with an acknowledger that delivers failed messages
//! again.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use super::QueueShared;
use crate::{
    ack::{Acknowledger, Outcome, Settled},
    error::BoxError,
    message::Record,
    source::{Delivery, OpenContext, Produced, Source, SourceProducer},
    telemetry::MessageInfo,
    testing::{FeedToken, ManualAcknowledger, ManualProducer},
};

/// The source of a [`MemoryQueue`](super::MemoryQueue).
#[must_use = "a source delivers nothing until a pipeline reads it"]
pub struct MemoryQueueSource<R: Record> {
    pub(super) shared: Arc<QueueShared<R>>,
}

#[diagnostic::do_not_recommend]
impl<R: Record> Source for MemoryQueueSource<R> {
    type Producer = MemoryQueueProducer<R>;

    async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        let inner = self.shared.source.open(cx).await?;
        let acknowledger = MemoryQueueAcknowledger {
            inner: inner.acknowledger(),
            shared: Arc::clone(&self.shared),
        };
        Ok(MemoryQueueProducer {
            inner,
            acknowledger: Arc::new(acknowledger),
        })
    }
}

/// A producer of a [`MemoryQueue`](super::MemoryQueue).
pub struct MemoryQueueProducer<R: Record> {
    inner: ManualProducer<R>,
    acknowledger: Arc<MemoryQueueAcknowledger<R>>,
}

impl<R: Record> SourceProducer for MemoryQueueProducer<R> {
    type Item = R;
    type Acknowledger = MemoryQueueAcknowledger<R>;

    fn acknowledger(&self) -> Arc<MemoryQueueAcknowledger<R>> {
        Arc::clone(&self.acknowledger)
    }

    fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<R, FeedToken>>,
    ) -> impl Future<Output = Result<Produced, BoxError>> + Send {
        self.inner.produce(demand, out)
    }

    fn describe(item: &R) -> MessageInfo {
        MessageInfo::of_record(item)
    }

    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        self.inner.stop()
    }

    fn close(self) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.inner.close()
    }
}

/// The acknowledger of a [`MemoryQueue`](super::MemoryQueue).
pub struct MemoryQueueAcknowledger<R: Record> {
    inner: Arc<ManualAcknowledger<R>>,
    shared: Arc<QueueShared<R>>,
}

impl<R: Record> Acknowledger for MemoryQueueAcknowledger<R> {
    type Token = FeedToken;

    async fn settle(&self, settled: &mut Vec<Settled<FeedToken>>) -> Result<(), BoxError> {
        let ended: Vec<_> = settled
            .iter()
            .map(|settled| (settled.token.number(), settled.outcome.clone()))
            .collect();
        let acknowledged = self.inner.settle(settled).await;
        self.finish(ended, acknowledged)
    }

    async fn settle_done(&self, done: &mut Vec<FeedToken>) -> Result<(), BoxError> {
        let ended: Vec<_> = done
            .iter()
            .map(|token| (token.number(), Outcome::Done))
            .collect();
        let acknowledged = self.inner.settle_done(done).await;
        self.finish(ended, acknowledged)
    }

    fn generation(&self) -> u64 {
        self.inner.generation()
    }

    fn is_stale(&self, token: &FeedToken) -> bool {
        self.inner.is_stale(token)
    }

    fn redelivers(&self, _: &FeedToken) -> bool {
        true
    }

    /// Any time.
    fn delay_max(&self, _: &FeedToken) -> Option<Duration> {
        Some(Duration::MAX)
    }

    /// For any time.
    fn parks(&self, _: &FeedToken, _: Duration) -> bool {
        true
    }

    fn attempts(&self, token: &FeedToken) -> u32 {
        let state = self.shared.lock();
        let number = state.out.get(&token.number());
        number.map_or(0, |number| state.messages[*number].attempts)
    }

    fn describe(&self, token: &FeedToken) -> MessageInfo {
        let state = self.shared.lock();
        let number = state.out.get(&token.number());
        number.map_or_else(MessageInfo::default, |number| {
            MessageInfo::new(format!("message {number}"))
        })
    }
}

impl<R: Record> MemoryQueueAcknowledger<R> {
    fn finish(
        &self,
        ended: Vec<(usize, Outcome)>,
        acknowledged: Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        for (delivery, outcome) in ended {
            // A failed acknowledgement makes the queue deliver again, as a broker does.
            let outcome = match acknowledged {
                Ok(()) => outcome,
                Err(_) => Outcome::Released,
            };
            self.shared.settled(delivery, outcome);
        }
        acknowledged
    }
}

macro_rules! debug_as {
    ($($name:ident),*) => {$(
        impl<R: Record> fmt::Debug for $name<R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

debug_as!(
    MemoryQueueSource,
    MemoryQueueProducer,
    MemoryQueueAcknowledger
);
