//! Sources: what starts the stages that events come from.

mod iter;
mod lines;
mod stages;
mod start;
mod stream;

pub(crate) use iter::IterSource;
pub(crate) use stages::StagesSource;
pub(crate) use start::{SourceInfo, StartSource, Started};
pub(crate) use stream::StreamSource;
