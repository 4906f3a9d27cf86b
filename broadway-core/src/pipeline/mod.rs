//! Pipelines: source → processors → batchers → batch processors, with acknowledgement.
//!
//! ```text
//!              demand ▲            demand ▲               demand ▲
//!  Source ─opens─► Producer ═══► Processor ═══► Batcher ═══► BatchProcessor     messages, one way down
//!                     ▲           │ done / failed              │ done / failed
//!                     └─ settle ◄─┴────────────────────────────┘                settlement, directly to the source
//! ```
//!
//! Read it from top to bottom:
//!
//! 1. `config` has the options, `validate` checks them, `start` opens the source and spawns the loops, `describe` is the shape of the
//!    running topology.
//! 2. One file per role: `producer` (with `intake` and `rate_limit`, and `push` beside it), `processor`, `batcher`, `batch_processor`,
//!    and `settle`, where every message ends. `tracked` is what they hand on.
//! 3. `context` is what all of them share, with `acknowledgers` and `totals`.
//! 4. `topology` is the handle, `supervisor` ends the topology, `release` is what a drain does not handle any more.

mod acknowledgers;
mod batch_processor;
mod batcher;
mod config;
mod context;
mod describe;
mod failures;
mod intake;
mod message_info;
mod processor;
mod producer;
mod push;
mod pusher;
mod rate_limit;
mod receipt;
mod release;
mod settle;
mod source_reader;
mod split;
mod start;
mod supervisor;
mod topology;
mod totals;
mod tracked;
mod validate;

pub use config::{Batching, OnDrain, Pipeline, Processors};
pub use describe::{BatcherDescription, Description};
pub use pusher::Pusher;
#[cfg(any(test, feature = "testing"))]
pub(crate) use receipt::ReceiptSender;
pub use receipt::{PushError, Pushed, Receipt};
pub use split::Split;
pub use topology::Topology;
pub use totals::Totals;
