//! Joins: events of two flows that share a key, and a window.

mod builder;
mod flow;
mod join_sink;
mod side;

pub use builder::Join;
pub use side::Side;
