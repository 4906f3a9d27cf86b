//! RabbitMQ for broadway: a source that reads a queue or a stream, and a publisher.
//!
//! [`RabbitMq`] is the source with its options, and delivers [`RabbitMqRecord`]s. [`RabbitMqPublisher`] publishes.
//!
//! # Guarantees
//!
//! - **At least once.** A message is acknowledged when its last callback has succeeded, and never before. A failed message goes back to
//!   its queue after a pause, unless you choose otherwise.
//! - **A delivery tag never leaves its channel.** When a channel is lost the broker delivers its messages again. Those that no handler has
//!   begun are released, and late outcomes are ignored.
//! - **One frame acknowledges many messages** that succeeded without a gap. A slow message delays the acknowledgement of others by at most
//!   50 ms, and never fills the prefetch window.
//! - **Back-pressure.** The broker sends at most [`prefetch`](RabbitMq::prefetch) messages beyond those that are settled.
//! - **One bad message affects only itself.** The messages around one that the client cannot read, or that the broker does not accept,
//!   are delivered or published as usual.
//! - **Connections have a thread of their own**, one for the process. A handler that blocks its thread does not lose them.
//! - **Recovery.** A lost connection, a closed channel and a cancelled consumer are opened again, with pauses that double from 0.1 s to 30 s.
//! - **A drain returns the rest.** Messages that were fetched and not handled are in the queue again at once.
//!
//! # How the parts work together
//!
//! ```text
//!  RabbitMQ ── deliveries ──▶ consumer ── produce ──▶ engine
//!      ▲                                                │ settle
//!      └── acks, nacks ◀── unsettled (per channel) ◀────┘
//!                              ▲
//!                          ack task: frames that become due
//! ```
//!
//! `connect` opens a connection and `consume` a consumer on it; `delivery_reader` reads the consumer, and `source` replaces it when it is
//! lost, with the pauses of `reconnect`. `unsettled` is a value that decides which frames to send, and never waits; `shared` holds it under
//! one lock, with the channel in use and its generation. `wire` stands between the socket and the client. `field_values`, `properties` and
//! `headers` convert what a message has beside its payload.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

mod ack;
mod ack_task;
mod applied;
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
