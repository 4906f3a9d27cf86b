//! [`Subscription`]: the consumer's view of one subscription, and [`Cancel`], what its end means.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::End;
use crate::engine::link::Ask;
use crate::machine::{dispatch::Dispatch, task_slots::TaskSlots};

/// Names a subscription, for the producer and the consumer alike. No two of a program are equal.
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
/// In any case all that the producer had emitted is handled before. A subscription that the consumer's side cancels never ends
/// the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cancel {
    /// The consumer makes no sense without this producer.
    #[default]
    Permanent,
    /// The consumer outlives a producer that is done, not one that failed.
    Transient,
    /// The consumer outlives its producer in any case.
    Temporary,
}

impl Cancel {
    /// Whether a producer that ended like this ends the consumer.
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
    /// One pointer, as it is cloned for each chunk.
    shared: Arc<Shared>,
}

struct Shared {
    id: SubscriptionId,
    producer: Arc<str>,
    asks: Arc<dyn Asks>,
    cancels: Arc<dyn Cancels>,
}

/// Asks for more events of a link.
pub(super) trait Asks: Send + Sync {
    fn ask(&self, n: usize) -> bool;
    /// Whether it waits for events; `None` if it has ended.
    fn waits(&self) -> Option<bool>;

    /// How it is to be asked, if its events are to have slots.
    fn slots(&self) -> Option<TaskSlots> {
        None
    }
}

impl<T: Send, D: Dispatch<T> + Send> Asks for Ask<T, D> {
    fn ask(&self, n: usize) -> bool {
        self.ask(n)
    }

    fn waits(&self) -> Option<bool> {
        self.waits()
    }
}

/// Tells a consumer that one of its subscriptions is cancelled.
pub(super) trait Cancels: Send + Sync {
    fn cancel(&self, id: SubscriptionId, end: End) -> bool;
}

impl Subscription {
    pub(super) fn new(
        id: SubscriptionId,
        producer: Arc<str>,
        asks: Arc<dyn Asks>,
        cancels: Arc<dyn Cancels>,
    ) -> Self {
        let shared = Arc::new(Shared {
            id,
            producer,
            asks,
            cancels,
        });
        Self { shared }
    }

    /// Whether the consumer waits for events of it; `None` if it has ended.
    pub(super) fn waits(&self) -> Option<bool> {
        self.shared.asks.waits()
    }

    /// Which subscription this is.
    #[must_use]
    pub fn id(&self) -> SubscriptionId {
        self.shared.id
    }

    /// The name of the producer.
    #[must_use]
    pub fn producer(&self) -> &str {
        &self.shared.producer
    }

    /// Demands `n` more events, in a subscription with [manual demand](super::Output::manual); 0 is allowed and changes nothing.
    /// In an automatic one nothing changes either. Returns whether the subscription still is.
    pub fn ask(&self, n: usize) -> bool {
        self.shared.asks.ask(n)
    }

    /// All of the slots that its events are to have, free, if it was made for such.
    pub(super) fn slots(&self) -> Option<TaskSlots> {
        self.shared.asks.slots()
    }

    /// Ends the subscription once the chunk in hand is handled. The consumer goes on, whatever the
    /// [mode](Cancel); what was buffered for it goes to others, as the producer's dispatcher has it. Returns whether the
    /// consumer still is.
    pub fn cancel(&self) -> bool {
        self.shared.cancels.cancel(self.shared.id, End::Normal)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.shared.id.0)
            .field("producer", &self.shared.producer)
            .finish_non_exhaustive()
    }
}
