//! The handles of running stages: [`ProducerHandle`], [`ProducerConsumerHandle`], [`ConsumerHandle`].
//!
//! All three send messages to the stage, stop it and wait for its end. Stages that send events have outputs; stages that receive
//! events can subscribe.

use std::{convert::Infallible, fmt, hash::Hash, sync::Arc};

use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    Closed, Consumer, DefaultSubscription, End, Output, Producer, ProducerConsumer, Receive,
    StageStats, SubscribeError, Subscription, SubscriptionId,
    exit_notifier::ExitWatcher,
    input::Input,
    mailbox::{DeliveryOrder, StageMessage},
    notice::ConsumerNotice,
    output::SubscribableLink,
    runner::StageCommand,
    stats::StageCounters,
    subscription::CancelSubscription,
};
use crate::{
    engine::link::Link,
    machine::dispatch::{Broadcast, Demand, Dispatch, Partition, PartitionName, Route, Selector},
};

/// What the handles of all stages have in common.
pub(super) struct HandleCore<S, I, E> {
    pub(super) name: Arc<str>,
    pub(super) commands: mpsc::UnboundedSender<StageCommand<I>>,
    pub(super) messages: mpsc::Sender<StageMessage<S, E>>,
    pub(super) counters: Arc<StageCounters>,
    pub(super) exit: ExitWatcher,
    pub(super) abort: AbortHandle,
}

/// Makes the outputs of a stage.
pub(super) struct OutputFactory<E, D: Dispatch<E>> {
    pub(super) link: Arc<Link<E, D>>,
    pub(super) notices: mpsc::UnboundedSender<ConsumerNotice>,
}

/// A running producer. Cheap to clone.
///
/// Dropping it does not stop the stage. A producer that nothing can reach any more (no handle, no [`Output`], no subscription) is
/// shut down.
#[must_use = "a producer that nothing can reach any more is shut down: keep its handle, or subscribe to it"]
pub struct ProducerHandle<P: Producer, D: Dispatch<P::Event> = Demand<<P as Producer>::Event>> {
    pub(super) core: HandleCore<P, Infallible, P::Event>,
    pub(super) outputs: OutputFactory<P::Event, D>,
}

/// A running producer-consumer. Cheap to clone.
///
/// Dropping it does not stop the stage. It is shut down when no consumer can demand events any more (no handle, no [`Output`], no
/// subscription to it), and ends when nothing can reach it any more.
#[must_use = "a stage that nothing can reach any more ends: keep its handle, or subscribe to it"]
pub struct ProducerConsumerHandle<
    S: ProducerConsumer,
    D: Dispatch<S::Out> = Demand<<S as ProducerConsumer>::Out>,
> {
    pub(super) core: HandleCore<S, S::In, S::Out>,
    pub(super) outputs: OutputFactory<S::Out, D>,
}

/// A running consumer. Cheap to clone.
///
/// Dropping it does not stop the stage. A consumer that nothing can reach any more (no handle, no subscription, no timer) ends.
#[must_use = "a consumer that nothing can reach any more ends: keep its handle, and wait for its end with `join`"]
pub struct ConsumerHandle<C: Consumer> {
    pub(super) core: HandleCore<C, C::Event, Infallible>,
}

