//! How a flow runs: its segments become stages.

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
mod unpack;
mod worker;

pub use flow_progress::{FlowProgress, ProgressUnit};
pub(crate) use flow_state::FlowState;
pub(crate) use report::Counts;
pub use report::{OperatorReport, Report};
pub use running::{RunFlowError, RunningFlow};
pub(crate) use running_stage::RunningStage;
pub(crate) use start::{Options, start};
pub(crate) use unpack::start_unpack;
