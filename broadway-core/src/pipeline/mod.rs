//! Pipelines: source → processors → batchers → batch processors, with acknowledgement.
//!
//! ```text
//!              demand ▲            demand ▲               demand ▲
//!  Source ─opens─► Producer ═══► Processor ═══► Batcher ═══► BatchProcessor     data, one way down
//!                     ▲           │ done / failed              │ done / failed
//!                     └─ settle ◄─┴────────────────────────────┘                settlement, straight home
//! ```
//!
//! One file per role: `producer`, `processor`, `batcher`, `batch_processor`; `config` is what users say, `validate` what can
//! be wrong with it, `start` wires, `supervisor` brings it to its end, `topology` is the handle.

mod batch_processor;
mod batcher;
mod callbacks;
mod config;
mod describe;
mod envelope;
mod group;
mod naming;
mod on_drain;
mod processor;
mod processors;
mod producer;
mod push;
mod pusher;
mod rate_limit;
mod registry;
mod release;
mod settler;
mod split;
mod staleness;
mod start;
mod supervisor;
mod topology;
mod totals;
mod validate;
mod verdict;

pub use config::{Batching, Pipeline};
pub use describe::{BatcherDescription, Description};
pub use on_drain::OnDrain;
pub use processors::Processors;
#[cfg(any(test, feature = "testing"))]
pub(crate) use push::Ticket;
pub use push::{PushError, Pushed, Receipt};
pub use pusher::Pusher;
pub use split::Split;
pub use topology::Topology;
pub use totals::Totals;
