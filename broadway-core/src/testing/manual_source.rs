//! [`manual_source`]: a [`Source`] whose producers deliver the messages of a [`Feed`].

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
};

use super::{
    delivery_log::{FeedToken, ProducerCall},
    feed::Feed,
    feed_state::{FeedEntry, FeedState},
};
use crate::{
    ack::{Acknowledger, Settled},
    error::{BoxError, Callback},
    source::{Delivery, OpenContext, Produced, Source, SourceProducer},
    telemetry::MessageInfo,
};

/// Returns a source and the [`Feed`] that fills it. With several producers, the first one with demand delivers the next
/// messages.
///
/// See the [module docs](super) for an example.
pub fn manual_source<T: Send + 'static>() -> (ManualSource<T>, Feed<T>) {
    let shared = Arc::new(FeedState::new());
    let source = ManualSource {
        shared: Arc::clone(&shared),
    };
    (source, Feed::new(shared))
}

/// See [`manual_source`].
#[must_use = "a source delivers nothing until a pipeline reads it"]
pub struct ManualSource<T> {
    shared: Arc<FeedState<T>>,
}

impl<T> ManualSource<T> {
    /// Declares to the engine that the source [delivers again](Acknowledger::redelivers) what a drain releases, as
    /// brokers do. It does not: a released message ends as released, and its receipt reports that.
    pub fn redelivers(self) -> Self {
        self.shared.redelivers.store(true, Ordering::Release);
        self
    }
}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Source for ManualSource<T> {
    type Producer = ManualProducer<T>;

    async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        self.shared.faults.apply(Callback::Open).await?;
        let opening = self.shared.openings.fetch_add(1, Ordering::Relaxed);
        self.shared.record(ProducerCall::Opened(cx.producer()));
        let shared = Arc::clone(&self.shared);
        Ok(ManualProducer {
            index: cx.producer(),
            acknowledger: Arc::new(ManualAcknowledger { shared, opening }),
            closed: false,
        })
    }
}

/// The producer of [`manual_source`].
pub struct ManualProducer<T> {
    index: usize,
    acknowledger: Arc<ManualAcknowledger<T>>,
    closed: bool,
}

impl<T> ManualProducer<T> {
    fn shared(&self) -> &Arc<FeedState<T>> {
        &self.acknowledger.shared
    }

    /// Delivers what the queue has for a producer now. `None` if there is nothing yet.
    fn deliver(
        &self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<T, FeedToken>>,
    ) -> Option<Result<Produced, BoxError>> {
        let mut queue = self.shared().queue();
        let Some(entry) = queue.entries.front_mut() else {
            return queue.ended.then_some(Ok(Produced::End));
        };
        if let FeedEntry::Together(items) = entry {
            let mut log = self.shared().log();
            let generation = self.shared().generation.load(Ordering::Acquire);
            let opening = self.acknowledger.opening;
            let n = items.len().min(demand.get());
            for (number, item) in items.drain(..n) {
                let fed = FeedToken {
                    number,
                    opening,
                    generation,
                };
                log.delivered(fed);
                out.push(Delivery::new(item, fed));
            }
            if items.is_empty() {
                queue.entries.pop_front();
            }
            return Some(Ok(Produced::More));
        }
        match queue.entries.pop_front() {
            Some(FeedEntry::Failure(error)) => Some(Err(error)),
            _ => None,
        }
    }
}

impl<T: Send + 'static> SourceProducer for ManualProducer<T> {
    type Item = T;
    type Acknowledger = ManualAcknowledger<T>;

    fn acknowledger(&self) -> Arc<ManualAcknowledger<T>> {
        Arc::clone(&self.acknowledger)
    }

    // Cancel safe: a message is taken only when it is put into `out`, and nothing is awaited after that.
    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<T, FeedToken>>,
    ) -> Result<Produced, BoxError> {
        self.shared().faults.apply(Callback::Produce).await?;
        let shared = Arc::clone(self.shared());
        let produced = shared.wait(|_| self.deliver(demand, out)).await;
        shared.notify();
        produced
    }

    async fn stop(&mut self) {
        let met = self.shared().faults.apply(Callback::Stop).await;
        self.shared().record(ProducerCall::Stopped(self.index));
        if let Err(error) = met {
            panic!("{error}");
        }
    }

    async fn close(mut self) -> Result<(), BoxError> {
        self.closed = true;
        let (opening, index) = (self.acknowledger.opening, self.index);
        self.shared().log().closed(opening, index);
        self.shared().notify();
        self.shared().faults.apply(Callback::Close).await
    }
}

impl<T> Drop for ManualProducer<T> {
    fn drop(&mut self) {
        if !self.closed {
            self.shared().record(ProducerCall::Dropped(self.index));
        }
    }
}

/// The acknowledger of [`manual_source`]: one for each opening of a producer.
pub struct ManualAcknowledger<T> {
    shared: Arc<FeedState<T>>,
    opening: usize,
}

impl<T: Send + 'static> Acknowledger for ManualAcknowledger<T> {
    type Token = FeedToken;

    fn describe(&self, fed: &FeedToken) -> MessageInfo {
        MessageInfo::new(format!("message {}", fed.number))
    }

    async fn settle(&self, settled: &mut Vec<Settled<FeedToken>>) -> Result<(), BoxError> {
        self.record(std::mem::take(settled)).await
    }

    async fn settle_done(&self, done: &mut Vec<FeedToken>) -> Result<(), BoxError> {
        self.record(done.drain(..).map(Settled::done).collect())
            .await
    }

    fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    fn redelivers(&self, _: &FeedToken) -> bool {
        self.shared.redelivers.load(Ordering::Acquire)
    }

    fn is_stale(&self, token: &FeedToken) -> bool {
        token.generation < self.generation()
    }
}

impl<T: Send + 'static> ManualAcknowledger<T> {
    async fn record(&self, group: Vec<Settled<FeedToken>>) -> Result<(), BoxError> {
        // The guard records the group whatever happens next, because the engine has handed it over. A group whose
        // settling hangs is recorded afterwards.
        let guard = SettleGuard {
            acknowledger: self,
            group: Some(group),
        };
        let met = self.shared.faults.apply(Callback::Settle).await;
        drop(guard);
        met
    }
}

/// Records a group when its settling ends, also by a panic.
struct SettleGuard<'a, T> {
    acknowledger: &'a ManualAcknowledger<T>,
    group: Option<Vec<Settled<FeedToken>>>,
}

impl<T> Drop for SettleGuard<'_, T> {
    fn drop(&mut self) {
        let ManualAcknowledger { shared, opening } = self.acknowledger;
        if let Some(group) = self.group.take() {
            shared.log().settled(*opening, group);
            shared.notify();
        }
    }
}

impl<T> fmt::Debug for ManualSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualSource").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ManualProducer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualProducer")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ManualAcknowledger<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualAcknowledger")
            .field("opening", &self.opening)
            .finish_non_exhaustive()
    }
}