macro_rules! common_methods {
    ($stage:ty, $event:ty) => {
        /// Returns the name of the stage.
        #[must_use]
        pub fn name(&self) -> &str {
            &self.core.name
        }

        /// Sends a message and waits for the reply. Events that the stage emits on the way are sent before the reply.
        ///
        /// # Errors
        ///
        /// Fails if the stage has ended, or fails at this message.
        ///
        /// # Cancel safety
        ///
        /// Not cancel safe: if it is dropped before it completes, the message may or may not be received.
        pub async fn call<M>(
            &self,
            message: M,
        ) -> Result<<$stage as Receive<M, $event>>::Reply, Closed>
        where
            $stage: Receive<M, $event>,
            M: Send + 'static,
        {
            self.core.call(message).await
        }

        /// Sends a message as soon as the mailbox has room. Does not wait until it is received.
        ///
        /// # Errors
        ///
        /// Fails if the stage has ended.
        ///
        /// # Cancel safety
        ///
        /// If it is dropped before it completes, the message was not sent.
        pub async fn cast<M>(&self, message: M) -> Result<(), Closed>
        where
            $stage: Receive<M, $event>,
            M: Send + 'static,
        {
            self.core.send(message, DeliveryOrder::Now).await
        }

        /// Sends a message that is received once all events that are buffered before it have been asked for.
        ///
        /// # Errors
        ///
        /// Fails if the stage has ended.
        ///
        /// # Cancel safety
        ///
        /// If it is dropped before it completes, the message was not sent.
        pub async fn info<M>(&self, message: M) -> Result<(), Closed>
        where
            $stage: Receive<M, $event>,
            M: Send + 'static,
        {
            self.core.send(message, DeliveryOrder::AfterEvents).await
        }

        /// Ends the stage as [`End::Shutdown`] once the current callback returns, and waits until it has ended. Messages in the mailbox
        /// are dropped.
        ///
        /// # Cancel safety
        ///
        /// Once polled, the stage stops, even if this future is dropped.
        pub async fn stop(&self) -> End {
            self.core.stop().await
        }

        /// Ends the stage at its next await, perhaps in the middle of a callback. `terminate` is not called. Its producers and consumers
        /// see [`End::Shutdown`].
        pub fn abort(&self) {
            self.core.abort.abort();
        }

        /// Waits until the stage has ended, and returns how. May be called any number of times, also after the end.
        ///
        /// # Cancel safety
        ///
        /// Cancel safe.
        pub async fn join(&self) -> End {
            self.core.exit.join().await
        }

        /// Returns how the stage ended, if it has.
        #[must_use]
        pub fn end(&self) -> Option<End> {
            self.core.exit.end()
        }

        /// Returns the counts of what the stage has done so far.
        #[must_use]
        pub fn stats(&self) -> StageStats {
            self.core.counters.stats()
        }
    };
}

macro_rules! sending_methods {
    ($event:ty, $dispatch:ty) => {
        /// Returns an output, to which consumers subscribe.
        pub fn output(&self) -> Output<$event>
        where
            $dispatch: Dispatch<$event, Options: DefaultSubscription + Clone + Send + Sync>
                + Send
                + 'static,
        {
            self.output_at(<$dispatch as Dispatch<$event>>::Options::default())
        }

        /// As [`output`](Self::output), with the subscription options that the dispatcher defines as its
        /// [`Options`](Dispatch::Options).
        pub fn output_at(&self, options: <$dispatch as Dispatch<$event>>::Options) -> Output<$event>
        where
            $dispatch: Dispatch<$event, Options: Clone + Send + Sync> + Send + 'static,
        {
            self.outputs.output(&self.core.name, options)
        }

        /// Reports demand that the stage has [accumulated](super::ProducerBuilder::accumulate) to it, and sends what it emitted
        /// meanwhile.
        pub fn forward_demand(&self) {
            let _ = self.core.commands.send(StageCommand::ForwardDemand(true));
        }

        /// Accumulates demand, and buffers emitted events, until demand is [forwarded](Self::forward_demand).
        pub fn accumulate_demand(&self) {
            let _ = self.core.commands.send(StageCommand::ForwardDemand(false));
        }
    };
}

macro_rules! receiving_methods {
    ($event:ty) => {
        /// Subscribes the stage to another output. It demands events at once.
        ///
        /// # Errors
        ///
        /// See [`SubscribeError`]. Subscribing to the output of a stage that has ended succeeds: the subscription then ends like any
        /// other, with the effect of its [mode](super::Cancel).
        pub fn subscribe(&self, output: &Output<$event>) -> Result<Subscription, SubscribeError> {
            self.core.subscribe(output)
        }

        /// Replaces a subscription. The new one is made first; if that fails, the old one stays.
        ///
        /// # Errors
        ///
        /// As [`subscribe`](Self::subscribe).
        pub fn resubscribe(
            &self,
            old: &Subscription,
            output: &Output<$event>,
        ) -> Result<Subscription, SubscribeError> {
            let new = self.subscribe(output)?;
            old.cancel();
            Ok(new)
        }
    };
}

