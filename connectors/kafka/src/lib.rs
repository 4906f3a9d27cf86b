//! Kafka for broadway: a source that reads topics as a member of a consumer group, and a publisher.
//!
//! [`Kafka`] is the source and its options; its items are [`KafkaRecord`]s, read in place. [`KafkaPublisher`] publishes.
//!
//! # Guarantees
//!
//! - **At least once.** An offset is committed only when its message and all earlier ones of the partition are settled. No commit passes
//!   an unfinished or failed message, unless [`OnFailure::Skip`] is set.
//! - **Order per partition** of delivery. The pipeline's `partition_by` decides the order of handling.
//! - **Rebalances repeat nothing** if messages in flight end within [`revoke_timeout`](Kafka::revoke_timeout). After a crash, messages
//!   that ended since the last commit are repeated: at most [`uncommitted_max`](Kafka::uncommitted_max) per partition, usually
//!   the messages of one [`commit_interval`](Kafka::commit_interval).
//! - **Back-pressure.** Messages are taken from the client only on demand. The client prefetches up to
//!   [`prefetch_bytes_max`](Kafka::prefetch_bytes_max) (128 MiB) for all partitions together and then stops fetching. A slow pipeline stays a
//!   member of its group, because a thread of its own answers the group. So `max.poll.interval.ms` does not limit handlers; watch
//!   [`Event::Lag`](broadway_core::telemetry::Event::Lag) instead.
//! - **Failures are reported.** A failed message halts its partition, and no other; see [`OnFailure`].
//! - **Confirmed publishing.** The publisher reports for each message whether all in-sync replicas have it. Retries of its client neither
//!   duplicate nor reorder messages.
//!
//! # How the parts work together
//!
//! ```text
//! producer  ── produce: reads partition queues in batches ──▶ engine
//!                     ▲ wakes                                    │ settle
//! librdkafka ─────────┘                                          ▼
//!     ▲ polls, answers rebalances, commits ◀── unsettled messages of the partitions (machine::offsets)
//! member's thread
//! ```
//!
//! A partition can restart while it stays assigned (`member/restart`): its position no longer exists, its topic was recreated, or
//! [`KafkaControl`] resumes it. `start_offsets` decides where partitions start.
//!
//! `source` is the part that the engine holds, `member` the thread, `partition` the state that both share, `ffi` the only unsafe code. The
//! publisher has a client and a thread of its own: see `publisher`. Building the client needs the headers of OpenSSL (feature `tls`, on by
//! default). For Kerberos, depend on `rdkafka` with its feature `gssapi`: cargo builds one client with the features of all dependents.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

mod ack;
mod assignment;
mod client;
mod client_events;
mod commit;
mod config;
mod connect;
mod control;
mod error;
mod ffi;
mod headers;
mod lag;
mod member;
mod new_topic;
mod options;
mod partition;
mod prefetch;
mod publisher;
mod record;
mod settings;
mod shared;
mod source;
mod start_offsets;
mod sync;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;

pub use ack::{KafkaAcknowledger, Token};
pub use broadway_core::ConfigError;
pub use config::Kafka;
pub use control::{HaltedPartition, KafkaControl};
pub use new_topic::NewTopic;
pub use options::{GroupProtocol, OnFailure, OnLost, StartOffset};
pub use publisher::{KafkaPublisher, KafkaPublisherBuilder};
pub use record::KafkaRecord;
pub use source::KafkaProducer;
