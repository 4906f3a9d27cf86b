//! Parallel dataflow over stages: map, partition, aggregate in windows, join.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

pub mod aggregate;
mod chain;
mod epoch;
mod error;
mod flow;
mod graph;
mod group;
mod join;
mod live;
mod machine;
mod operator;
mod owners;
mod plan;
mod readable;
mod run;
mod shard;
mod sink;
mod snapshot;
mod source;
mod stages;
mod state;
mod text;
mod time;
mod window;

/// The types of operators, as they appear in the types of flows. Programs do not name them.
#[doc(hidden)]
pub mod types {
    pub use crate::{
        chain::{Operation, Start, Then},
        group::{
            Durability, Durable, OfKeys, OfKeysInWindows, OfWorkers, OfWorkersInWindows, Shape,
            Volatile,
        },
        machine::windows::WindowState,
        operator::{
            Custom, EmitAndReduce, Enrich, Filter, FilterMap, FlatMap, Inspect, Map, MapBatch,
            TryMap, TryMapOr,
        },
        sink::{Pushed, Seat, Signal, Sink},
        source::Block,
    };
}

pub use aggregate::Aggregate;
pub use broadway_core::BoxError;
pub use chain::Chain;
pub use epoch::At;
pub use error::{FlowError, FlowErrorKind, RunFlowError};
pub use flow::{Flow, FlowStream};
pub use group::{Grouped, Late};
pub use join::{Join, Side};
pub use live::{FlowProgress, ProgressUnit};
pub use operator::{Emit, EventTime, Operator};
pub use plan::{OperatorReport, Plan};
pub use run::{Report, RunningFlow};
pub use snapshot::{Snapshot, SnapshotFolder, SnapshotStore};
pub use source::FlowSource;
pub use text::{Lines, TextChain};
pub use time::Timestamp;
pub use window::{AfterFiring, Decision, Firing, LateFiring, Window, Windowed, Windows};
