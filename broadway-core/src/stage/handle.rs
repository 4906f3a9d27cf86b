//! The handles of running stages: [`ProducerHandle`], [`ProducerConsumerHandle`], [`ConsumerHandle`].
//!
//! All three can send messages, stop the stage and wait for its end. Those that send events have outputs; those that
//! receive some can subscribe.

use std::{fmt, hash::Hash, sync::Arc};

use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    Consumer, End, Output, PlainSeat, Producer, ProducerConsumer, Receive, StageGone, StageStats,
    SubscribeError, Subscription, SubscriptionId,
    farewell::Ended,
    input::Input,
    mail::{Delivery, Mail},
    output::{Connector, Notice},
    runner::Control,
    stats::Counters,
    subscription::Cancels,
};
use crate::engine::link::Link;
use crate::machine::dispatch::{
    Broadcast, Demand, Dispatch, Partition, PartitionName, Route, Selector,
};

/// What all handles have.
pub(super) struct Common<S, I, E> {
    pub(super) name: Arc<str>,
    pub(super) control: mpsc::UnboundedSender<Control<I>>,
    pub(super) mail: mpsc::Sender<Mail<S, E>>,
    pub(super) counters: Arc<Counters>,
    pub(super) ended: Ended,
    pub(super) abort: AbortHandle,
}

/// The sending side of a stage: makes outputs.
pub(super) struct Sending<E, D: Dispatch<E>> {
    pub(super) link: Arc<Link<E, D>>,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
}

/// A running producer. Cheap to clone.
///
/// Dropping it does not stop the stage. But when nobody is left who could reach it (no handle, no [`Output`], no
/// subscription), it is shut down.
#[must_use = "a producer that nothing can reach any more is shut down: keep its handle, or subscribe to it"]
pub struct ProducerHandle<P: Producer, D: Dispatch<P::Event> = Demand<<P as Producer>::Event>> {
    pub(super) common: Common<P, super::Nothing, P::Event>,
    pub(super) sending: Sending<P::Event, D>,
}

/// A running producer-consumer. Cheap to clone.
///
/// Dropping it does not stop the stage. But when nobody is left who could reach it (no handle, no [`Output`], no
/// subscription to it), it is shut down; and when nothing can reach it any more, it ends.
#[must_use = "a stage that nothing can reach any more ends: keep its handle, or subscribe to it"]
pub struct ProducerConsumerHandle<
    S: ProducerConsumer,
    D: Dispatch<S::Out> = Demand<<S as ProducerConsumer>::Out>,
> {
    pub(super) common: Common<S, S::In, S::Out>,
    pub(super) sending: Sending<S::Out, D>,
}

/// A running consumer. Cheap to clone.
///
/// Dropping it does not stop the stage. But when nothing can reach it any more (no handle, no subscription, no timer), it
/// ends.
#[must_use = "a consumer that nothing can reach any more ends: keep its handle, and wait for its end with `join`"]
pub struct ConsumerHandle<C: Consumer> {
    pub(super) common: Common<C, C::Event, super::Nothing>,
}

