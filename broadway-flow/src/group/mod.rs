//! By key and window: aggregation, and the first events.

mod combine_sink;
mod durability;
mod grouped;
mod late;
mod methods;
mod route;
mod shape;
mod take_sort;
mod uniq;
mod uniq_sink;
mod window_sink;

pub use durability::{Durability, Durable, Volatile};
pub use grouped::Grouped;
pub use late::Late;
pub(crate) use late::{LateEvents, LateOutput};
pub(crate) use route::{KeyRoute, worker_of};
pub use shape::{OfKeys, OfKeysInWindows, OfWorkers, OfWorkersInWindows, Shape};
