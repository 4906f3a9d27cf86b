//! Stages: producers, producer-consumers and consumers, linked by demand. What GenStage is for Elixir.
//!
//! ```text
//!              demand ▲                     demand ▲
//!   Producer ═════════╪══► ProducerConsumer ═══════╪══► Consumer        events, one way down
//!   handle_demand     │    handle_events           │    handle_events
//! ```
//!
//! Use stages to write sources, transformations and sinks of one's own, wired by hand, also at run time. Use a
//! [`Pipeline`](crate::Pipeline) where messages have to be acknowledged, batched and kept in order: it is built of the same
//! links and loops.

mod body;
mod builder;
mod consumer;
mod context;
pub(crate) mod control;
mod emission;
pub(crate) mod end;
mod for_each;
mod from;
mod handle;
mod input;
pub(crate) mod link;
#[cfg(test)]
mod link_waking;
mod mail;
mod map;
mod output;
mod producer;
mod producer_consumer;
mod receive;
pub(crate) mod run;
mod runner;
pub(crate) mod signal;
mod stats;
mod stream;
mod subscription;
pub(crate) mod supervise;
pub(crate) mod timer;
mod timers;

pub use builder::{
    ConsumerBuilder, ProducerBuilder, ProducerConsumerBuilder, consumer, producer,
    producer_consumer,
};
pub use consumer::Consumer;
pub use context::{Context, Nothing, Timer};
pub use emission::Buffer;
pub use end::{End, Failure};
pub use for_each::{ForEach, IntoSender, for_each, into_sender};
pub use from::{FromIter, FromReceiver, FromStream, from_iter, from_receiver, from_stream};
pub use handle::{ConsumerHandle, ProducerConsumerHandle, ProducerHandle};
pub use mail::StageGone;
pub use map::{FlatMap, Map, flat_map, map};
pub use output::{Output, PlainSeat, SubscribeError};
pub use producer::Producer;
pub use producer_consumer::ProducerConsumer;
pub use receive::Receive;
pub use stats::StageStats;
pub use stream::EventStream;
pub use subscription::{Cancel, Subscription, SubscriptionId};
