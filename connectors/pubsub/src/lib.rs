//! Google Cloud Pub/Sub for broadway: a source that reads a subscription, and a publisher to a topic.
//!
//! [`PubSub`] is the source and its options; its items are [`PubSubRecord`]s. [`PubSubPublisher`] publishes messages.
//!
//! # Guarantees
//!
//! - **At least once.** A message is acknowledged after its last callback has succeeded, and never before. After a crash, messages in
//!   flight are delivered again when their leases expire, at the latest after
//!   [`lease_extension_max`](PubSub::lease_extension_max): up to [`outstanding_messages_max`](PubSub::outstanding_messages_max), and
//!   those acknowledged in the last tenth of a second.
//! - **Exactly-once subscriptions.** Only a confirmed acknowledgement counts. Those that are not confirmed are reported as
//!   [`Event::AckFailed`](broadway_core::telemetry::Event::AckFailed).
//! - **Slow handlers keep their messages**: leases are extended as long as a message is unsettled, up to
//!   [`lease_max`](PubSub::lease_max).
//! - **Back-pressure.** Each producer holds at most [`outstanding_messages_max`](PubSub::outstanding_messages_max) and
//!   [`outstanding_bytes_max`](PubSub::outstanding_bytes_max), waiting messages included.
//! - **A failed message is not lost, and is not retried in a tight loop**: by default it is nacked 10 seconds later; see [`OnFailure`].
//! - **A stop in time loses and repeats nothing**: messages that no handler started on are nacked, and acknowledgements arrive before
//!   [`close`](broadway_core::SourceProducer::close) returns. A leaked message does not hold it up.
//!
//! # Data flow
//!
//! ```text
//! service ══ stream ══▶ reader's task ─ receive ─▶ unsettled ── produce ──▶ engine
//!    ▲                                               │  ▲                     │
//!    └── client: leases, acks ◀── handlers ──────────┘  └────── settle ◀──────┘
//! ```
//!
//! Everything but `produce` and `settle` runs on a thread of the producer's own, so a handler that blocks its thread holds up no
//! lease.
//!
//! `source` is what the engine holds; `unsettled` has every message with the client's handler; `stream` reads; `timers` nacks delayed
//! messages; `confirm` waits for the confirmations of exactly-once delivery; `liveness` notices a dead connection; `health_check` asks
//! whether the service answers; `connect` opens. The client is Google's own, and needs a C compiler to build.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

mod ack;
mod config;
mod confirm;
mod connect;
mod dead_letters;
mod endpoint;
mod error;
mod health_check;
mod lag;
mod liveness;
mod options;
mod publisher;
mod record;
mod resource_name;
mod source;
mod stream;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod timers;
mod unsettled;

pub use ack::PubSubAcknowledger;
pub use broadway_core::ConfigError;
pub use config::PubSub;
pub use options::{AckOptions, NewSubscription, OnFailure, OnSuccess};
pub use publisher::{PubSubPublisher, PubSubPublisherBuilder};
pub use record::PubSubRecord;
pub use source::PubSubProducer;
pub use unsettled::Token;
