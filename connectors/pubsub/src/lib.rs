//! Google Cloud Pub/Sub for broadway: a source that reads a subscription, and a publisher.
//!
//! [`PubSub`] is the source and its options; its items are [`PubSubRecord`]s. [`PubSubPublisher`] publishes to a topic.
//!
//! # What it promises
//!
//! - **At least once.** A message is acknowledged when its last callback has succeeded, and not before. What is in flight at a
//!   crash comes again when its lease has run out, after [`max_lease_extension`](PubSub::max_lease_extension) at most: up to
//!   [`max_outstanding_messages`](PubSub::max_outstanding_messages), and what was acknowledged in the last tenth of a second.
//! - **Exactly-once subscriptions** are taken at their word: only a confirmed acknowledgement counts. One that is not confirmed is
//!   told as [`Event::AckFailed`](broadway_core::telemetry::Event::AckFailed).
//! - **Slow handlers keep their messages**: leases are extended as long as a message is held, up to
//!   [`max_lease`](PubSub::max_lease).
//! - **Back-pressure.** Each producer holds no more than
//!   [`max_outstanding_messages`](PubSub::max_outstanding_messages) and
//!   [`max_outstanding_bytes`](PubSub::max_outstanding_bytes), waiting ones included.
//! - **A failed message neither spins nor is lost**: by default it comes again 10 seconds later; see [`OnFailure`].
//! - **A stop loses and repeats nothing** that ends in time: what was fetched and not begun is given back, acknowledgements
//!   arrive before [`close`](broadway_core::SourceProducer::close) returns. A leaked message does not hold it up.
//!
//! # How the parts move
//!
//! ```text
//! service ══ stream ══▶ reader's task ── arrive ──▶ held ── produce ──▶ engine
//!    ▲                                              │  ▲                   │
//!    └── client: leases, acks ◀── handlers ─────────┘  └───── settle ◀─────┘
//! ```
//!
//! All of it but `produce` and `settle` runs on a thread of the producer's own: a handler that blocks its thread holds up no
//! lease.
//!
//! `source` is what the engine holds, `held` every message with the handler that says its last word, `stream` the reader,
//! `minder` what happens at its time, `confirm` the confirmations of exactly-once delivery, `pulse` the signs of a dead
//! connection, `probe` the question whether the service is there, `connect` the first steps. The client is Google's own, and
//! needs a C compiler to build.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

mod ack;
#[doc(hidden)]
pub mod bare;
mod config;
mod confirm;
mod connect;
mod given;
mod held;
mod lag;
mod minder;
mod names;
mod options;
mod probe;
mod publisher;
mod pulse;
mod record;
mod source;
mod stream;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;

pub use ack::{PubSubAcknowledger, Token};
pub use broadway_core::ConfigError;
pub use config::{Create, PubSub};
pub use options::{AckOptions, OnFailure, OnSuccess};
pub use publisher::{PubSubPublisher, PubSubPublisherBuilder};
pub use record::PubSubRecord;
pub use source::PubSubProducer;
