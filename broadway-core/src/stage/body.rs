//! The three kinds of stages, as one: what a [`Runner`](super::runner::Runner) calls.

use std::{
    future::Future,
    task::{Context as Task, Poll},
};

use super::{
    Consumer, Context, End, Nothing, Producer, ProducerConsumer, Subscription, SubscriptionId,
    Timer,
};
use crate::error::{BoxError, Callback};

type Called = Result<(), BoxError>;

/// A stage of any kind.
pub(super) trait Body: Send + 'static {
    type In: Send + 'static;
    type Out: Send + 'static;
    /// The user's type, which mail is for.
    type Stage: Send + 'static;
    /// Whether it is told of demand.
    const ASKED: bool;
    /// Whether it lives on what it receives.
    const RECEIVES: bool;
    /// Whether it takes events only when some are asked of it.
    const GATED: bool;
    /// What `poll_more` is called where it fails.
    const MORE: Callback = Callback::PollMore;

    fn new(stage: Self::Stage) -> Self;
    fn stage(&mut self) -> &mut Self::Stage;

    fn init(&mut self, cx: &mut Context<Self::Out>) -> impl Future<Output = Called> + Send;
    fn demanded(
        &mut self,
        demand: usize,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Called> + Send;
    fn events(
        &mut self,
        events: &mut Vec<Self::In>,
        from: &Subscription,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Called> + Send;
    fn subscribed(
        &mut self,
        producer: &Subscription,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Called> + Send;
    fn cancelled(
        &mut self,
        producer: &Subscription,
        end: &End,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Called> + Send;
    fn consumer_subscribed(
        &mut self,
        consumer: SubscriptionId,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Called> + Send;
    fn consumer_cancelled(
        &mut self,
        consumer: SubscriptionId,
        end: &End,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Called> + Send;
    fn timer(
        &mut self,
        timer: Timer,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Called> + Send;
    fn discarded(
        &mut self,
        discarded: &mut Vec<Self::Out>,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Called> + Send;
    fn terminate(&mut self, end: &End) -> impl Future<Output = ()> + Send;

    /// Emits what has come by itself. Polled only while something is asked for.
    fn poll_more(&mut self, _: &mut Task<'_>, _: &mut Context<Self::Out>) -> Poll<Called> {
        Poll::Pending
    }

    /// Drops the user's value: another is made soon, and may need what this one has, a port or a file.
    fn discard(&mut self) {}

    /// The stage has left its producers: waits for what it began, and tells how it ends then.
    fn conclude(&mut self, end: End) -> impl Future<Output = End> + Send {
        async { end }
    }
}

/// Nothing happens: for callbacks that a kind of stage does not have.
macro_rules! never {
    ($($name:ident($($arg:ty),*);)*) => {
        $(async fn $name(&mut self, $(_: $arg),*) -> Called {
            Ok(())
        })*
    };
}

/// Calls the method of the user's type.
macro_rules! forward {
    ($($name:ident => $method:ident($($arg:ident: $ty:ty),*);)*) => {
        $(async fn $name(&mut self, $($arg: $ty),*) -> Called {
            self.stage().$method($($arg),*).await
        })*
    };
}

/// What all kinds have alike.
macro_rules! common {
    ($kind:ident) => {
        type Stage = $kind;

        fn new(stage: $kind) -> Self {
            Self(Some(stage))
        }

        fn stage(&mut self) -> &mut $kind {
            let stage = self.0.as_mut();
            stage.expect("nothing is called between a failure and the restart")
        }

        async fn terminate(&mut self, end: &End) {
            self.stage().terminate(end).await;
        }

        fn discard(&mut self) {
            self.0 = None;
        }
    };
}

pub(super) struct Producing<P>(Option<P>);

impl<P: Producer> Body for Producing<P> {
    type In = Nothing;
    type Out = P::Event;
    const ASKED: bool = true;
    const RECEIVES: bool = false;
    const GATED: bool = true;

    common!(P);

    forward! {
        init => init(cx: &mut Context<P::Event>);
        demanded => handle_demand(demand: usize, cx: &mut Context<P::Event>);
        consumer_subscribed => consumer_subscribed(consumer: SubscriptionId, cx: &mut Context<P::Event>);
        consumer_cancelled => consumer_cancelled(consumer: SubscriptionId, end: &End, cx: &mut Context<P::Event>);
        timer => handle_timer(timer: Timer, cx: &mut Context<P::Event>);
        discarded => handle_discarded(discarded: &mut Vec<P::Event>, cx: &mut Context<P::Event>);
    }

    fn poll_more(&mut self, task: &mut Task<'_>, cx: &mut Context<P::Event>) -> Poll<Called> {
        self.stage().poll_more(task, cx)
    }

    never! {
        events(&mut Vec<Nothing>, &Subscription, &mut Context<P::Event>);
        subscribed(&Subscription, &mut Context<P::Event>);
        cancelled(&Subscription, &End, &mut Context<P::Event>);
    }
}

pub(super) struct Consuming<C>(Option<C>);

impl<C: Consumer> Body for Consuming<C> {
    type In = C::Event;
    type Out = Nothing;
    const ASKED: bool = false;
    const RECEIVES: bool = true;
    const GATED: bool = false;

    common!(C);

    forward! {
        init => init(cx: &mut Context<Nothing>);
        events => handle_events(events: &mut Vec<C::Event>, from: &Subscription, cx: &mut Context<Nothing>);
        subscribed => handle_subscribe(producer: &Subscription, cx: &mut Context<Nothing>);
        cancelled => handle_cancel(producer: &Subscription, end: &End, cx: &mut Context<Nothing>);
        timer => handle_timer(timer: Timer, cx: &mut Context<Nothing>);
    }

    never! {
        demanded(usize, &mut Context<Nothing>);
        consumer_subscribed(SubscriptionId, &mut Context<Nothing>);
        consumer_cancelled(SubscriptionId, &End, &mut Context<Nothing>);
        discarded(&mut Vec<Nothing>, &mut Context<Nothing>);
    }
}

pub(super) struct Both<S>(Option<S>);

impl<S: ProducerConsumer> Body for Both<S> {
    type In = S::In;
    type Out = S::Out;
    const ASKED: bool = false;
    const RECEIVES: bool = true;
    const GATED: bool = true;

    common!(S);

    forward! {
        init => init(cx: &mut Context<S::Out>);
        events => handle_events(events: &mut Vec<S::In>, from: &Subscription, cx: &mut Context<S::Out>);
        subscribed => handle_subscribe(producer: &Subscription, cx: &mut Context<S::Out>);
        cancelled => handle_cancel(producer: &Subscription, end: &End, cx: &mut Context<S::Out>);
        consumer_subscribed => consumer_subscribed(consumer: SubscriptionId, cx: &mut Context<S::Out>);
        consumer_cancelled => consumer_cancelled(consumer: SubscriptionId, end: &End, cx: &mut Context<S::Out>);
        timer => handle_timer(timer: Timer, cx: &mut Context<S::Out>);
        discarded => handle_discarded(discarded: &mut Vec<S::Out>, cx: &mut Context<S::Out>);
    }

    never! {
        demanded(usize, &mut Context<S::Out>);
    }
}
