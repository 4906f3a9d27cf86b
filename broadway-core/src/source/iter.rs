//! Any iterator as a source: the pipeline ends when it is exhausted.

use std::{fmt, iter, num::NonZeroUsize, sync::Arc};

use super::{Delivery, NumberedAcknowledger, OpenContext, Produced, Source, SourceProducer};
use crate::error::BoxError;

/// Makes a source of iterators: `open` is called with the index of each producer and returns its iterator. The pipeline ends when
/// all iterators are exhausted.
///
/// The iterator runs on a runtime thread and must not block for long. Nothing is acknowledged. After a panic of the iterator, the
/// producer is opened again with a new one.
///
/// ```
/// use broadway_core::source;
///
/// let numbers = source::from_iter(|_producer| 0..1_000_u64);
/// # let _ = numbers;
/// ```
pub fn from_iter<F, I>(open: F) -> IterSource<F>
where
    F: Fn(usize) -> I + Send + Sync + 'static,
    I: IntoIterator<IntoIter: Send + 'static, Item: Send + 'static>,
{
    IterSource { open }
}

/// The source that [`from_iter`] makes.
#[must_use = "a source delivers nothing until a pipeline reads it"]
pub struct IterSource<F> {
    open: F,
}

impl<F> fmt::Debug for IterSource<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterSource").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<F, I> Source for IterSource<F>
where
    F: Fn(usize) -> I + Send + Sync + 'static,
    I: IntoIterator<IntoIter: Send + 'static, Item: Send + 'static> + 'static,
{
    type Producer = IterProducer<I::IntoIter>;

    async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        Ok(IterProducer {
            iter: (self.open)(cx.producer()).into_iter().fuse(),
            number: 0,
        })
    }
}

/// The producer of [`from_iter`].
pub struct IterProducer<I> {
    iter: iter::Fuse<I>,
    /// The number of the next item.
    number: u64,
}

impl<I> fmt::Debug for IterProducer<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterProducer").finish_non_exhaustive()
    }
}

impl<I> SourceProducer for IterProducer<I>
where
    I: Iterator<Item: Send + 'static> + Send + 'static,
{
    type Item = I::Item;
    type Acknowledger = NumberedAcknowledger;

    fn acknowledger(&self) -> Arc<NumberedAcknowledger> {
        Arc::new(NumberedAcknowledger)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<I::Item, u64>>,
    ) -> Result<Produced, BoxError> {
        let before = out.len();
        let items = self.iter.by_ref().take(demand.get());
        let numbers = self.number..;
        out.extend(items.zip(numbers).map(|(item, n)| Delivery::new(item, n)));
        let count = out.len() - before;
        self.number += count as u64;
        let exhausted = count < demand.get();
        Ok(if exhausted {
            Produced::End
        } else {
            Produced::More
        })
    }
}
