//! [`AnyStage`]: the three kinds of stages behind one interface, which the [`Runner`](super::runner::Runner) calls.

use std::{
    convert::Infallible,
    future::Future,
    task::{Context as Task, Poll},
};

use super::{
    Consumer, Context, End, Producer, ProducerConsumer, Subscription, SubscriptionId, Timer,
};
use crate::error::{BoxError, Callback};

pub(super) type CallbackResult = Result<(), BoxError>;

/// A stage of any kind. Callbacks are named as in the public traits; those that a kind does not have do nothing.
pub(super) trait AnyStage: Send + 'static {
    type In: Send + 'static;
    type Out: Send + 'static;
    /// The user's type, which receives messages.
    type Stage: Send + 'static;
    /// Whether `handle_demand` is called.
    const HANDLES_DEMAND: bool;
    /// Whether the stage ends when nothing can reach it any more.
    const RECEIVES: bool;
    /// Whether the stage takes events only while there is demand for its own.
    const NEEDS_DEMAND: bool;
    /// The callback that a failure of `poll_more` is reported as.
    const POLL_MORE: Callback = Callback::PollMore;

    fn new(stage: Self::Stage) -> Self;
    fn inner(&mut self) -> &mut Self::Stage;

    fn init(&mut self, cx: &mut Context<Self::Out>) -> impl Future<Output = CallbackResult> + Send;
    fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = CallbackResult> + Send;
    fn handle_events(
        &mut self,
        events: &mut Vec<Self::In>,
        from: &Subscription,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = CallbackResult> + Send;
    fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = CallbackResult> + Send;
    fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = CallbackResult> + Send;
    fn consumer_subscribed(
        &mut self,
        consumer: SubscriptionId,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = CallbackResult> + Send;
    fn consumer_cancelled(
        &mut self,
        consumer: SubscriptionId,
        end: &End,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = CallbackResult> + Send;
    fn handle_timer(
        &mut self,
        timer: Timer,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = CallbackResult> + Send;
    fn handle_discarded(
        &mut self,
        discarded: &mut Vec<Self::Out>,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = CallbackResult> + Send;
    fn terminate(&mut self, end: &End) -> impl Future<Output = ()> + Send;

    /// Emits events that came from outside. Polled only while there is demand.
    fn poll_more(&mut self, _: &mut Task<'_>, _: &mut Context<Self::Out>) -> Poll<CallbackResult> {
        Poll::Pending
    }

    /// Drops the user's value. The one that replaces it may need what this one holds, such as a port or a file.
    fn drop_inner(&mut self) {}

    /// Waits for what the stage has begun, after it has left its producers. Returns how the stage ends then.
    fn finish(&mut self, end: End) -> impl Future<Output = End> + Send {
        async { end }
    }
}

/// Callbacks that a kind of stage does not have: they do nothing.
macro_rules! absent {
    ($($name:ident($($arg:ty),*);)*) => {
        $(async fn $name(&mut self, $(_: $arg),*) -> CallbackResult {
            Ok(())
        })*
    };
}

/// Callbacks that call the user's type.
macro_rules! forward {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {
        $(async fn $name(&mut self, $($arg: $ty),*) -> CallbackResult {
            self.inner().$name($($arg),*).await
        })*
    };
}

/// What all kinds have in common.
macro_rules! common {
    ($kind:ident) => {
        type Stage = $kind;

        fn new(stage: $kind) -> Self {
            Self(Some(stage))
        }

        fn inner(&mut self) -> &mut $kind {
            let stage = self.0.as_mut();
            stage.expect("no callback runs between a failure and the restart")
        }

        async fn terminate(&mut self, end: &End) {
            self.inner().terminate(end).await;
        }

        fn drop_inner(&mut self) {
            self.0 = None;
        }
    };
}

pub(super) struct AnyProducer<P>(Option<P>);

impl<P: Producer> AnyStage for AnyProducer<P> {
    type In = Infallible;
    type Out = P::Event;
    const HANDLES_DEMAND: bool = true;
    const RECEIVES: bool = false;
    const NEEDS_DEMAND: bool = true;

    common!(P);

    forward! {
        init(cx: &mut Context<P::Event>);
        handle_demand(demand: usize, cx: &mut Context<P::Event>);
        consumer_subscribed(consumer: SubscriptionId, cx: &mut Context<P::Event>);
        consumer_cancelled(consumer: SubscriptionId, end: &End, cx: &mut Context<P::Event>);
        handle_timer(timer: Timer, cx: &mut Context<P::Event>);
        handle_discarded(discarded: &mut Vec<P::Event>, cx: &mut Context<P::Event>);
    }

    fn poll_more(
        &mut self,
        task: &mut Task<'_>,
        cx: &mut Context<P::Event>,
    ) -> Poll<CallbackResult> {
        self.inner().poll_more(task, cx)
    }

    absent! {
        handle_events(&mut Vec<Infallible>, &Subscription, &mut Context<P::Event>);
        handle_subscribe(&Subscription, &mut Context<P::Event>);
        handle_cancel(&Subscription, &End, &mut Context<P::Event>);
    }
}

pub(super) struct AnyConsumer<C>(Option<C>);

impl<C: Consumer> AnyStage for AnyConsumer<C> {
    type In = C::Event;
    type Out = Infallible;
    const HANDLES_DEMAND: bool = false;
    const RECEIVES: bool = true;
    const NEEDS_DEMAND: bool = false;

    common!(C);

    forward! {
        init(cx: &mut Context<Infallible>);
        handle_events(events: &mut Vec<C::Event>, from: &Subscription, cx: &mut Context<Infallible>);
        handle_subscribe(producer: &Subscription, cx: &mut Context<Infallible>);
        handle_cancel(producer: &Subscription, end: &End, cx: &mut Context<Infallible>);
        handle_timer(timer: Timer, cx: &mut Context<Infallible>);
    }

    absent! {
        handle_demand(usize, &mut Context<Infallible>);
        consumer_subscribed(SubscriptionId, &mut Context<Infallible>);
        consumer_cancelled(SubscriptionId, &End, &mut Context<Infallible>);
        handle_discarded(&mut Vec<Infallible>, &mut Context<Infallible>);
    }
}

pub(super) struct AnyProducerConsumer<S>(Option<S>);

impl<S: ProducerConsumer> AnyStage for AnyProducerConsumer<S> {
    type In = S::In;
    type Out = S::Out;
    const HANDLES_DEMAND: bool = false;
    const RECEIVES: bool = true;
    const NEEDS_DEMAND: bool = true;

    common!(S);

    forward! {
        init(cx: &mut Context<S::Out>);
        handle_events(events: &mut Vec<S::In>, from: &Subscription, cx: &mut Context<S::Out>);
        handle_subscribe(producer: &Subscription, cx: &mut Context<S::Out>);
        handle_cancel(producer: &Subscription, end: &End, cx: &mut Context<S::Out>);
        consumer_subscribed(consumer: SubscriptionId, cx: &mut Context<S::Out>);
        consumer_cancelled(consumer: SubscriptionId, end: &End, cx: &mut Context<S::Out>);
        handle_timer(timer: Timer, cx: &mut Context<S::Out>);
        handle_discarded(discarded: &mut Vec<S::Out>, cx: &mut Context<S::Out>);
    }

    absent! {
        handle_demand(usize, &mut Context<S::Out>);
    }
}
