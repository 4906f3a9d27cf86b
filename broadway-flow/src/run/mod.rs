//! How a flow runs: its segments become stages.

mod delivery;
#[cfg(feature = "progress")]
mod bar;
mod flow_progress;
mod flow_state;
mod last;
mod middle;
mod report;
mod running;
mod running_stage;
mod start;
mod task;
mod through;
mod unpack;
mod worker;

pub(crate) use delivery::{Deliver, start_delivery};
pub use flow_progress::{FlowProgress, ProgressUnit};
pub(crate) use flow_state::{BarrierReport, FlowState, WorkerReport};
pub(crate) use report::Counts;
pub use report::{OperatorReport, Report};
pub use running::{RunFlowError, RunningFlow};
pub(crate) use running_stage::RunningStage;
pub(crate) use start::{Options, start};
pub(crate) use task::RunningTask;
pub(crate) use through::{StartBetween, Through};
pub(crate) use unpack::start_unpack;
