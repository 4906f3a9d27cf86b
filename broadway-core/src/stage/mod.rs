//! Stages: producers, producer-consumers and consumers, linked by demand. What GenStage is for Elixir.
//!
//! ```text
//!             demand ▲                       demand ▲
//!                    │                              │
//!   Producer ════════════► ProducerConsumer ═══════════► Consumer      events, one way down
//!   handle_demand          handle_events                 handle_events
//! ```
//!
//! Use a [`Pipeline`](crate::Pipeline) for messages that must be acknowledged, batched, or kept in order by key. Use stages for
//! everything a pipeline does not cover: sources with a rhythm of their own, one producer for several kinds of consumers, wiring that
//! changes at run time. Both are built on the same links and the same loop.
//!
//! | to | use |
//! |---|---|
//! | produce events | [`Producer`], or [`from_iter`], [`from_stream`], [`from_receiver`] |
//! | transform events | [`ProducerConsumer`], or [`map`](map()) and [`flat_map`] |
//! | consume events | [`Consumer`], or [`for_each`](for_each()), [`into_sender`], [`Output::stream`] |
//! | run a task for each event | [`task_per_event`](task_per_event()) |
//! | scale the number of equal consumers with the work | [`pool`](pool()) |
//! | decide which consumer gets which event | [`ProducerBuilder::dispatcher`], [`dispatch`] |
//! | acknowledge an event once all its consumers are done | [`Shared`] |
//! | set how much is demanded, and what the end of a producer means | [`Output`], [`Cancel`] |
//! | subscribe, cancel and demand at run time | [`ConsumerHandle::subscribe`], [`Subscription`] |
//! | send a stage a message | [`Receive`] |
//! | limit events that were emitted without demand | [`Buffer`] |
//! | restart after failures | [`ProducerBuilder::restart`] |
//! | observe a stage | [`ProducerBuilder::observe`], [`StageEvent`](crate::telemetry::StageEvent) |
//!
//! The guide "Writing stages" (`docs/writing-stages.md`) builds several stages and lists all limits.
//!
//! # Guarantees
//!
//! - A producer is asked for what its consumers demand, and never for more.
//! - Every emitted event reaches its consumer once, and in the order of emission within a subscription, also while consumers come and
//!   go and stages are restarted. The exceptions are options: a [`Buffer`] that discards, a dispatcher's function that drops an event,
//!   the copies of a broadcast for a consumer that cancelled. A failure loses the current chunk only, and counts it.
//! - A consumer holds, and has waiting, at most `max_demand` events of each subscription.
//! - The end of a producer arrives behind its last event.
//! - Stages that nothing can reach any more end.

// A builder collects `options`, and `launch` starts the stage. `any_stage` makes one interface of the three kinds of stages, which the
// `runner`, the loop of each stage, calls. Events arrive by an `input` and leave by a `stage_output`; messages come through the
// `mailbox`. An `output` makes subscriptions to a stage, whatever its dispatcher.
mod any_stage;
mod buffer;
mod builder;
mod consumer;
mod context;
pub mod dispatch;
mod exit_notifier;
mod for_each;
mod from;
mod handle;
mod input;
mod launch;
mod mailbox;
mod map;
mod notice;
mod options;
mod output;
mod pool;
mod producer;
mod producer_consumer;
mod receive;
mod runner;
mod share;
mod shared;
mod stage_output;
mod stats;
mod stream;
mod subscription;
mod task_per_event;
mod timers;

pub use crate::{
    end::{End, Failure},
    machine::pool::InvalidPool,
    task_id::TaskId,
};
pub use buffer::Buffer;
pub use builder::{
    ConsumerBuilder, ProducerBuilder, ProducerConsumerBuilder, consumer, producer,
    producer_consumer,
};
pub use consumer::Consumer;
pub use context::Context;
pub use for_each::{ForEach, IntoSender, for_each, into_sender};
pub use from::{FromIter, FromReceiver, FromStream, from_iter, from_receiver, from_stream};
pub use handle::{ConsumerHandle, ProducerConsumerHandle, ProducerHandle};
pub use mailbox::Closed;
pub use map::{FlatMap, Map, flat_map, map};
pub use output::{DefaultSubscription, Output, SubscribeError};
pub use pool::{PoolBuilder, PoolHandle, pool};
pub use producer::Producer;
pub use producer_consumer::ProducerConsumer;
pub use receive::Receive;
pub use shared::Shared;
pub use stats::StageStats;
pub use stream::EventStream;
pub use subscription::{Cancel, Subscription, SubscriptionId};
pub use task_per_event::{
    Shutdown, TaskCounts, TaskPerEventBuilder, TaskPerEventHandle, TooManyRestarts, task_per_event,
};
pub use timers::Timer;
