//! Sources: what starts the stages that events come from.

mod iter;
mod lines;
mod pack;
mod stages;
mod start;
mod stream;

pub(crate) use iter::IterSource;
pub(crate) use pack::{Counter, start_pack};
pub(crate) use stages::StagesSource;
pub(crate) use start::{SourceInfo, StartSource, Started};
pub(crate) use stream::StreamSource;
