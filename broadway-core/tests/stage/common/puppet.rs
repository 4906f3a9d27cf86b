//! [`Puppet`]: a stage of any kind that follows its messages, and logs its callbacks.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
use std::convert::Infallible;

use broadway_core::{
    BoxError,
    stage::{
        Consumer, Context, End, Producer, ProducerConsumer, Receive, Subscription, SubscriptionId,
        Timer,
    },
};

use crate::common::Log;

/// How a callback ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Error,
    Panic,
    Stop,
}

/// Emits the events of its messages; in the middle, also those that it receives.
#[derive(Clone)]
pub(crate) struct Puppet {
    log: Log<String>,
    misbehaves: Option<(&'static str, How)>,
}

impl Puppet {
    pub(crate) fn new() -> (Self, Log<String>) {
        let log = Log::new();
        let puppet = Self {
            log: log.clone(),
            misbehaves: None,
        };
        (puppet, log)
    }

    /// Makes it end like this at a callback.
    pub(crate) fn at(self, callback: &'static str, how: How) -> Self {
        Self {
            misbehaves: Some((callback, how)),
            ..self
        }
    }

    fn called<E>(
        &self,
        callback: &str,
        entry: String,
        cx: &mut Context<E>,
    ) -> Result<(), BoxError> {
        self.log.push(entry);
        match self.misbehaves {
            Some((at, how)) if at == callback => end_as(how, cx),
            _ => Ok(()),
        }
    }
}

fn end_as<E>(how: How, cx: &mut Context<E>) -> Result<(), BoxError> {
    match how {
        How::Error => Err("as it was told".into()),
        How::Panic => panic!("as it was told"),
        How::Stop => {
            cx.stop();
            Ok(())
        }
    }
}

/// Emits these events, and replies with the outstanding demand.
pub(crate) struct Emit(pub(crate) Vec<u64>);

/// Is logged, and returned as the reply.
pub(crate) struct Note(pub(crate) &'static str);

/// Starts a timer of one second.
pub(crate) struct StartTimer;

/// Emits the number, and then ends the callback like this.
pub(crate) struct EmitAndEnd(pub(crate) u64, pub(crate) How);

impl Receive<Emit, u64> for Puppet {
    type Reply = usize;

    async fn receive(&mut self, emit: Emit, cx: &mut Context<u64>) -> Result<usize, BoxError> {
        cx.emit_all(emit.0);
        Ok(cx.demand())
    }
}

impl Receive<EmitAndEnd, u64> for Puppet {
    type Reply = ();

    async fn receive(&mut self, told: EmitAndEnd, cx: &mut Context<u64>) -> Result<(), BoxError> {
        cx.emit(told.0);
        end_as(told.1, cx)
    }
}

impl<E: Send + 'static> Receive<Note, E> for Puppet {
    type Reply = &'static str;

    async fn receive(&mut self, note: Note, cx: &mut Context<E>) -> Result<&'static str, BoxError> {
        self.called("receive", format!("note {}", note.0), cx)?;
        Ok(note.0)
    }
}

impl<E: Send + 'static> Receive<StartTimer, E> for Puppet {
    type Reply = Timer;

    async fn receive(&mut self, _: StartTimer, cx: &mut Context<E>) -> Result<Timer, BoxError> {
        Ok(cx.start_timer(std::time::Duration::from_secs(1)))
    }
}

/// Callbacks that several kinds of stages share.
macro_rules! callbacks {
    (all: $event:ty) => {
        async fn init(&mut self, cx: &mut Context<$event>) -> Result<(), BoxError> {
            self.called("init", "init".to_owned(), cx)
        }

        async fn handle_timer(
            &mut self,
            _: Timer,
            cx: &mut Context<$event>,
        ) -> Result<(), BoxError> {
            self.called("handle_timer", "timer".to_owned(), cx)
        }

        async fn terminate(&mut self, end: &End) {
            self.log.push(format!("terminate: {end}"));
            if let Some(("terminate", _)) = self.misbehaves {
                panic!("as it was told");
            }
        }
    };
    (sending: $event:ty) => {
        async fn consumer_subscribed(
            &mut self,
            _: SubscriptionId,
            cx: &mut Context<$event>,
        ) -> Result<(), BoxError> {
            self.called("consumer_subscribed", "consumer subscribed".to_owned(), cx)
        }

        async fn consumer_cancelled(
            &mut self,
            _: SubscriptionId,
            end: &End,
            cx: &mut Context<$event>,
        ) -> Result<(), BoxError> {
            self.called(
                "consumer_cancelled",
                format!("consumer cancelled: {end}"),
                cx,
            )
        }

        async fn handle_discarded(
            &mut self,
            discarded: &mut Vec<u64>,
            cx: &mut Context<$event>,
        ) -> Result<(), BoxError> {
            let entry = format!("discarded {discarded:?} at a demand of {}", cx.demand());
            self.called("handle_discarded", entry, cx)
        }
    };
    (receiving: $event:ty) => {
        async fn handle_subscribe(
            &mut self,
            producer: &Subscription,
            cx: &mut Context<$event>,
        ) -> Result<(), BoxError> {
            let entry = format!("subscribed to {}", producer.producer());
            self.called("handle_subscribe", entry, cx)
        }

        async fn handle_cancel(
            &mut self,
            producer: &Subscription,
            end: &End,
            cx: &mut Context<$event>,
        ) -> Result<(), BoxError> {
            let entry = format!("cancelled {}: {end}", producer.producer());
            self.called("handle_cancel", entry, cx)
        }
    };
}

impl Producer for Puppet {
    type Event = u64;

    async fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.called("handle_demand", format!("demand {demand}"), cx)
    }

    callbacks!(all: u64);
    callbacks!(sending: u64);
}

impl ProducerConsumer for Puppet {
    type In = u64;
    type Out = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        cx.emit_all(events.iter().copied());
        self.called("handle_events", format!("events {events:?}"), cx)
    }

    callbacks!(all: u64);
    callbacks!(sending: u64);
    callbacks!(receiving: u64);
}

impl Consumer for Puppet {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.called("handle_events", format!("events {events:?}"), cx)
    }

    callbacks!(all: Infallible);
    callbacks!(receiving: Infallible);
}
