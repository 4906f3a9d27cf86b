//! Acknowledged sources: a message is settled when everything made of it is confirmed.
//!
//! ```text
//!  producer ── messages ──▶ task ── packets, barriers ──▶ workers ──▶ … ──▶ last workers
//!                            ▲                               │                    │
//!                            └── reports of barriers ────────┴────────────────────┘
//! ```
//!
//! The task sends a barrier behind the messages of an epoch. Every worker passes it on behind the results of earlier events, and reports the oldest epoch of
//! which it still holds a part, in a window. When all workers have reported a barrier, the messages of all epochs before the oldest one held are settled; see
//! [`settlement`](crate::machine::settlement).

mod options;
mod packets;
mod saver;
mod shards;
mod source;
mod task;
mod tokens;

pub use options::FlowSource;
pub(crate) use source::AckedSource;
