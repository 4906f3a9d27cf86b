//! Links between stages: [`Outlet`] and [`Inlet`] over one shared hub, pulled.
//!
//! A hub is a short synchronous lock around a dispatcher (a pure machine that holds what is buffered and decides who gets
//! it), the credit of each outlet, and the wakers of who waits. An inlet *pulls*: [`Inlet::take`] says that the chunk before
//! is handled, and moves what is there, up to its demand, into a `Vec` that the caller owns and uses again. If nothing is
//! there the inlet leaves its demand and a waker. An outlet waits for [`Outlet::demand`], then sends a whole `Vec`. Coming
//! back for more is the ask; not coming back is the back-pressure.
//!
//! **Demand.** Each outlet has a credit of `max` messages: what it was asked for and has not been taken by an inlet yet. When
//! no more than `min` of it is outstanding, the outlet is asked for the rest, so a producer is woken once per `max - min`
//! messages and not once per message. Buffered messages are thus bounded by the sum of the outlets' `max`, plus one `Vec`
//! for each concurrent sender that sends more than it was asked for. That is how pipelines ask.
//!
//! An outlet to order has no credit: there the inlets say what they want, each by a [`Flow`], and the dispatcher adds it up
//! ([`wanted`]). After each change the link orders what is missing; what it has ordered and was not sent is on order, and an outlet
//! is told of each order once. Demand is renewed when a chunk is handled, not when it is taken, so an inlet has and awaits no more
//! than it asked for. That is how stages ask.
//!
//! **Ending.** A link has ended when every outlet is closed; an inlet learns it when nothing is buffered for it and no other inlet
//! holds a chunk that it could still give back. Whoever subscribes later learns it at once. An outlet learns from
//! [`Outlet::demand`] that the last inlet is gone, or, if it is to order, that none can come any more. A [`Link`] that is dropped before it gave an outlet has ended, one that
//! is dropped before it gave an inlet is abandoned, so nobody waits for an end that can't come.
//!
//! **Waking.** Wakers are collected under the lock; they are woken, and those not needed any more dropped, after it. A [`Take`]
//! that is dropped while it waits passes a wake that it may have received on to others, so no wake is lost.
//!
//! Waking a thread costs some microseconds. So while an inlet is *up* (woken, or busy with a chunk and not suspended) others
//! are woken only for work that is worth it by the pace of the chunks before, as [`Inlet::pace`] tells it. An inlet that is up
//! comes back and takes the rest; one that suspends counts as down at once ([`watch_suspension`]). What remains is a handler that
//! suddenly blocks its thread: behind it messages may wait that its pace had called a matter of microseconds. Before any pace is
//! known, everything is worth a wake.
//!
//! **Limits.** The numbers of inlets that left are used again; those of outlets are not, as their messages may outlive them:
//! some 100 bytes for each outlet that a link ever had.
//!
//! `tests/link-model` runs this folder in every order in which its lock can be taken.
//!
//! [`Take`]: inlet::Take
//! [`wanted`]: crate::machine::dispatch::Dispatch::unmet_demand

mod ask;
mod hub;
mod inlet;
mod outlet;
mod port;
mod suspension;
mod wake_list;

pub(crate) use ask::Ask;
pub(crate) use hub::Link;
pub(crate) use inlet::Inlet;
pub(crate) use outlet::Outlet;
pub(crate) use port::Flow;
pub(crate) use suspension::watch_suspension;
