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
//! 3. `failures` decides what happens to failed messages, and `retry` has those that wait to be handled again.
//! 4. `crew` has as many processors, or batch processors of a batcher, as are wanted; `context` is what all of them share, with `acknowledgers` and `totals`.
//! 5. `topology` is the handle, which changes a running topology through `live`; `supervisor` ends the topology, `release` is what a drain does not handle any more.

mod acknowledgers;
mod autoscale;
mod batch_processor;
mod batcher;
mod concurrent;
mod config;
mod context;
mod crew;
mod describe;
mod done;
mod failures;
mod in_flight_cap;
mod intake;
mod live;
mod message_info;
mod processor;
mod producer;
mod push;
mod pusher;
mod rate_limit;
mod receipt;
mod release;
mod retry;
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
pub use describe::{BatcherDescription, Description, SourceDescription};
pub use pusher::Pusher;
#[cfg(any(test, feature = "testing"))]
pub(crate) use receipt::ReceiptSender;
pub use receipt::{PushError, Pushed, Receipt};
pub use split::Split;
pub use topology::{RunningBatcher, Topology};
pub use totals::Totals;