impl<P: Producer, D: Dispatch<P::Event>> ProducerHandle<P, D> {
    common_methods!(P, P::Event);
    sending_methods!(P::Event, D);
}

impl<S: ProducerConsumer, D: Dispatch<S::Out>> ProducerConsumerHandle<S, D> {
    common_methods!(S, S::Out);
    sending_methods!(S::Out, D);
    receiving_methods!(S::In);
}

impl<C: Consumer> ConsumerHandle<C> {
    common_methods!(C, Infallible);
    receiving_methods!(C::Event);
}

macro_rules! broadcast_methods {
    ($event:ty) => {
        /// Returns an output for consumers of the events for which `wanted` returns true. It is called for every event, under the lock
        /// of the link, so it must be quick.
        pub fn selecting(
            &self,
            wanted: impl Fn(&$event) -> bool + Send + Sync + 'static,
        ) -> Output<$event> {
            self.output_at(Selector::new(wanted))
        }
    };
}

macro_rules! partition_methods {
    ($event:ty) => {
        /// Returns the output for the consumer of one partition. Subscribing to it fails if the partition does not exist or has a
        /// consumer.
        pub fn partition(&self, partition: K) -> Output<$event> {
            self.output_at(PartitionName(partition))
        }
    };
}

macro_rules! route_methods {
    ($event:ty) => {
        /// Returns the output for the consumer of one target. Subscribing to it fails if the target does not exist or has a
        /// consumer.
        pub fn target(&self, target: K) -> Output<$event> {
            self.output_at(PartitionName(target))
        }
    };
}

impl<P: Producer<Event: Clone>> ProducerHandle<P, Broadcast<P::Event>> {
    broadcast_methods!(P::Event);
}

impl<S: ProducerConsumer<Out: Clone>> ProducerConsumerHandle<S, Broadcast<S::Out>> {
    broadcast_methods!(S::Out);
}

impl<P, K, F> ProducerHandle<P, Partition<P::Event, K, F>>
where
    P: Producer,
    K: Eq + Hash + Clone + fmt::Debug + Send + Sync + 'static,
    F: FnMut(&P::Event) -> Option<K> + Send + 'static,
{
    partition_methods!(P::Event);
}

impl<S, K, F> ProducerConsumerHandle<S, Partition<S::Out, K, F>>
where
    S: ProducerConsumer,
    K: Eq + Hash + Clone + fmt::Debug + Send + Sync + 'static,
    F: FnMut(&S::Out) -> Option<K> + Send + 'static,
{
    partition_methods!(S::Out);
}

impl<P, K> ProducerHandle<P, Route<P::Event, K>>
where
    P: Producer<Event: Clone>,
    K: Eq + Hash + Clone + fmt::Debug + Send + Sync + 'static,
{
    route_methods!(P::Event);
}

impl<S, K> ProducerConsumerHandle<S, Route<S::Out, K>>
where
    S: ProducerConsumer<Out: Clone>,
    K: Eq + Hash + Clone + fmt::Debug + Send + Sync + 'static,
{
    route_methods!(S::Out);
}

impl<S, I, E> HandleCore<S, I, E>
where
    S: Send + 'static,
    I: Send + 'static,
    E: Send + 'static,
{
    async fn call<M>(&self, message: M) -> Result<S::Reply, Closed>
    where
        S: Receive<M, E>,
        M: Send + 'static,
    {
        let (message, reply) = StageMessage::new(message, DeliveryOrder::Now);
        let closed = || Closed::new(&self.name);
        self.messages.send(message).await.map_err(|_| closed())?;
        reply.await.map_err(|_| closed())
    }

    async fn send<M>(&self, message: M, order: DeliveryOrder) -> Result<(), Closed>
    where
        S: Receive<M, E>,
        M: Send + 'static,
    {
        let (message, _reply) = StageMessage::new(message, order);
        let sent = self.messages.send(message).await;
        sent.map_err(|_| Closed::new(&self.name))
    }

    pub(super) async fn stop(&self) -> End {
        // Fails if the stage has ended.
        let _ = self.commands.send(StageCommand::Stop);
        self.exit.join().await
    }

    pub(super) fn subscribe(&self, output: &Output<I>) -> Result<Subscription, SubscribeError> {
        subscribe(&self.commands, output)
    }
}

