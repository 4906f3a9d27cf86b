//! [`PerKeyQuota`]: a rate for each key.

use std::{
    fmt,
    num::NonZeroU64,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::Layer;
use crate::{
    config_error::Checks,
    engine::clock,
    error::{BoxError, Problem},
    failure::postpone,
    handler::{Handler, Next},
    machine::{
        quota::{Quota, QuotaDecision, QuotaLimit},
        rate::Allowance,
    },
    message::Message,
    partition_key::{KeyHash, PartitionKey},
    rate_limit::RateLimit,
};

/// A layer that delays the messages of a key beyond the key's rate: for a service that limits each customer, or to share one fairly.
///
/// A message beyond the rate is [postponed](crate::postpone): the pipeline puts it aside until its key may go on. It keeps its place in the
/// order of its key, its processor is free for other keys, and no attempt is counted. No message is dropped, and none is handled earlier than
/// its rate allows. Messages without a key (`None`) pass.
///
/// The messages that wait count for [`Pipeline::waiting_max`](crate::Pipeline::waiting_max). Use the same key for
/// [`partition_by`](crate::Processors::partition_by): then only the first message of a key is put aside, and the others wait behind it.
/// Otherwise each of them is tried again when the first may pass. A message that fails after it passed has used its share, and a retry uses
/// another.
///
/// The rate counts in this process only. Keys are compared by a 64-bit hash: two keys with the same hash share a rate.
///
/// # Memory
///
/// A key is forgotten once it has been idle for so long that its rate is full again; that changes nothing. Up to
/// [`keys_max`](Self::keys_max) keys are remembered, about 100 bytes each. Beyond that, further keys share *one* rate until others are
/// forgotten: they wait longer than their own rate requires, which is logged once as a warning and counted.
///
/// ```
/// use broadway_core::{HandlerExt, Message, RateLimit, handler_fn, layer::PerKeyQuota};
/// use std::time::Duration;
///
/// struct Order { customer: u64 }
///
/// let each = RateLimit::per(10, Duration::from_secs(1)).with_burst(5);
/// let handler = handler_fn(|_: &mut Message<Order>| Ok(()))
///     .layer(PerKeyQuota::new(each, |message: &Message<Order>| message.data().customer));
/// # let _ = handler;
/// ```
///
/// A key that is borrowed from the message is returned as its hash: `KeyHash::of(message.data().name.as_str())`.
#[must_use = "give it to `HandlerExt::layer`"]
pub struct PerKeyQuota<F> {
    limit: RateLimit,
    key: F,
    keys_max: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Made at the first message, as it needs a valid limit.
    quota: Mutex<Option<Quota>>,
    postponed: AtomicU64,
    beyond_keys_max: AtomicU64,
    was_warned: AtomicBool,
}

impl PerKeyQuota<()> {
    /// Delays the messages of each key to `limit`. `key` is called with each message; an error of the limit is reported by
    /// [`Pipeline::start`](crate::Pipeline::start).
    ///
    /// A fixed window of a key begins with its first message.
    pub fn new<T, K, F>(
        limit: RateLimit,
        key: F,
    ) -> PerKeyQuota<impl Fn(&Message<T>) -> KeyHash + Send + Sync + 'static>
    where
        T: 'static,
        K: PartitionKey,
        F: Fn(&Message<T>) -> K + Send + Sync + 'static,
    {
        PerKeyQuota {
            limit,
            key: move |message: &Message<T>| KeyHash::of(key(message)),
            keys_max: 100_000,
            shared: Arc::default(),
        }
    }
}

impl<F> PerKeyQuota<F> {
    /// Sets how many keys are remembered at once: 1 to 100,000,000. Defaults to 100,000.
    pub fn keys_max(mut self, max: usize) -> Self {
        self.keys_max = max;
        self
    }

    /// Returns a handle that reads the counters.
    pub fn handle(&self) -> PerKeyQuotaHandle {
        PerKeyQuotaHandle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Returns an error that postpones the message, if its key may not go on yet.
    fn take(&self, key: NonZeroU64) -> Result<(), BoxError> {
        let now = clock::now();
        let decision = {
            let mut quota = self.shared.quota();
            let quota = quota.get_or_insert_with(|| {
                // A pipeline does not start with an invalid limit.
                let least = Allowance::new(1, RateLimit::INTERVAL_MAX).expect("it is valid");
                let allowance = Allowance::new(self.limit.messages(), self.limit.interval());
                let limit = QuotaLimit {
                    allowance: allowance.unwrap_or(least),
                    burst: self.limit.burst(),
                };
                Quota::new(limit, self.keys_max, now)
            });
            quota.take(key, now)
        };
        let QuotaDecision::NotBefore { at, is_shared } = decision else {
            return Ok(());
        };
        self.shared.count(is_shared, self.keys_max);
        Err(postpone(at.saturating_duration_since(now)))
    }
}

impl Shared {
    fn quota(&self) -> std::sync::MutexGuard<'_, Option<Quota>> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, is_shared: bool, keys_max: usize) {
        self.postponed.fetch_add(1, Ordering::Relaxed);
        if !is_shared {
            return;
        }
        self.beyond_keys_max.fetch_add(1, Ordering::Relaxed);
        if self.was_warned.swap(true, Ordering::Relaxed) {
            return;
        }
        #[cfg(feature = "tracing")]
        ::tracing::warn!(
            target: "broadway",
            keys_max,
            "a quota per key has reached `keys_max`: further keys share one rate; logged once"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = keys_max;
    }
}

impl<F> fmt::Debug for PerKeyQuota<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerKeyQuota")
            .field("limit", &self.limit)
            .field("keys_max", &self.keys_max)
            .finish_non_exhaustive()
    }
}

impl<H, F> Layer<H> for PerKeyQuota<F>
where
    H: Handler,
    F: Fn(&Message<H::In>) -> KeyHash + Send + Sync + 'static,
{
    fn check(&self, inner: &H) -> Vec<Problem> {
        let mut checks = Checks::default();
        for (option, message) in self.limit.problems() {
            checks.add(format!("per_key_quota.{option}"), message);
        }
        checks.within("per_key_quota.keys_max", self.keys_max, 1..=100_000_000);
        checks.extend(inner.check());
        checks.into_problems()
    }

    async fn handle_message(
        &self,
        inner: &H,
        message: &mut Message<H::In>,
    ) -> Result<Next<H::Out, H::Batcher>, BoxError> {
        if let Some(key) = (self.key)(message).lane() {
            self.take(key)?;
        }
        inner.handle_message(message).await
    }
}

/// Reads the counters of a [`PerKeyQuota`]. Cheap to clone.
#[derive(Clone)]
pub struct PerKeyQuotaHandle {
    shared: Arc<Shared>,
}

impl PerKeyQuotaHandle {
    /// Returns how often a message was postponed. One message may be postponed several times.
    #[must_use]
    pub fn postponed(&self) -> u64 {
        self.shared.postponed.load(Ordering::Relaxed)
    }

    /// Returns how many of these had a key beyond [`keys_max`](PerKeyQuota::keys_max).
    #[must_use]
    pub fn beyond_keys_max(&self) -> u64 {
        self.shared.beyond_keys_max.load(Ordering::Relaxed)
    }

    /// Returns how many keys are remembered now.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shared.quota().as_ref().map_or(0, Quota::keys)
    }
}

impl fmt::Debug for PerKeyQuotaHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerKeyQuotaHandle")
            .field("postponed", &self.postponed())
            .field("beyond_keys_max", &self.beyond_keys_max())
            .field("keys", &self.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests;
