//! [`Deduplicate`]: skips messages that were handled before.

mod pending;
mod store;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use self::pending::{Claim, Pending};
pub use self::store::{DedupStore, RecentIds};
use super::Layer;
use crate::{
    caught::guarded,
    chunk::Chunk,
    engine::clock,
    error::{BoxError, Problem},
    failure::{postpone, transient},
    handler::{Failed, Handler, Next},
    message::Message,
};

/// After how long a second copy of a message in flight is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A layer that skips messages whose id was handled successfully before.
///
/// A skipped message is acknowledged ([`Next::Ack`]) and counted; the inner handler does not see it, except in `prepare_messages` and
/// `handle_done`. An id is recorded in [`handle_done`](Handler::handle_done), just before its message is acknowledged: after the message, and
/// the batch that it went into, succeeded. A message that fails is not recorded, and its copies are handled.
///
/// This makes duplicates rare, not impossible: delivery stays *at least once*. A message is handled twice if the process ends between the
/// success and the record, if the store has forgotten the id, and if another process handles a copy at the same time. Handlers should
/// be idempotent all the same.
///
/// **Copies in flight together:** while a message is in flight in this process, a second one with its id is [postponed](crate::postpone), and
/// tried again every 100 ms. It is skipped when the first has succeeded, and handled when the first has failed. After a minute it is handled
/// in any case: the first may have been released without a result. A message whose batch was [parked](crate::Retry::park_after) comes back as
/// such a second one, so it waits until a minute has passed since its first attempt.
///
/// **The store** is in memory by default ([`RecentIds`]): the last 100,000 ids, for up to 10 minutes. [`store`](Self::store) sets another.
/// It is asked once per chunk, and again for a message that is retried. If it fails, the messages that it was asked for fail with a transient
/// error, and none is lost. If it fails to record, the messages are acknowledged, and
/// [`DeduplicateHandle::unrecorded`] counts them.
///
/// The function of the id is called several times for a message, also after the handler has changed it: take the id from what the handler leaves
/// unchanged. A message without an id (`None`) is always handled.
///
/// ```
/// use broadway_core::{HandlerExt, Message, handler_fn, layer::Deduplicate};
///
/// struct Payment { id: String }
///
/// let unique = Deduplicate::by(|message: &Message<Payment>| message.data().id.clone());
/// let counters = unique.handle();
/// let handler = handler_fn(|_: &mut Message<Payment>| Ok(())).layer(unique);
/// assert_eq!(counters.skipped(), 0);
/// # let _ = handler;
/// ```
#[must_use = "give it to `HandlerExt::layer`"]
pub struct Deduplicate<F, S = RecentIds> {
    id: F,
    store: S,
    pending: Pending,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    skipped: AtomicU64,
    recorded: AtomicU64,
    unrecorded: AtomicU64,
}

impl Deduplicate<()> {
    /// Recognises messages by the `String` that `id` returns, or by the one in an `Option<String>`.
    pub fn by<T, I, F>(
        id: F,
    ) -> Deduplicate<impl Fn(&Message<T>) -> Option<String> + Send + Sync + 'static>
    where
        T: 'static,
        I: Into<Option<String>>,
        F: Fn(&Message<T>) -> I + Send + Sync + 'static,
    {
        Deduplicate {
            id: move |message: &Message<T>| id(message).into(),
            store: RecentIds::default(),
            pending: Pending::default(),
            counters: Arc::default(),
        }
    }
}

impl<F, S> Deduplicate<F, S> {
    /// Sets the store. Defaults to [`RecentIds::default`].
    pub fn store<Other: DedupStore>(self, store: Other) -> Deduplicate<F, Other> {
        Deduplicate {
            id: self.id,
            store,
            pending: self.pending,
            counters: self.counters,
        }
    }

    /// Returns a handle that reads the counters.
    pub fn handle(&self) -> DeduplicateHandle {
        DeduplicateHandle {
            counters: Arc::clone(&self.counters),
        }
    }

    fn log_unrecorded(&self, count: usize, error: &BoxError) {
        let n = self
            .counters
            .unrecorded
            .fetch_add(count as u64, Ordering::Relaxed);
        #[cfg(feature = "tracing")]
        ::tracing::warn!(
            target: "broadway",
            count,
            unrecorded = n + count as u64,
            %error,
            "the ids of messages that were handled cannot be recorded: their duplicates are not recognised"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = (n, error);
    }
}

impl<F, S: DedupStore> Deduplicate<F, S> {
    /// The id of a message; `None` if the function panics: `handle_message` calls it again, and fails that message alone.
    fn id_of<T>(&self, message: &Message<T>) -> Option<String>
    where
        F: Fn(&Message<T>) -> Option<String>,
    {
        guarded(|| (self.id)(message)).ok().flatten()
    }

