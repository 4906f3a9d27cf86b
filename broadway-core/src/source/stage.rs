//! The output of a stage as a source, so that a pipeline can be the consumer at the end of stages.

use std::{num::NonZeroUsize, sync::Arc};

use super::{Delivery, OpenContext, Produced, Source, SourceProducer};
use crate::{
    ack::NoopAcknowledger,
    error::{BoxError, Problem},
    stage::{End, EventStream, Output},
};

/// Each producer of the pipeline subscribes to the stage with the options of this output. The [`cancel`](Output::cancel) mode has no
/// effect.
///
/// Nothing is acknowledged: stages do not keep sent events. When the pipeline stops, events that its producers have not taken stay with
/// the stage, for other consumers.
///
/// The pipeline ends when the stage ends. If the stage fails, the producer fails with the same error, and the pipeline's restart policy
/// opens it again in vain, since a stage that has ended does not start again. Give the policy a limit, or give the stage a
/// [restart](crate::stage::ProducerBuilder::restart) of its own, which the pipeline notices only as a pause.
///
/// ```
/// use broadway_core::{Message, Pipeline, handler_fn, stage};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers = stage::from_iter(0..100).start().await?;
/// let handler = handler_fn(|message: &mut Message<u64>| {
///     println!("{}", message.data());
///     Ok(())
/// });
/// let totals = Pipeline::new(numbers.output(), handler).start().await?.wait().await?;
/// assert_eq!(totals.done, 100);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Source for Output<T> {
    type Producer = StageProducer<T>;

    fn check(&self) -> Vec<Problem> {
        self.problem().into_iter().collect()
    }

    async fn open(&self, _cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        let events = self.stream()?;
        Ok(StageProducer { events })
    }
}

/// The producer of a source that is the [output](Output) of a stage.
#[derive(Debug)]
pub struct StageProducer<T> {
    events: EventStream<T>,
}

impl<T: Send + 'static> SourceProducer for StageProducer<T> {
    type Item = T;
    type Acknowledger = NoopAcknowledger;

    fn acknowledger(&self) -> Arc<NoopAcknowledger> {
        Arc::new(NoopAcknowledger)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<T, ()>>,
    ) -> Result<Produced, BoxError> {
        if let Some(events) = self.events.next_up_to(demand.get()).await {
            out.extend(events.map(|event| Delivery::new(event, ())));
            return Ok(Produced::More);
        }
        match self.events.end().and_then(End::failure) {
            Some(failure) => Err(failure.clone().into()),
            None => Ok(Produced::End),
        }
    }
}
