//! Sources whose type is erased, so that a program can choose its broker at run time: [`BoxSource`].
//!
//! The erased producer keeps the typed tokens of its deliveries in a table, beside the acknowledger that they belong to, and gives the
//! pipeline their numbers. So a message costs no allocation: see [`BoxSource`] for what a chunk costs.

mod acknowledger;
mod tokens;

use std::{any, fmt, future::Future, num::NonZeroUsize, pin::Pin, sync::Arc};

pub use acknowledger::BoxAcknowledger;
use acknowledger::TypedAcknowledger;
pub use tokens::BoxToken;

use super::{Delivery, ItemOf, OpenContext, Produced, Source, SourceProducer, TokenOf};
use crate::{
    error::{BoxError, Problem},
    telemetry::MessageInfo,
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A source of `T` whose type is erased; made by [`SourceExt::boxed`](super::SourceExt::boxed).
///
/// Use it to choose a source at run time. The sources of different connectors deliver different items: convert them to one type with
/// [`SourceExt::map`](super::SourceExt::map) first.
///
/// ```
/// use broadway_core::source::{self, BoxSource, SourceExt};
///
/// fn source(kind: &str) -> Result<BoxSource<String>, String> {
///     match kind {
///         "numbers" => Ok(source::from_iter(|_| 0..10_u64).map(|n| n.to_string()).boxed()),
///         "words" => Ok(source::from_iter(|_| ["a", "b"]).map(str::to_owned).boxed()),
///         _ => Err(format!("unknown source {kind}: use numbers or words")),
///     }
/// }
/// # assert!(source("numbers").is_ok() && source("words").is_ok() && source("x").is_err());
/// ```
///
/// Everything that a source can do passes through: option checks, acknowledgement options, release at a drain, stale messages, log
/// coordinates, `stop` and `close`. The options of a mapped item reach the connector if the item's
/// [`AckOptions`](crate::Record::AckOptions) are the connector's.
///
/// # Cost
///
/// One allocation for each call of `produce` and one for each group of messages that is settled together (a chunk or a batch), and
/// two short locks for each of them. Nothing is allocated for a single message. A token takes 16 bytes in each message, and its typed
/// original waits in a table that grows to the most messages in flight and does not shrink.
#[must_use = "a source delivers nothing until a pipeline reads it"]
pub struct BoxSource<T>(Box<dyn ErasedSource<T>>);

impl<T: Send + 'static> BoxSource<T> {
    pub(super) fn new<S: Source<Producer: SourceProducer<Item = T>>>(source: S) -> Self {
        Self(Box::new(Typed(source)))
    }
}

impl<T> fmt::Debug for BoxSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxSource({})", self.0.type_name())
    }
}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Source for BoxSource<T> {
    type Producer = BoxProducer<T>;

    fn check(&self) -> Vec<Problem> {
        self.0.check()
    }

    async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        self.0.open(cx).await
    }
}

/// The object-safe twin of [`Source`].
trait ErasedSource<T>: Send + Sync {
    fn type_name(&self) -> &'static str;

    fn check(&self) -> Vec<Problem>;

    fn open<'a>(&'a self, cx: &'a OpenContext) -> BoxFuture<'a, Result<BoxProducer<T>, BoxError>>;
}

struct Typed<S>(S);

impl<S: Source> ErasedSource<ItemOf<S>> for Typed<S> {
    fn type_name(&self) -> &'static str {
        any::type_name::<S>()
    }

    fn check(&self) -> Vec<Problem> {
        self.0.check()
    }

    fn open<'a>(
        &'a self,
        cx: &'a OpenContext,
    ) -> BoxFuture<'a, Result<BoxProducer<ItemOf<S>>, BoxError>> {
        Box::pin(async move { Ok(BoxProducer::new(self.0.open(cx).await?)) })
    }
}

/// A producer of a [`BoxSource`].
pub struct BoxProducer<T> {
    producer: Box<dyn ErasedProducer<T>>,
    acknowledger: Arc<BoxAcknowledger<T>>,
}