macro_rules! common_methods {
    ($stage:ty, $event:ty) => {
        /// The name of the stage.
        #[must_use]
        pub fn name(&self) -> &str {
            &self.common.name
        }

        /// Sends a message and waits for the reply, which comes behind the events that were emitted on the way.
        ///
        /// # Errors
        ///
        /// The stage has ended, or failed at this message.
        ///
        /// # Cancel safety
        ///
        /// Dropped before it completes, the message may or may not be received.
        pub async fn call<M>(
            &self,
            message: M,
        ) -> Result<<$stage as Receive<M, $event>>::Reply, StageGone>
        where
            $stage: Receive<M, $event>,
            M: Send + 'static,
        {
            self.common.call(message).await
        }

        /// Sends a message, as soon as there is room in the mailbox, and does not wait for it to be received.
        ///
        /// # Errors
        ///
        /// The stage has ended.
        ///
        /// # Cancel safety
        ///
        /// Dropped before it completes, the message was not sent.
        pub async fn cast<M>(&self, message: M) -> Result<(), StageGone>
        where
            $stage: Receive<M, $event>,
            M: Send + 'static,
        {
            self.common.send(message, Delivery::Now).await
        }

        /// Sends a message that is received when all events that are buffered before it have been asked for.
        ///
        /// # Errors
        ///
        /// The stage has ended.
        ///
        /// # Cancel safety
        ///
        /// Dropped before it completes, the message was not sent.
        pub async fn info<M>(&self, message: M) -> Result<(), StageGone>
        where
            $stage: Receive<M, $event>,
            M: Send + 'static,
        {
            self.common.send(message, Delivery::BehindEvents).await
        }

        /// Ends the stage as [`End::Shutdown`] once the callback in hand returns, and waits until it has ended. Messages that
        /// wait are dropped.
        ///
        /// # Cancel safety
        ///
        /// Once polled, the stage stops, also when this future is dropped.
        pub async fn stop(&self) -> End {
            self.common.stop().await
        }

        /// Ends the stage at its next await, in the middle of a callback perhaps; `terminate` is not called. For who
        /// is connected it was shut down.
        pub fn abort(&self) {
            self.common.abort.abort();
        }

        /// Waits until the stage has ended, and tells how.
        ///
        /// # Cancel safety
        ///
        /// Cancel safe; may be called any number of times, also after the end.
        pub async fn join(&self) -> End {
            self.common.ended.join().await
        }

        /// How the stage ended, if it has.
        #[must_use]
        pub fn end(&self) -> Option<End> {
            self.common.ended.end()
        }

        /// What it has done so far.
        #[must_use]
        pub fn stats(&self) -> StageStats {
            self.common.counters.stats()
        }
    };
}

macro_rules! sending_methods {
    ($event:ty, $dispatch:ty) => {
        /// Where consumers subscribe, with the options of a subscription.
        pub fn output(&self) -> Output<$event>
        where
            $dispatch: Dispatch<$event, Options: PlainSeat + Clone + Send + Sync> + Send + 'static,
        {
            self.output_at(<$dispatch as Dispatch<$event>>::Options::default())
        }

        /// As [`output`](Self::output), at a seat of a dispatcher of one's own.
        pub fn output_at(&self, seat: <$dispatch as Dispatch<$event>>::Options) -> Output<$event>
        where
            $dispatch: Dispatch<$event, Options: Clone + Send + Sync> + Send + 'static,
        {
            self.sending.output(&self.common.name, seat)
        }

        /// Tells the stage what was asked of it while it [accumulated](super::ProducerBuilder::accumulate) demand, and
        /// sends what it emitted meanwhile.
        pub fn forward_demand(&self) {
            let _ = self.common.control.send(Control::Forward(true));
        }

        /// Keeps demand from here on, and what is emitted, until it is [forwarded](Self::forward_demand).
        pub fn accumulate_demand(&self) {
            let _ = self.common.control.send(Control::Forward(false));
        }
    };
}

