//! [`Sink`]: the running form of operators. Each pushes its events into the next, so that all operators between two boundaries are one
//! function for the compiler.

mod contract;
mod end;
mod entry;
mod meter;
mod out;
mod packet;
mod seat;

pub use contract::{Pushed, Signal, Sink};
pub(crate) use end::{Collect, Discard};
pub(crate) use entry::{Entry, EntryFactory, SinkFactory, TypedEntry};
pub(crate) use meter::{Meter, OperatorInfo, blamed};
pub(crate) use out::{OutboxSink, Route};
pub(crate) use packet::{Control, Events, Outbox, PACKET_EVENTS_MAX, Packet};
pub use seat::Seat;
