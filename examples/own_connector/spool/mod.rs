//! A connector for spool folders: files in `new/` are messages.
//!
//! ```text
//!  publisher ── write ──▶ tmp/ ── rename ──▶ new/ ── rename ──▶ taken/ ──▶ deleted      done
//!                                             ▲                   ├──────▶ failed/      put aside
//!                                             └─── lease is over ─┘                     failed, crashed, handed back
//! ```
//!
//! `folders` is the broker: what a rename means. `file` is what a message looks like on disk. `leases` knows which
//! messages are ours and keeps them ours. `source` and `fetch` deliver, `ack` settles, `publisher` sends. The guide
//! `docs/writing-a-connector.md` walks through them.

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

pub use ack::OnFailure;
pub use config::Spool;
pub use folders::Folders;
pub use publisher::SpoolPublisher;
pub use record::SpoolRecord;
