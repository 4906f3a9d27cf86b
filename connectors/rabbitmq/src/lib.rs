//! RabbitMQ for broadway: a source that reads a queue or a stream, and a publisher.
//!
//! [`RabbitMq`] is the source and its options; its items are [`RabbitMqRecord`]s. [`RabbitMqPublisher`] sends.
//!
//! # What it promises
//!
//! - **At least once.** A message is acknowledged when its last callback has succeeded, and never before. What fails goes back to
//!   its queue after a pause, unless you choose otherwise.
//! - **A tag never leaves its channel.** When a channel is lost its messages come again; nobody begins the old ones any more, and a
//!   late result of one is ignored.
//! - **One frame for many.** Messages that succeeded without a gap are acknowledged together. A slow one holds the others up for
//!   50 ms at most, and never fills the window.
//! - **Back-pressure.** The broker sends at most [`prefetch`](RabbitMq::prefetch) messages beyond what is settled.
//! - **One message costs only itself.** What the client cannot read, or the broker does not take, stops or fails alone.
//! - **Connections live on a thread of their own**, one for all of a process. A handler that blocks does not lose them.
//! - **It comes back.** A lost connection, a closed channel, a cancelled consumer is opened again, with pauses that double from 0.1 s to 30 s.
//! - **A drain gives the rest back.** What was fetched and not handled is in the queue again at once.
//!
//! # How the parts move
//!
//! ```text
//!  RabbitMQ ── deliveries ──▶ consumer ── produce ──▶ engine
//!      ▲                                                │ settle
//!      └── acks, nacks ◀── ledger (one per channel) ◀───┘
//!                            ▲
//!                          keeper's task: what is due and nobody settles
//! ```
//!
//! `ledger` is a value that decides and never waits; `shared` holds it under one lock, with the channel that is in use and its generation.
//! `connection` and `connect` open a line: connection, channel, consumer; `open` reads it, and `source` replaces a lost one. `wire` stands
//! between the socket and the client. `values`, `properties` and `headers` are what a message has beside its payload.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

mod ack;
mod arguments;
mod config;
mod connect;
mod consume;
mod consumer_timeout;
mod declare;
mod delivery_reader;
mod error;
mod field_values;
mod headers;
mod lag;
mod names;
mod options;
mod properties;
mod publisher;
mod queue_depth;
mod reconnect;
mod record;
mod setup;
mod shared;
mod socket_guard;
mod source;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod unsettled;
mod wire;

pub use ack::RabbitMqAcknowledger;
pub use arguments::Argument;
pub use broadway_core::ConfigError;
pub use config::RabbitMq;
pub use declare::{Declare, StreamOffset};
pub use options::{AckOptions, OnFailure, OnSuccess, OnUnreadable};
pub use publisher::{RabbitMqPublisher, RabbitMqPublisherBuilder};
pub use record::RabbitMqRecord;
pub use setup::Setup;
pub use source::RabbitMqProducer;
pub use unsettled::Token;
