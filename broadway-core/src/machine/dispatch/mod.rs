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
//! - [`Broadcast`]: every event goes to every inlet that selects it.
//! - [`Route`]: predicates map each event to any number of targets, each target has one inlet.
//! - [`Lanes`](super::lanes::Lanes): order per live key, any inlet.

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
