//! Adaptors that change the items of a source, or erase its type, and leave acknowledgements as they are.

use std::{fmt, num::NonZeroUsize, sync::Arc};

use super::{
    BoxSource, Delivery, ItemOf, OpenContext, Produced, Source, SourceProducer, SplitSource,
    TokenOf,
};
use crate::error::{BoxError, Problem};

/// Adaptors for every source.
pub trait SourceExt: Source + Sized {
    /// Converts each item with `f`; acknowledgements go to the original. Broadway calls this a transformer.
    ///
    /// A panic of `f` fails the producer, which is opened again: leave work that can fail to the handler.
    ///
    /// ```
    /// use broadway_core::source::{self, SourceExt};
    ///
    /// let squares = source::from_iter(|_| 0..10_u64).map(|n| n * n);
    /// # let _ = squares;
    /// ```
    fn map<F, U>(self, f: F) -> MapSource<Self, F>
    where
        F: Fn(ItemOf<Self>) -> U + Send + Sync + 'static,
        U: Send + 'static,
    {
        MapSource {
            inner: self,
            f: Arc::new(f),
        }
    }

    /// Makes several messages from each item, or none. The item is settled once all of them have ended.
    ///
    /// For a message that holds many rows, and for one that several batchers must take: make a copy for each, and let the handler
    /// choose the batcher by what `f` adds to it.
    ///
    /// ```
    /// use broadway_core::{Message, Next, batchers, source::{self, SourceExt}};
    ///
    /// batchers! { enum Sink { Archive, Index } }
    ///
    /// let lines = source::from_iter(|_| ["4 apples", "7 pears"]);
    /// // Settled after both the archive and the index have stored it.
    /// let copies = lines.split(|line| [Sink::Archive, Sink::Index].map(|sink| (sink, line)));
    /// # let _ = copies;
    /// # let _ = |message: &mut Message<(Sink, &'static str)>| -> Next<&'static str, Sink> {
    /// // In the handler:
    /// let (sink, line) = *message.data();
    /// Next::batch(sink, line)
    /// # };
    /// ```
    ///
    /// # The outcome of an item
    ///
    /// The parts of an item may be handled in any order, in several processors and batches, each with its own retries and dead letter.
    /// When the last one ends, the source receives one outcome:
    ///
    /// | parts | item |
    /// |---|---|
    /// | all are done, or there are none | [`Done`](crate::Outcome::Done) |
    /// | some failed, all were handled | [`Failed`](crate::Outcome::Failed), with the first reason |
    /// | some were not handled | [`Released`](crate::Outcome::Released) |
    ///
    /// A source that delivers a failed or released item again delivers all of it: parts that were done come again. With
    /// [`dead_letters`](crate::Pipeline::dead_letters) a failed part alone becomes a dead letter, and counts as done. After a part was
    /// released, parts of the same item that no handler has begun are released, too. Retries wait in the pipeline, never at the source:
    /// [`Acknowledger::delay_max`](crate::Acknowledger::delay_max) is `None`, and [`Acknowledger::parks`](crate::Acknowledger::parks) `false`.
    /// [Options](crate::Message::configure_ack) come from a part whose outcome counts.
    ///
    /// # Draining
    ///
    /// If the source [delivers again](crate::Acknowledger::redelivers), a drain releases the item that is being split, items of which no part
    /// was begun, and items of which a part waits for its next attempt; parts that were begun are finished first. Otherwise all parts of
    /// all fetched items are handled: with an endless iterator, until the drain runs out of time.
    ///
    /// # Limits
    ///
    /// `f` is called when its parts are needed, and its iterator is advanced as the pipeline takes them, so an item may have more parts
    /// than fit into memory. The producer asks for as many items as should have the parts that are demanded, by the average of about the
    /// last thousand. An item counts as in flight at its source until its last part has ended: a lease must be long enough for all of
    /// them, and for the items before it. A rate limit counts parts, so items without parts pass it. `f` and its iterator must not block
    /// the thread: they run in the producer, where the watchdog does not notice it. Each part takes a lock of its item when it begins and when
    /// it ends.
    ///
    /// # Panics
    ///
    /// A panic of `f` or its iterator fails the item: parts that were delivered before are handled, the source gets
    /// [`Failed`](crate::Outcome::Failed), and an [`Event::SourceError`](crate::telemetry::Event::SourceError) reports it. For an item that cannot
    /// be split, return one part that marks it, and let the handler fail it: then it can become a dead letter.
    fn split<F, I>(self, f: F) -> SplitSource<Self, F>
    where
        F: Fn(ItemOf<Self>) -> I + Send + Sync + 'static,
        I: IntoIterator<Item: Send + 'static, IntoIter: Send + 'static>,
    {
        SplitSource::new(self, f)
    }

    /// Erases the type of the source, so that a program can choose one at run time. See [`BoxSource`] for an example and for what
    /// it costs.
    fn boxed(self) -> BoxSource<ItemOf<Self>> {
        BoxSource::new(self)
    }
}

impl<S: Source> SourceExt for S {}

/// The source that [`SourceExt::map`] makes.
#[must_use = "a source delivers nothing until a pipeline reads it"]
pub struct MapSource<S, F> {
    inner: S,
    f: Arc<F>,
}

impl<S: fmt::Debug, F> fmt::Debug for MapSource<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapSource")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<S, F, U> Source for MapSource<S, F>
where
    S: Source,
    F: Fn(ItemOf<S>) -> U + Send + Sync + 'static,
    U: Send + 'static,
{
    type Producer = MapProducer<S::Producer, F>;

    fn check(&self) -> Vec<Problem> {
        self.inner.check()
    }

    async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        let inner = self.inner.open(cx).await?;
        Ok(MapProducer {
            inner,
            f: Arc::clone(&self.f),
            raw: Vec::new(),
        })
    }
}

/// The producer of [`SourceExt::map`].
pub struct MapProducer<P: SourceProducer, F> {
    inner: P,
    f: Arc<F>,
    raw: Vec<Delivery<P::Item, TokenOf<P>>>,
}

impl<P: SourceProducer, F> fmt::Debug for MapProducer<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapProducer").finish_non_exhaustive()
    }
}

impl<P, F, U> SourceProducer for MapProducer<P, F>
where
    P: SourceProducer,
    F: Fn(P::Item) -> U + Send + Sync + 'static,
    U: Send + 'static,
{
    type Item = U;
    type Acknowledger = P::Acknowledger;

    fn acknowledger(&self) -> Arc<P::Acknowledger> {
        self.inner.acknowledger()
    }

    // Cancel safe: the next call delivers the items that a dropped call left in `raw`.
    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<U, TokenOf<P>>>,
    ) -> Result<Produced, BoxError> {
        let produced = if self.raw.is_empty() {
            self.inner.produce(demand, &mut self.raw).await
        } else {
            Ok(Produced::More)
        };
        out.extend(
            self.raw
                .drain(..)
                .map(|Delivery { item, token }| Delivery::new((self.f)(item), token)),
        );
        produced
    }

    async fn stop(&mut self) {
        self.inner.stop().await;
    }

    fn has_rest(&self) -> bool {
        self.inner.has_rest()
    }

    async fn close(self) -> Result<(), BoxError> {
        self.inner.close().await
    }
}
