//! [`Subscription`]: the consumer's view of one subscription, and [`Cancel`]: what the end of its producer means.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::End;
use crate::{
    engine::link::InletHandle,
    machine::{dispatch::Dispatch, task_slots::TaskSlots},
};

/// Names a subscription, for the producer and the consumer alike. Unique within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(u64);

impl SubscriptionId {
    pub(super) fn next() -> Self {
        static SUBSCRIPTIONS: AtomicU64 = AtomicU64::new(1);
        Self(SUBSCRIPTIONS.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the end of a producer means for a consumer. The modes are GenStage's.
///
/// | mode | the producer ended normally or was shut down | it failed |
/// |---|---|---|
/// | `Permanent` | the consumer ends the same way | the consumer fails the same way |
/// | `Transient` | it goes on | it fails the same way |
/// | `Temporary` | it goes on | it goes on |
///
/// In each mode the consumer first handles everything that the producer emitted. A subscription that the consumer's side cancels
/// never ends the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cancel {
    /// The consumer ends with its producer.
    #[default]
    Permanent,
    /// The consumer outlives a producer that ends normally or is shut down, but not one that fails.
    Transient,
    /// The consumer outlives its producer, however that ends.
    Temporary,
}

impl Cancel {
    /// Returns whether a producer that ended like this ends the consumer.
    #[must_use]
    pub const fn ends_consumer(self, end: &End) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => end.is_failed(),
            Self::Temporary => false,
        }
    }
}

/// One subscription of a consumer to a producer. Cheap to clone; dropping it changes nothing.
#[derive(Clone)]
pub struct Subscription {
    /// One pointer, as a subscription is cloned for each chunk.
    inner: Arc<SubscriptionInner>,
}

struct SubscriptionInner {
    id: SubscriptionId,
    producer: Arc<str>,
    inlet: Arc<dyn AnyInletHandle>,
    consumer: Arc<dyn CancelSubscription>,
}

/// The handle of an inlet with any dispatcher.
pub(super) trait AnyInletHandle: Send + Sync {
    /// Demands `n` more events. Returns whether the inlet still exists.
    fn ask(&self, n: usize) -> bool;
    /// Returns whether the inlet waits for events. `None` if it no longer exists.
    fn is_waiting(&self) -> Option<bool>;

    /// Returns the slots of its events, all free, if it was subscribed with slots.
    fn slots(&self) -> Option<TaskSlots> {
        None
    }
}

impl<T: Send, D: Dispatch<T> + Send> AnyInletHandle for InletHandle<T, D> {
    fn ask(&self, n: usize) -> bool {
        self.ask(n)
    }

    fn is_waiting(&self) -> Option<bool> {
        self.is_waiting()
    }
}

/// Cancels subscriptions of one consumer.
pub(super) trait CancelSubscription: Send + Sync {
    /// Returns whether the consumer still exists.
    fn cancel(&self, id: SubscriptionId, end: End) -> bool;
}

impl Subscription {
    pub(super) fn new(
        id: SubscriptionId,
        producer: Arc<str>,
        inlet: Arc<dyn AnyInletHandle>,
        consumer: Arc<dyn CancelSubscription>,
    ) -> Self {
        let inner = Arc::new(SubscriptionInner {
            id,
            producer,
            inlet,
            consumer,
        });
        Self { inner }
    }

    /// Returns whether the consumer waits for its events. `None` if it has ended.
    pub(super) fn is_waiting(&self) -> Option<bool> {
        self.inner.inlet.is_waiting()
    }

    /// Returns the id of the subscription.
    #[must_use]
    pub fn id(&self) -> SubscriptionId {
        self.inner.id
    }

    /// Returns the name of the producer.
    #[must_use]
    pub fn producer(&self) -> &str {
        &self.inner.producer
    }

    /// Demands `n` more events, in a subscription with [manual demand](super::Output::manual). Does nothing if the demand is automatic,
    /// or `n` is 0. Returns whether the subscription still exists.
    pub fn ask(&self, n: usize) -> bool {
        self.inner.inlet.ask(n)
    }

    /// Returns the slots of its events, all free, if it was subscribed with slots.
    pub(super) fn slots(&self) -> Option<TaskSlots> {
        self.inner.inlet.slots()
    }

    /// Ends the subscription once the current chunk is handled. The consumer goes on, whatever the [mode](Cancel). Events that were
    /// buffered for it go to other consumers, as the producer's dispatcher decides. Returns whether the consumer still exists.
    pub fn cancel(&self) -> bool {
        self.inner.consumer.cancel(self.inner.id, End::Normal)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.inner.id.0)
            .field("producer", &self.inner.producer)
            .finish_non_exhaustive()
    }
}
