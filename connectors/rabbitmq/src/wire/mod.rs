//! The bytes between the socket and the client, with repairs of what the client cannot parse.
//!
//! ```text
//!  broker ── bytes ──▶ stream ── frames that the client can parse ──▶ client
//!                        │
//!                        └── mended: which deliveries were changed, and why ──▶ source
//! ```
//!
//! The client closes its connection over one frame that it cannot parse, and RabbitMQ accepts messages that make such frames: the names of
//! headers and the short strings of the properties are bytes to the broker and UTF-8 text to the client. `stream` reads from the socket
//! and passes the bytes through `screen`, which finds the frames; `mend` replaces in place what the client cannot parse. `mended` remembers
//! the delivery, so that the source can treat the message as `on_unreadable` asks. `greeting` finds the broker's version. `client_kit` gives the client this stream, and the
//! runtime of `runtime`. See docs/decisions/014.

mod client_kit;
mod greeting;
mod mend;
mod mended;
mod runtime;
mod screen;
mod stream;

pub(crate) use client_kit::ClientKit;
pub(crate) use mended::{MendedDeliveries, MendedDelivery};
pub(crate) use runtime::client_runtime;
pub(crate) use stream::MendingStream;
