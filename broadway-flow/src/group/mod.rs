//! By key and window: aggregation, and the first events.

mod combine_sink;
mod durability;
mod flow;
mod flow_uniq;
mod grouped;
mod late;
mod methods;
mod route;
mod shape;
mod share;
mod take_sort;
mod uniq;
mod uniq_sink;
mod window_sink;

pub(crate) use combine_sink::{CombineSink, Crossing, STATES_MAX};
pub use durability::{Durability, Durable, Volatile};
pub use grouped::Grouped;
pub(crate) use grouped::behind;
pub use late::Late;
pub(crate) use late::{LateEvents, LateOutput};
pub(crate) use route::KeyRoute;
pub use shape::{OfKeys, OfKeysInWindows, OfWorkers, OfWorkersInWindows, Shape};
pub(crate) use share::Share;
pub(crate) use window_sink::WindowSink;
