//! Who gets which event of a link.
//!
//! A link's hub holds one [`Dispatch`] behind a short lock. Outlets [`offer`](Dispatch::offer)
//! whole chunks; inlets *pull*: they come back with [`done`](Dispatch::done) and
//! [`take`](Dispatch::take), and only when nothing is there for them do they
//! [`wait_for`](Dispatch::wait_for) and sleep. Coming back is the demand; not coming back is the
//! back-pressure.
//!
//! After any call that changes something the hub calls [`wake`](Dispatch::wake) before it lets go
//! of the lock, and wakes the inlets it is told. A woken inlet is *on its way*: what it asked for
//! counts as promised to it until it takes, asks again or leaves, so that the same events never
//! wake two sleepers. The hub must therefore let every woken inlet do one of the three.
//!
//! What an inlet took it *holds*, until `done`. What it will not handle it gives back, to the
//! front of the buffer, and the outlet it came from is charged for it again.
//!
//! - [`Demand`]: any inlet may take anything, first come first served.
//! - [`Partition`]: a function maps each event to a partition, each partition has one inlet.
//! - [`Broadcast`]: every inlet gets every event that it selects, at the pace of the slowest.
//! - [`Route`]: predicates map each event to any number of targets, each target has one inlet.
//! - [`Lanes`](super::lanes::Lanes): order per live key, any inlet.
//! - [`Either`] of two, when the choice is made at run time.
//!
//! # Who orders
//!
//! In a pipeline each outlet has a credit: it is asked for more when inlets have taken what it sent.
//! Between stages the *inlets order*: each says with [`demand`](Dispatch::demand) how much more it
//! will take, the dispatcher says with [`unmet_demand`](Dispatch::unmet_demand) what that comes to, and the link
//! keeps so much on order from its outlets. So that is where the dispatchers differ:
//!
//! | | what the link has on order, and what is buffered, add up to |
//! |---|---|
//! | [`Demand`] | the sum of what the inlets have demanded |
//! | [`Broadcast`] | what the slowest has demanded |
//! | [`Partition`] | the sum of what each inlet has demanded; what is buffered for a partition counts no further than its inlet has demanded it |
//!
//! It is more where inlets left that had demanded something: what was ordered is not taken back, the
//! demands of others come to it first.
//!
//! [`Dispatch`] tells how to write a dispatcher of one's own; [`WaitingInlets`] and [`InletDemands`] do half of it.

pub mod broadcast;
mod contract;
pub mod demand;
mod either;
mod event_queue;
mod inlet_demands;
mod inlet_table;
mod outlet_runs;
pub mod partition;
mod partition_queues;
pub mod route;
mod segments;
mod waiting_inlets;

pub use broadcast::{Broadcast, Selector};
pub use contract::{Dispatch, InletId, JoinError, Mark, Misrouted, Offered, OutletId};
pub use demand::Demand;
pub use either::Either;
pub use inlet_demands::InletDemands;
pub(in crate::machine) use inlet_table::InletTable;
pub use partition::{Partition, PartitionName};
pub use route::Route;
pub use waiting_inlets::WaitingInlets;
