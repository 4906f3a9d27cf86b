//! Flows of borrowed text: lines of files, and parts of lines, without a `String` for each.

mod chain;
mod count;
mod lines;
mod map;
mod operations;
mod sink;

pub use chain::TextChain;
pub use lines::Lines;
pub(crate) use sink::TextSink;