/// Makes a subscription and passes it to the stage.
pub(super) fn subscribe<I: Send + 'static>(
    commands: &mpsc::UnboundedSender<StageCommand<I>>,
    output: &Output<I>,
) -> Result<Subscription, SubscribeError> {
    if commands.is_closed() {
        // Before the subscription is made: the producer must not be asked for events that nothing will handle.
        return Err(SubscribeError::ConsumerEnded);
    }
    let input = new_input(commands, output)?;
    let subscription = input.subscription.clone();
    let sent = commands.send(StageCommand::Subscribe(input));
    sent.map_err(|_| SubscribeError::ConsumerEnded)?;
    Ok(subscription)
}

/// Makes a subscription for the stage that receives `commands`.
pub(super) fn new_input<I: Send + 'static>(
    commands: &mpsc::UnboundedSender<StageCommand<I>>,
    output: &Output<I>,
) -> Result<Input<I>, SubscribeError> {
    let new = output.subscribe()?;
    let consumer = Arc::new(CommandSender(commands.clone()));
    let subscription = Subscription::new(new.id, new.producer, new.handle, consumer);
    Ok(Input::new(subscription, new.inlet, output.cancel))
}

/// Sends commands to a stage. The stage itself may hold one, by its subscriptions, so the closing of this channel ends nothing.
struct CommandSender<I>(mpsc::UnboundedSender<StageCommand<I>>);

impl<I: Send> CancelSubscription for CommandSender<I> {
    fn cancel(&self, id: SubscriptionId, end: End) -> bool {
        self.0.send(StageCommand::Cancel(id, end)).is_ok()
    }
}

impl<E: Send + 'static, D: Dispatch<E>> OutputFactory<E, D> {
    fn output(&self, name: &Arc<str>, options: D::Options) -> Output<E>
    where
        D: Dispatch<E, Options: Clone + Send + Sync> + Send + 'static,
    {
        Output::new(Arc::new(SubscribableLink {
            link: Arc::clone(&self.link),
            options,
            notices: self.notices.clone(),
            name: Arc::clone(name),
        }))
    }
}

impl<S, I, E> Clone for HandleCore<S, I, E> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            commands: self.commands.clone(),
            messages: self.messages.clone(),
            counters: Arc::clone(&self.counters),
            exit: self.exit.clone(),
            abort: self.abort.clone(),
        }
    }
}

impl<E, D: Dispatch<E>> Clone for OutputFactory<E, D> {
    fn clone(&self) -> Self {
        Self {
            link: Arc::clone(&self.link),
            notices: self.notices.clone(),
        }
    }
}

macro_rules! clone_and_debug {
    ($handle:ident [$stage:ident: $kind:ident $(, $dispatch:ident: [$event:ty])?] { $($field:ident),* }) => {
        impl<$stage: $kind $(, $dispatch: Dispatch<$event>)?> Clone for $handle<$stage $(, $dispatch)?> {
            fn clone(&self) -> Self {
                Self { $($field: self.$field.clone()),* }
            }
        }

        impl<$stage: $kind $(, $dispatch: Dispatch<$event>)?> fmt::Debug for $handle<$stage $(, $dispatch)?> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($handle))
                    .field("name", &self.core.name)
                    .field("end", &self.core.exit)
                    .finish_non_exhaustive()
            }
        }
    };
}

clone_and_debug!(ProducerHandle [P: Producer, D: [P::Event]] { core, outputs });
clone_and_debug!(ProducerConsumerHandle [S: ProducerConsumer, D: [S::Out]] { core, outputs });
clone_and_debug!(ConsumerHandle [C: Consumer] { core });