impl<T: Send + 'static> BoxProducer<T> {
    fn new<P: SourceProducer<Item = T>>(inner: P) -> Self {
        let acknowledger = Arc::new(TypedAcknowledger::<P>::new(inner.acknowledger()));
        let producer = TypedProducer {
            inner,
            delivered: Vec::new(),
            acknowledger: Arc::clone(&acknowledger),
        };
        Self {
            producer: Box::new(producer),
            acknowledger: Arc::new(BoxAcknowledger::new(acknowledger)),
        }
    }
}

impl<T> fmt::Debug for BoxProducer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxProducer").finish_non_exhaustive()
    }
}

impl<T: Send + 'static> SourceProducer for BoxProducer<T> {
    type Item = T;
    type Acknowledger = BoxAcknowledger<T>;

    fn acknowledger(&self) -> Arc<BoxAcknowledger<T>> {
        Arc::clone(&self.acknowledger)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<T, BoxToken>>,
    ) -> Result<Produced, BoxError> {
        self.producer.produce(demand, out).await
    }

    fn describe_delivered(acknowledger: &BoxAcknowledger<T>, item: &T) -> MessageInfo {
        acknowledger.describe_item(item)
    }

    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        self.producer.stop()
    }

    fn has_rest(&self) -> bool {
        self.producer.has_rest()
    }

    fn close(self) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.producer.close()
    }
}

/// The object-safe twin of [`SourceProducer`].
trait ErasedProducer<T>: Send {
    fn produce<'a>(
        &'a mut self,
        demand: NonZeroUsize,
        out: &'a mut Vec<Delivery<T, BoxToken>>,
    ) -> BoxFuture<'a, Result<Produced, BoxError>>;

    fn stop(&mut self) -> BoxFuture<'_, ()>;

    fn has_rest(&self) -> bool;

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), BoxError>>;
}

struct TypedProducer<P: SourceProducer> {
    inner: P,
    /// Empty between two calls of `produce`; kept for its memory.
    delivered: Vec<Delivery<P::Item, TokenOf<P>>>,
    acknowledger: Arc<TypedAcknowledger<P>>,
}

impl<P: SourceProducer> ErasedProducer<P::Item> for TypedProducer<P> {
    fn produce<'a>(
        &'a mut self,
        demand: NonZeroUsize,
        out: &'a mut Vec<Delivery<P::Item, BoxToken>>,
    ) -> BoxFuture<'a, Result<Produced, BoxError>> {
        let Self {
            inner,
            delivered,
            acknowledger,
        } = self;
        let erase = EraseOnDrop {
            delivered,
            acknowledger,
            out,
        };
        Box::pin(async move {
            // Moved by its drop, so that the messages of a failed, cancelled or panicking call count as delivered, too.
            let erase = erase;
            inner.produce(demand, &mut *erase.delivered).await
        })
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.inner.stop())
    }

    fn has_rest(&self) -> bool {
        self.inner.has_rest()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), BoxError>> {
        Box::pin(self.inner.close())
    }
}

/// Moves the delivered messages to the pipeline's list, with erased tokens, however the call of `produce` ends.
struct EraseOnDrop<'a, P: SourceProducer> {
    delivered: &'a mut Vec<Delivery<P::Item, TokenOf<P>>>,
    acknowledger: &'a TypedAcknowledger<P>,
    out: &'a mut Vec<Delivery<P::Item, BoxToken>>,
}

impl<P: SourceProducer> Drop for EraseOnDrop<'_, P> {
    fn drop(&mut self) {
        if self.delivered.is_empty() {
            return;
        }
        // One lock for the whole chunk.
        let mut tokens = self.acknowledger.tokens();
        let delivered = self.delivered.drain(..);
        self.out.extend(
            delivered.map(|Delivery { item, token }| Delivery::new(item, tokens.insert(token))),
        );
    }
}
