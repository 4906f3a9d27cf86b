//! Amazon SQS for broadway: a source that reads a queue, and a publisher that sends to one.
//!
//! [`Sqs`] is the source and its options; its items are [`SqsRecord`]s. [`SqsPublisher`] sends messages.
//!
//! # Guarantees
//!
//! - **At least once.** A message is deleted after its last callback has succeeded, and never before. A failed message is left: SQS
//!   delivers it again, and its redrive policy counts the deliveries.
//! - **Slow handlers keep their messages.** While a message is unsettled, its visibility is extended at half of its timeout, for up
//!   to [`lease_max`](Sqs::lease_max) (12 hours, which is also the limit of SQS). After that it is given up: no handler starts on it,
//!   and a late result is ignored.
//! - **Order in message groups** of a FIFO queue: no message is deleted before an earlier one of its group that is unsettled or
//!   failed.
//! - **Back-pressure.** Messages are polled on demand only, with at most [`receives_max`](Sqs::receives_max) concurrent polls, each for no
//!   more than the demand that is not yet requested.
//! - **A drain returns the rest.** Messages that were received and not handled are visible to other consumers at once.
//!
//! # Data flow
//!
//! ```text
//!             polls (a task each) ── records ──▶ buffer ── produce ──▶ engine
//!               ▲                      │                                 │ settle
//!               │              leases, groups ◀──────────────────────────┘
//!  SQS ─────────┤                      │ due extensions, pending acks
//!               ▼                      ▼
//!            ack task ◀── ack queue: deletes and visibility changes in tens
//! ```
//!
//! Polls and the ack task run on a thread of the connector's own, so a handler that blocks its thread loses no message. `leases`,
//! `groups`, `ack_queue` and `poll_limit` are pure values; `shared` holds them under one lock. `poll` and `ack_task` are the only
//! tasks. Polls and acknowledgements have connections and limits of their own, so that a long poll never holds up a delete.
//!
//! Credentials come from the SDK's chain: environment, profile, web identity, container, instance. For SSO or a credential process,
//! depend on `aws-config` with these features yourself, or provide a client with [`Sqs::client`].

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

mod ack;
mod ack_queue;
mod ack_task;
mod config;
mod connect;
mod error;
mod groups;
mod lag;
mod leases;
mod options;
mod poll;
mod poll_limit;
mod publisher;
mod queue_attributes;
mod queue_url;
mod record;
mod shared;
mod source;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod unsettled;

pub use ack::SqsAcknowledger;
pub use broadway_core::ConfigError;
pub use config::Sqs;
pub use leases::Token;
pub use options::{AckOptions, OnFailure, OnSuccess};
pub use publisher::{SqsPublisher, SqsPublisherBuilder};
pub use record::{Attribute, SqsRecord};
pub use source::SqsProducer;
