//! Adaptors that change the items of a source, or erase its type, and leave acknowledgements as they are.

use std::{fmt, num::NonZeroUsize, sync::Arc};

use super::{BoxSource, Delivery, ItemOf, OpenContext, Produced, Source, SourceProducer, TokenOf};
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

    async fn close(self) -> Result<(), BoxError> {
        self.inner.close().await
    }
}
