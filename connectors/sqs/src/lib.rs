//! Amazon SQS for broadway: a source that reads a queue, and a publisher that sends to one.
//!
//! [`Sqs`] is the source and its options; its items are [`SqsRecord`]s. [`SqsPublisher`] sends.
//!
//! # What it promises
//!
//! - **At least once.** A message is deleted when its last callback has succeeded, and never before. What fails is left: SQS
//!   delivers it again, and its redrive policy counts.
//! - **A slow handler keeps its message.** While a message is here, waiting or in work, its visibility is extended at
//!   half of its time-out, for up to [`hold_max`](Sqs::hold_max) (12 hours, which is also the limit of SQS). After that it
//!   is given up: nobody begins it any more, and a late result is ignored.
//! - **Order per message group** of a FIFO queue: nothing of a group is deleted past one that is unfinished or failed.
//! - **Back-pressure.** Messages are fetched for demand only. At most [`receives_max`](Sqs::receives_max) requests wait at
//!   the queue, each for no more than what is asked for and not yet on its way.
//! - **A drain gives the rest back.** What was fetched and not handled is visible to others at once.
//!
//! # How the parts move
//!
//! ```text
//!             polls (a task each) ── records ──▶ buffer ── produce ──▶ engine
//!               ▲                      │                                 │ settle
//!               │              leases, groups ◀──────────────────────────┘
//!  SQS ─────────┤                      │ what is due, what has ended
//!               ▼                      ▼
//!             keeper's task ◀── outbox: deletes and visibilities in tens
//! ```
//!
//! Polls and keeper run on a thread of the connector's own, so that a handler which blocks its thread loses no message.
//! `leases`, `groups`, `outbox` and `pace` are values that decide and never wait; `state` has them all, and `shared` holds it
//! under one lock; `poll` and `keeper` are the only tasks. Polls and acknowledgements have connections and limits of their own, so that
//! long polls never hold up a delete.
//!
//! Credentials come from the SDK's chain: environment, profile, web identity, container, instance. For SSO or a credential process,
//! depend on `aws-config` with those features yourself, or give a client with [`Sqs::client`].

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

mod ack;
mod address;
#[doc(hidden)]
pub mod bare;
mod config;
mod connect;
mod groups;
mod keeper;
mod lag;
mod leases;
mod ledger;
mod options;
mod outbox;
mod pace;
mod poll;
mod publisher;
mod record;
mod runtime;
mod shared;
mod source;
mod state;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod trouble;

pub use ack::SqsAcknowledger;
pub use broadway_core::ConfigError;
pub use config::Sqs;
pub use leases::Token;
pub use options::{AckOptions, OnFailure, OnSuccess};
pub use publisher::{SqsPublisher, SqsPublisherBuilder};
pub use record::{Attribute, SqsRecord};
pub use source::SqsProducer;