macro_rules! receiving_methods {
    ($event:ty) => {
        /// Subscribes the stage to an output, beside those that it is subscribed to. It asks for events at once.
        ///
        /// # Errors
        ///
        /// See [`SubscribeError`]. An output whose stage has ended is no error: the subscription ends as soon as the stage
        /// looks at it, with all that its [mode](super::Cancel) says.
        pub fn subscribe(&self, output: &Output<$event>) -> Result<Subscription, SubscribeError> {
            self.common.subscribe(output)
        }

        /// Cancels one subscription and makes another. The new one is made first; if it cannot be, the old one stays.
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
    common_methods!(C, super::Nothing);
    receiving_methods!(C::Event);
}

macro_rules! broadcast_methods {
    ($event:ty) => {
        /// Where consumers subscribe who want only the events of which `wanted` says so. It is called for every event, under
        /// the lock of the link: it must be quick.
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
        /// Where the consumer of one partition subscribes. Subscribing to one that there is not, or that has a consumer, is an
        /// error then.
        pub fn partition(&self, partition: K) -> Output<$event> {
            self.output_at(PartitionName(partition))
        }
    };
}

macro_rules! route_methods {
    ($event:ty) => {
        /// Where the consumer of one target subscribes. Subscribing to one that there is not, or that has a consumer, is an
        /// error then.
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

impl<S, I, E> Common<S, I, E>
where
    S: Send + 'static,
    I: Send + 'static,
    E: Send + 'static,
{
    async fn call<M>(&self, message: M) -> Result<S::Reply, StageGone>
    where
        S: Receive<M, E>,
        M: Send + 'static,
    {
        let (mail, reply) = Mail::new(message, Delivery::Now);
        let gone = || StageGone::new(&self.name);
        self.mail.send(mail).await.map_err(|_| gone())?;
        reply.await.map_err(|_| gone())
    }

    async fn send<M>(&self, message: M, delivery: Delivery) -> Result<(), StageGone>
    where
        S: Receive<M, E>,
        M: Send + 'static,
    {
        let (mail, _reply) = Mail::new(message, delivery);
        let sent = self.mail.send(mail).await;
        sent.map_err(|_| StageGone::new(&self.name))
    }

    pub(super) async fn stop(&self) -> End {
        // If nobody hears it, the stage has ended.
        let _ = self.control.send(Control::Stop);
        self.ended.join().await
    }

    pub(super) fn subscribe(&self, output: &Output<I>) -> Result<Subscription, SubscribeError> {
        subscribe(&self.control, output)
    }
}

/// Makes a subscription and gives it to the stage.
pub(super) fn subscribe<I: Send + 'static>(
    control: &mpsc::UnboundedSender<Control<I>>,
    output: &Output<I>,
) -> Result<Subscription, SubscribeError> {
    if control.is_closed() {
        // Not even for a moment is anything asked for.
        return Err(SubscribeError::ConsumerEnded);
    }
    let input = connect(control, output)?;
    let subscription = input.subscription.clone();
    let sent = control.send(Control::Subscribe(input));
    sent.map_err(|_| SubscribeError::ConsumerEnded)?;
    Ok(subscription)
}

/// Makes a subscription for the stage that listens to `control`.
pub(super) fn connect<I: Send + 'static>(
    control: &mpsc::UnboundedSender<Control<I>>,
    output: &Output<I>,
) -> Result<Input<I>, SubscribeError> {
    let joined = output.connect()?;
    let cancels = Arc::new(Canceller(control.clone()));
    let subscription = Subscription::new(joined.id, joined.producer, joined.asks, cancels);
    Ok(Input::new(subscription, joined.inlet, output.cancel))
}

/// Tells the loop of a stage. The stage itself may keep one: that its control channel closes means nothing to it.
struct Canceller<I>(mpsc::UnboundedSender<Control<I>>);

impl<I: Send> Cancels for Canceller<I> {
    fn cancel(&self, id: SubscriptionId, end: End) -> bool {
        self.0.send(Control::Cancel(id, end)).is_ok()
    }
}

impl<E: Send + 'static, D: Dispatch<E>> Sending<E, D> {
    fn output(&self, name: &Arc<str>, seat: D::Options) -> Output<E>
    where
        D: Dispatch<E, Options: Clone + Send + Sync> + Send + 'static,
    {
        Output::new(Arc::new(Connector {
            link: Arc::clone(&self.link),
            seat,
            notices: self.notices.clone(),
            name: Arc::clone(name),
        }))
    }
}

impl<S, I, E> Clone for Common<S, I, E> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            control: self.control.clone(),
            mail: self.mail.clone(),
            counters: Arc::clone(&self.counters),
            ended: self.ended.clone(),
            abort: self.abort.clone(),
        }
    }
}

impl<E, D: Dispatch<E>> Clone for Sending<E, D> {
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
                    .field("name", &self.common.name)
                    .field("end", &self.common.ended)
                    .finish_non_exhaustive()
            }
        }
    };
}

clone_and_debug!(ProducerHandle [P: Producer, D: [P::Event]] { common, sending });
clone_and_debug!(ProducerConsumerHandle [S: ProducerConsumer, D: [S::Out]] { common, sending });
clone_and_debug!(ConsumerHandle [C: Consumer] { common });
