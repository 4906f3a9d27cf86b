//! Aggregates: how the events of a key and a window become one value.

mod contract;
mod count;
mod extreme;
mod group;
mod mean;
mod reduce;
mod sum;
mod top;

pub use contract::Aggregate;
pub use count::Count;
pub use extreme::{Max, Min};
pub use group::Group;
pub use mean::Mean;
pub use reduce::{MergingReduce, Reduce};
pub use sum::Sum;
pub use top::Top;
