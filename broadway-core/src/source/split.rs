//! [`SourceExt::split`](super::SourceExt::split): several messages from one item, which are settled together.
//!
//! Each part holds a share of the item's settlement ([`joint`]), and so does the producer while it may still deliver parts. The share that
//! ends last passes the outcome to the original acknowledger.

mod acknowledger;
mod average;
mod joint;
mod producer;

use std::{fmt, sync::Arc};

pub use self::{acknowledger::SplitAcknowledger, joint::PartToken, producer::SplitProducer};
use super::{ItemOf, OpenContext, Source, SourceProducer};
use crate::error::{BoxError, Problem};

/// The source that [`SourceExt::split`](super::SourceExt::split) makes.
#[must_use = "a source delivers nothing until a pipeline reads it"]
pub struct SplitSource<S, F> {
    inner: S,
    f: Arc<F>,
}

impl<S, F> SplitSource<S, F> {
    pub(super) fn new(inner: S, f: F) -> Self {
        let f = Arc::new(f);
        Self { inner, f }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for SplitSource<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitSource")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<S, F, I> Source for SplitSource<S, F>
where
    S: Source,
    F: Fn(ItemOf<S>) -> I + Send + Sync + 'static,
    I: IntoIterator<Item: Send + 'static, IntoIter: Send + 'static>,
{
    type Producer = SplitProducer<S::Producer, F, I::IntoIter>;

    fn check(&self) -> Vec<Problem> {
        self.inner.check()
    }

    async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        let inner = self.inner.open(cx).await?;
        let acknowledger = SplitAcknowledger::new(SourceProducer::acknowledger(&inner));
        let f = Arc::clone(&self.f);
        Ok(SplitProducer::new(inner, f, acknowledger, cx))
    }
}
