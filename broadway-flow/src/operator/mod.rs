//! The operators, one file each: how it is described, and how it runs.

mod custom;
mod departition;
mod emit_and_reduce;
mod enrich;
mod event_time;
mod filter;
mod filter_map;
mod flat_map;
mod inspect;
mod map;
mod map_batch;
mod try_map;
mod try_map_or;

pub use custom::{Custom, Emit, Operator};
pub(crate) use departition::{WholeMerger, WindowsMerger};
pub use emit_and_reduce::EmitAndReduce;
pub use enrich::Enrich;
pub use event_time::EventTime;
pub(crate) use event_time::EventTimeSink;
pub use filter::Filter;
pub use filter_map::FilterMap;
pub use flat_map::FlatMap;
pub use inspect::Inspect;
pub use map::Map;
pub use map_batch::MapBatch;
pub use try_map::TryMap;
pub use try_map_or::TryMapOr;
