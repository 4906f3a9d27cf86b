//! Which inlet of a link gets which event.
//!
//! A link holds one [`Dispatch`] behind a short lock. Producers [`offer`](Dispatch::offer) whole chunks. Inlets *pull*:
//! they return with [`done`](Dispatch::done) and [`take`](Dispatch::take), and only if none is there for them do
//! they [`wait_for`](Dispatch::wait_for) one and sleep. An inlet that returns is the demand; one that does not is the
//! back-pressure.
//!
//! After any call that changes something the link calls [`wake`](Dispatch::wake) before it releases the lock, and wakes
//! the inlets that this lists. The events that a woken inlet waited for are promised to it until it takes, waits again
//! or leaves, so that the same events never wake two inlets. The link must therefore let every woken inlet do one of
//! the three.
//!
//! An inlet *holds* the events it took until `done`. In a pipeline it gives back those that it will not handle
//! ([`GiveBack`]), to the front of the buffer. No dispatcher knows which producer an event came from: a link requests
//! events from all of them together.
//!
//! - [`Demand`]: any inlet may take any event, first come, first served.
//! - [`Partition`]: a function maps each event to a partition; each partition has one inlet.
//! - [`Broadcast`]: every inlet gets every event that it selects, at the pace of the slowest.
//! - [`Route`]: predicates map each event to any number of targets; each target has one inlet.
//! - [`Lanes`](super::lanes::Lanes): order per live key, any inlet.
//! - [`Either`] of two, when the choice is made at run time.
//!
//! # Demand
//!
//! The link of a pipeline is *bounded*: it requests events while few are buffered
//! ([`LinkBound`](super::link_bound::LinkBound)), and its inlets demand nothing. Between stages the *inlets demand*: each
//! adds to its demand with [`demand`](Dispatch::demand), the dispatcher returns the sum as
//! [`unmet_demand`](Dispatch::unmet_demand), and the link requests that many events from its producers. There the
//! dispatchers differ:
//!
//! | | requested and buffered events add up to |
//! |---|---|
//! | [`Demand`] | the sum of the inlets' demands |
//! | [`Broadcast`] | the demand of the slowest inlet |
//! | [`Partition`] | the sum of the inlets' demands; events buffered for a partition count no further than its inlet has demanded them |
//!
//! The sum is higher if an inlet left with demand: requests are not taken back, and meet the demand of the others
//! first.
//!
//! The page of [`Dispatch`] shows how to write a dispatcher; [`WaitingInlets`] and [`InletDemands`] do half of the
//! work.

pub mod broadcast;
mod contract;
pub mod demand;
mod either;
mod inlet_demands;
mod inlet_table;
pub mod partition;
mod partition_queues;
pub mod route;
mod segments;
mod waiting_inlets;

pub use broadcast::{Broadcast, Selector};
pub use contract::{Dispatch, GiveBack, InletId, JoinError, Mark, Misrouted, Offered};
pub use demand::Demand;
pub use either::Either;
pub use inlet_demands::InletDemands;
pub(in crate::machine) use inlet_table::InletTable;
pub use partition::{Partition, PartitionName};
pub use route::Route;
pub use waiting_inlets::WaitingInlets;
