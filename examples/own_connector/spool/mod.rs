//! A connector for spool folders: files in `new/` are messages.
//!
//! ```text
//!  publisher ── write ──▶ tmp/ ── rename ──▶ new/ ── rename ──▶ taken/ ──▶ deleted      done
//!                                             ▲                   ├──────▶ failed/      put aside
//!                                             └── lease expires ──┘                     failed, crashed, given back
//! ```
//!
//! `folders` is the broker, `file` the format of a message on disk. `leases` holds the messages that a producer has taken and renews their
//! leases. `source` and `fetch` deliver, `ack` settles, `publisher` sends. The guide `docs/writing-a-connector.md` walks through them.

mod ack;
mod blocking;
mod config;
mod fetch;
mod file;
mod folders;
mod leases;
mod publisher;
mod record;
mod source;

pub use ack::{AckOptions, OnFailure};
pub use config::Spool;
pub use folders::Folders;
pub use publisher::SpoolPublisher;
pub use record::SpoolRecord;
