//! What a running flow shares with all its parts: its state, and the handles of its stages and tasks.

mod flow_state;
mod progress;
mod running_stage;
mod task;

pub(crate) use flow_state::{BarrierReport, FlowState, WorkerReport};
pub use progress::{FlowProgress, ProgressUnit};
pub(crate) use running_stage::RunningStage;
pub(crate) use task::{RunningTask, STOP_MAX, Stopping};
