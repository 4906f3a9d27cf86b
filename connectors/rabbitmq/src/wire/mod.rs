//! The socket of a connection as the client sees it.
//!
//! ```text
//!  broker ── bytes ──▶ stream ── frames that the client can parse ──▶ client
//!                        │
//!                        └── mended: which deliveries were mended, and why ──▶ source
//! ```
//!
//! The client gives up its connection over one frame that it cannot parse, and RabbitMQ accepts messages that make such frames: the
//! names of headers and the short strings of the properties are bytes at the broker and text in the client. `stream` reads from the
//! socket and cuts the bytes into frames with `screen`, which replaces what `mend` finds in a frame, in place, and mended the
//! delivery. `kit` gives the client this stream and the runtime of `runtime`. See docs/decisions/014.

mod client_kit;
mod mend;
mod mended;
mod runtime;
mod screen;
mod stream;

pub(crate) use client_kit::ClientKit;
pub(crate) use mended::{MendedDeliveries, MendedDelivery};
pub(crate) use runtime::client_runtime;
pub(crate) use stream::MendingStream;
