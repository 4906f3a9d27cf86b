//! Sources: what starts the stages that events come from.

mod acked;
mod iter;
mod lines;
mod pack;
mod stages;
mod start;
mod stream;

pub(crate) use acked::AckedSource;
pub use acked::FlowSource;
pub(crate) use iter::IterSource;
pub use lines::Block;
pub(crate) use lines::FilesSource;
pub(crate) use pack::{Counter, start_pack};
pub(crate) use stages::StagesSource;
pub(crate) use start::{SourceInfo, StartSource, Started};
pub(crate) use stream::StreamSource;
