//! Who gets which event of a link.
//!
//! A link's hub holds one [`Dispatch`] behind a short lock. Outlets [`offer`](Dispatch::offer)
//! whole chunks; inlets *pull*: they come back with [`done`](Dispatch::done) and
//! [`take`](Dispatch::take), and only when nothing is there for them do they
//! [`ask`](Dispatch::ask) and sleep. Coming back is the demand; not coming back is the
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
//! will take, the dispatcher says with [`wanted`](Dispatch::wanted) what that comes to, and the link
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
//! [`Dispatch`] tells how to write a dispatcher of one's own; [`Asks`] and [`Demands`] do half of it.

mod asks;
pub mod broadcast;
pub mod demand;
mod demands;
mod either;
mod inlets;
pub mod partition;
mod places;
mod port;
mod queue;
pub mod route;
mod runs;
mod segments;

pub use asks::Asks;
pub use broadcast::{Broadcast, Selector};
pub use demand::Demand;
pub use demands::Demands;
pub use either::Either;
pub(in crate::machine) use inlets::Inlets;
pub use partition::{Partition, PartitionSeat};
pub use port::{Dispatch, InletId, JoinError, Mark, Misrouted, Offered, OutletId};
pub use route::Route;
