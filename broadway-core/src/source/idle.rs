//! A source that delivers no messages, for pipelines that receive them only by [`Topology::push`](crate::Topology::push).

use std::{future, marker::PhantomData, num::NonZeroUsize, sync::Arc};

use super::{Delivery, OpenContext, Produced, Source, SourceProducer};
use crate::{ack::NoopAcknowledger, error::BoxError};

/// Makes a source that delivers no messages, for pipelines that receive them only by [`Topology::push`](crate::Topology::push).
pub fn idle<T: Send + 'static>() -> Idle<T> {
    Idle { item: PhantomData }
}

/// The source that [`idle`] makes.
#[derive(Debug)]
#[must_use = "a source delivers nothing until a pipeline reads it"]
pub struct Idle<T> {
    item: PhantomData<fn() -> T>,
}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Source for Idle<T> {
    type Producer = IdleProducer<T>;

    async fn open(&self, _cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        Ok(IdleProducer { item: PhantomData })
    }
}

/// The producer of [`idle`].
#[derive(Debug)]
pub struct IdleProducer<T> {
    item: PhantomData<fn() -> T>,
}

impl<T: Send + 'static> SourceProducer for IdleProducer<T> {
    type Item = T;
    type Acknowledger = NoopAcknowledger;

    fn acknowledger(&self) -> Arc<NoopAcknowledger> {
        Arc::new(NoopAcknowledger)
    }

    async fn produce(
        &mut self,
        _: NonZeroUsize,
        _: &mut Vec<Delivery<T, ()>>,
    ) -> Result<Produced, BoxError> {
        future::pending().await
    }
}
