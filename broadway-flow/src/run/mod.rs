//! How a flow runs: its segments become stages.

#[cfg(feature = "progress")]
mod bar;
mod delivery;
mod first_part;
mod last;
mod middle;
mod options;
mod report;
mod running;
mod start;
mod through;
mod unpack;
mod wait;
mod worker;

pub(crate) use delivery::{Deliver, start_delivery};
pub(crate) use first_part::{FirstPart, RunningPart};
pub(crate) use options::Options;
pub use report::Report;
pub use running::RunningFlow;
pub(crate) use start::start;
pub(crate) use through::Through;
pub(crate) use unpack::start_unpack;