    async fn contains(&self, ids: &[String]) -> Result<Vec<bool>, BoxError> {
        let answers = self.store.contains_all(ids).await.map_err(transient)?;
        if answers.len() != ids.len() {
            let (answers, ids) = (answers.len(), ids.len());
            let error = format!("the store of ids gave {answers} answers for {ids} ids");
            return Err(transient(error));
        }
        Ok(answers)
    }

    fn skipped(&self, id: &str) {
        self.counters.skipped.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "tracing")]
        ::tracing::debug!(target: "broadway", id, "a message that was handled before is skipped");
        #[cfg(not(feature = "tracing"))]
        let _ = id;
    }
}

impl<F, S: fmt::Debug> fmt::Debug for Deduplicate<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deduplicate")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl<H, F, S> Layer<H> for Deduplicate<F, S>
where
    H: Handler,
    F: Fn(&Message<H::In>) -> Option<String> + Send + Sync + 'static,
    S: DedupStore,
{
    fn check(&self, inner: &H) -> Vec<Problem> {
        let of_store = self.store.check().into_iter();
        let of_store = of_store.map(|problem| problem.within("deduplicate.store"));
        of_store.chain(inner.check()).collect()
    }

    async fn prepare_messages(
        &self,
        inner: &H,
        chunk: &mut Chunk<'_, H::In>,
    ) -> Result<(), BoxError> {
        let ids: Vec<String> = chunk
            .iter_mut()
            .filter_map(|message| self.id_of(&message))
            .collect();
        if !ids.is_empty() {
            self.pending.ask(&ids);
            let answers = self.contains(&ids).await;
            match &answers {
                Ok(answers) => self.pending.answered(&ids, answers),
                Err(_) => self.pending.unanswered(&ids),
            }
            answers?;
        }
        inner.prepare_messages(chunk).await
    }

    async fn handle_message(
        &self,
        inner: &H,
        message: &mut Message<H::In>,
    ) -> Result<Next<H::Out, H::Batcher>, BoxError> {
        let Some(id) = (self.id)(message) else {
            return inner.handle_message(message).await;
        };
        let (_, failed_in_batches) = message.failed_attempts();
        let claimed = self.pending.claim(&id, failed_in_batches > 0, clock::now());
        let (answer, claim) = match claimed {
            Claim::Held => return Err(postpone(TRY_AGAIN_AFTER)),
            Claim::Mine { answer, claim } => (answer, claim),
        };
        let is_known = match answer {
            Some(is_known) => is_known,
            None => self.contains(std::slice::from_ref(&id)).await?[0],
        };
        if is_known {
            self.skipped(&id);
            return Ok(Next::Ack);
        }
        let next = inner.handle_message(message).await?;
        // Until the message, or its batch, has ended.
        claim.keep();
        Ok(next)
    }

    async fn handle_failed(&self, inner: &H, failed: &mut [Failed<H::In, H::Out>]) {
        let ids = failed
            .iter()
            .filter_map(|failed| self.id_of(failed.message()));
        let ids: Vec<String> = ids.collect();
        self.pending.ended(&ids);
        inner.handle_failed(failed).await;
    }

    async fn handle_done(&self, inner: &H, done: &mut Chunk<'_, H::In>) {
        inner.handle_done(done).await;
        let ids: Vec<String> = done
            .iter_mut()
            .filter_map(|message| self.id_of(&message))
            .collect();
        if ids.is_empty() {
            return;
        }
        match self.store.insert_all(&ids).await {
            Ok(()) => {
                let n = ids.len() as u64;
                self.counters.recorded.fetch_add(n, Ordering::Relaxed);
            }
            Err(error) => self.log_unrecorded(ids.len(), &error),
        }
        // After they are recorded: a copy that waits must find them in the store.
        self.pending.ended(&ids);
    }
}

/// Reads the counters of a [`Deduplicate`]. Cheap to clone.
#[derive(Clone)]
pub struct DeduplicateHandle {
    counters: Arc<Counters>,
}

impl DeduplicateHandle {
    /// Returns how many messages were skipped.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.counters.skipped.load(Ordering::Relaxed)
    }

    /// Returns how many ids were recorded. A skipped message records its id again.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.counters.recorded.load(Ordering::Relaxed)
    }

    /// Returns how many messages were acknowledged although the store failed to record their ids.
    #[must_use]
    pub fn unrecorded(&self) -> u64 {
        self.counters.unrecorded.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for DeduplicateHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeduplicateHandle")
            .field("skipped", &self.skipped())
            .field("recorded", &self.recorded())
            .field("unrecorded", &self.unrecorded())
            .finish()
    }
}

#[cfg(test)]
mod tests;
