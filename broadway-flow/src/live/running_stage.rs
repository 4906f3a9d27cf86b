//! [`RunningStage`]: the handle of a stage, whatever its kind.

use broadway_core::stage::{
    Consumer, ConsumerHandle, End, Producer, ProducerConsumer, ProducerConsumerHandle,
    ProducerHandle, dispatch::Dispatch,
};
use futures_util::future::BoxFuture;

/// The handle of a stage, whatever its kind.
pub(crate) trait RunningStage: Send + Sync {
    /// Ends the stage once its current callback returns.
    fn stop(&self) -> BoxFuture<'_, End>;

    /// Waits until it has ended.
    fn join(&self) -> BoxFuture<'_, End>;

    /// Ends the stage at its next await.
    fn abort(&self);
}

macro_rules! running_stage {
    () => {
        fn stop(&self) -> BoxFuture<'_, End> {
            Box::pin(self.stop())
        }

        fn join(&self) -> BoxFuture<'_, End> {
            Box::pin(self.join())
        }

        fn abort(&self) {
            self.abort();
        }
    };
}

impl<P: Producer, D: Dispatch<P::Event> + Send + 'static> RunningStage for ProducerHandle<P, D> {
    running_stage!();
}

impl<S: ProducerConsumer, D: Dispatch<S::Out> + Send + 'static> RunningStage
    for ProducerConsumerHandle<S, D>
{
    running_stage!();
}

impl<C: Consumer> RunningStage for ConsumerHandle<C> {
    running_stage!();
}
