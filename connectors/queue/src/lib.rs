//! An embedded durable queue for broadway: a source and a publisher over topics in a folder, inside the process, without a broker.
//!
//! [`Queue`] is the source and its options; its items are [`QueueRecord`]s. [`QueuePublisher`] appends messages. [`QueueFolder`] has
//! the options of a folder, [`TopicOptions`] those that limit how long records are kept.
//!
//! # Guarantees
//!
//! - **A confirmed message is durable.** `publish` returns after the message survives the loss of power, by one `fsync` for all that wait together;
//!   [`Durability`] can trade that for speed.
//! - **At least once.** A message is acknowledged after its last callback has succeeded, and never before. After a crash, messages in flight and those
//!   settled within the last [`ack_interval`](QueueFolder::ack_interval) are delivered again, and no others.
//! - **Order of keys.** The records of a key are in one partition, and are delivered in order, also after a failure ([`Order::Keys`]).
//! - **Every corrupt record is found** by its checksum, counted, and passed over or stopped at ([`OnCorrupt`]), never delivered.
//! - **Limits.** The messages that are read ahead, unsettled or waiting are limited; payloads of waiting messages are on disk.
//!
//! # Data flow
//!
//! ```text
//!  publish ── encode, route ──▶ inbox ──▶ commit thread ── one commit, one fsync ──▶ segments
//!                                              ▲ snapshots of groups                    │ worker reads ahead
//!  settle ──▶ delivery machine ── dirty ───────┘                                        ▼
//!                ▲                                        engine ◀── produce ── buffer of each partition
//!                └────────────────────────────────────────┘
//! ```
//!
//! `block`, `headers` and `varint` are the format of records; `coordinator`, `router` and `group::delivery` decide, as pure values; `log` has the segments of a
//! partition, `storage` the store below them; `store` is an open folder with its two threads.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

mod ack;
pub mod admin;
mod block;
mod clock;
mod config;
mod connect;
mod coordinator;
mod error;
mod folder;
mod group;
mod headers;
mod lag;
mod log;
mod options;
mod publisher;
mod record;
mod router;
mod source;
mod states;
mod storage;
mod store;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod topic;
mod topics;
mod varint;

pub use ack::{QueueAcknowledger, Token};
pub use admin::QueueAdmin;
pub use broadway_core::ConfigError;
pub use config::Queue;
pub use folder::{Durability, QueueFolder};
pub use options::{AckOptions, OnCorrupt, OnFailure, OnSuccess, Order, StartOffset};
pub use publisher::{QueuePublisher, QueuePublisherBuilder};
pub use record::QueueRecord;
pub use source::QueueProducer;
pub use states::QueueStates;
pub use storage::StorageKind;
pub use topic::TopicOptions;
