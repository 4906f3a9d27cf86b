//! Stages: producers, producer-consumers and consumers, linked by demand. What GenStage is for Elixir.
//!
//! ```text
//!             demand ▲                       demand ▲
//!                    │                              │
//!   Producer ════════════► ProducerConsumer ═══════════► Consumer      events, one way down
//!   handle_demand          handle_events                 handle_events
//! ```
//!
//! A [`Pipeline`](crate::Pipeline) is what you want for messages that have to be acknowledged, batched, or kept in order by key.
//! Stages are for what a pipeline is not: sources with a rhythm of their own, one producer for many kinds of consumers, wiring
//! that changes while it runs. Both stand on the same links and the same loop.
//!
//! | you want to | look at |
//! |---|---|
//! | make events | [`Producer`], or [`from_iter`], [`from_stream`], [`from_receiver`] |
//! | change events | [`ProducerConsumer`], or [`map`](map()) and [`flat_map`] |
//! | end events | [`Consumer`], or [`for_each`](for_each()), [`into_sender`], [`Output::stream`] |
//! | run a task for each event | [`task_per_event`](task_per_event()) |
//! | have as many equal consumers as there is work for | [`pool`](pool()) |
//! | say who gets which event | [`ProducerBuilder::dispatcher`], [`dispatch`] |
//! | acknowledge an event when all who got it are done | [`Shared`] |
//! | say how much is demanded, and what the end of a producer means | [`Output`], [`Cancel`] |
//! | subscribe, cancel, ask at run time | [`ConsumerHandle::subscribe`], [`Subscription`] |
//! | send a stage a message | [`Receive`] |
//! | say what happens to events that nobody asked for | [`Buffer`] |
//! | survive failures | [`ProducerBuilder::restart`] |
//! | hear what happens | [`ProducerBuilder::observe`], [`StageEvent`](crate::telemetry::StageEvent) |
//!
//! The guide "Writing stages" (`docs/writing-stages.md`) builds some, and has all limits.
//!
//! # What is promised
//!
//! - A producer is asked for what its consumers demand, and never for more.
//! - Every event that is emitted reaches who it is for, once, and in the order of emission within a subscription, also while
//!   consumers come and go and stages are restarted. The exceptions are chosen: a [`Buffer`] that discards, a dispatcher's function
//!   that wants nobody to have it, the copies of a broadcast for a consumer that cancelled. What is lost in a failure is the chunk
//!   in hand, and it is counted.
//! - A consumer holds, and has waiting, at most `max_demand` events of each subscription.
//! - The end of a producer comes behind its last event.
//! - Stages that nobody can reach any more end.

mod body;
mod builder;
mod consumer;
mod context;
pub mod dispatch;
mod emission;
mod farewell;
mod for_each;
mod from;
mod handle;
mod input;
mod mail;
mod map;
mod output;
mod pool;
mod producer;
mod producer_consumer;
mod receive;
mod runner;
mod share;
mod shared;
mod stats;
mod stream;
mod subscription;
mod task_per_event;
mod tell;
mod timers;

pub use crate::{
    end::{End, Failure},
    machine::pool::InvalidPool,
};
pub use builder::{
    ConsumerBuilder, ProducerBuilder, ProducerConsumerBuilder, consumer, producer,
    producer_consumer,
};
pub use consumer::Consumer;
pub use context::{Context, Nothing, Timer};
pub use emission::Buffer;
pub use for_each::{ForEach, IntoSender, for_each, into_sender};
pub use from::{FromIter, FromReceiver, FromStream, from_iter, from_receiver, from_stream};
pub use handle::{ConsumerHandle, ProducerConsumerHandle, ProducerHandle};
pub use mail::StageGone;
pub use map::{FlatMap, Map, flat_map, map};
pub use output::{Output, PlainSeat, SubscribeError};
pub use pool::{PoolBuilder, PoolHandle, pool};
pub use producer::Producer;
pub use producer_consumer::ProducerConsumer;
pub use receive::Receive;
pub use shared::Shared;
pub use stats::StageStats;
pub use stream::EventStream;
pub use subscription::{Cancel, Subscription, SubscriptionId};
pub use task_per_event::{
    Shutdown, TaskCounts, TaskId, TaskPerEventBuilder, TaskPerEventHandle, TooManyRestarts,
    task_per_event,
};
