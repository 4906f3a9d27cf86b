//! Kafka for broadway: a source that reads topics as a member of a consumer group, and a publisher.
//!
//! [`Kafka`] is the source and its options; its items are [`KafkaRecord`]s, read in place. [`KafkaPublisher`] sends.
//!
//! # What it promises
//!
//! - **At least once.** An offset is committed only when its message and all before it in the partition are settled. Nothing
//!   is ever committed past a message that is unfinished or failed, unless [`OnFailure::Skip`] says so.
//! - **Order per partition** of delivery. The order of handling is that of the pipeline's `partition_by`.
//! - **Rebalances repeat nothing** where messages in flight end within [`revoke_timeout`](Kafka::revoke_timeout). After
//!   a crash, what ended since the last commit comes again: at most
//!   [`uncommitted_max`](Kafka::uncommitted_max) messages a partition, usually one
//!   [`commit_interval`](Kafka::commit_interval)'s worth.
//! - **Back-pressure.** Messages are taken from the client only on demand; it prefetches up to
//!   [`prefetch_bytes_max`](Kafka::prefetch_bytes_max) (128 MiB) of all partitions together and then stops fetching. A slow pipeline stays a
//!   member of its group: a thread of its own answers the group. So `max.poll.interval.ms` says nothing about handlers;
//!   watch [`Event::Lag`](broadway_core::telemetry::Event::Lag).
//! - **Failures are loud.** A failed message halts its partition, and only that; see [`OnFailure`].
//! - **Confirmed publishing.** The publisher says of each message whether all in-sync replicas have it. What its client
//!   tries again is neither sent twice nor out of order.
//!
//! # How the parts move
//!
//! ```text
//! producer  ── produce: reads partition queues in batches ──▶ engine
//!                     ▲ wakes                                    │ settle
//! librdkafka ─────────┘                                          ▼
//!     ▲ polls, answers rebalances, commits ◀── ledgers of the partitions (machine::offsets)
//! member's thread
//! ```
//!
//! A partition can begin anew while it stays assigned (`member/restart`): its position is gone, its topic was made anew, or it
//! is resumed through [`KafkaControl`]. Where partitions begin is decided in `begin`.
//!
//! `source` is what the engine holds, `member` the thread, `partition` the state that both share, `ffi` the only unsafe
//! code. The publisher has a client and a thread of its own: see `publisher`. The client needs the headers of OpenSSL to build (feature `tls`, on by default). For Kerberos, depend on
//! `rdkafka` with its feature `gssapi` yourself: cargo builds one client with the features of all.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

mod ack;
#[doc(hidden)]
pub mod bare;
mod begin;
mod client;
mod commit;
mod config;
mod connect;
mod control;
mod events;
mod ffi;
mod headers;
mod hint;
mod member;
mod partition;
mod prefetch;
mod publisher;
mod record;
mod settings;
mod shared;
mod source;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod topic;

pub use ack::{KafkaAcknowledger, Token};
pub use broadway_core::ConfigError;
pub use config::{Begin, GroupProtocol, Kafka, OnFailure, OnLost};
pub use control::{HaltedPartition, KafkaControl};
pub use publisher::{KafkaPublisher, KafkaPublisherBuilder};
pub use record::KafkaRecord;
pub use source::KafkaProducer;
pub use topic::NewTopic;
