//! Links between stages: [`Outlet`]s send to a shared queue, and [`Inlet`]s take from it.
//!
//! A link's state is a dispatcher (a pure machine that buffers messages and decides which inlet gets them), an entry for each
//! outlet and inlet, and the wakers of those that wait, all behind one short synchronous lock. An inlet *pulls*: [`Inlet::take`]
//! completes the chunk before, and moves buffered messages, as many as the inlet's demand allows, into a `Vec` that the caller
//! owns and reuses. If nothing is buffered, the inlet leaves its demand and a waker. An outlet waits for [`Outlet::demand`], then
//! sends a whole `Vec`. An inlet that comes back asks for more; one that does not come back causes back-pressure.
//!
//! **Demand.** The link keeps a number of messages *requested*. In a *bounded* link, as pipelines use it, that is what the
//! bound allows beside the buffered messages ([`LinkBound`]). In a link *on demand*, as stages use it, each inlet states its demand by its
//! [`DemandMode`], and the dispatcher adds the demands up ([`unmet_demand`]). An inlet renews its demand when a chunk is handled, not
//! when it is taken, so it never holds and awaits more than it asked for.
//!
//! A requested message is *unassigned* until an outlet is given the request, then *outstanding* at that outlet until it is sent. Outlets
//! that wait are given requests in turn, each at most its `chunk_max`. Requests that no task has learned of can be taken back. An outlet
//! that closes, or whose task stops waiting before it learned of a request, leaves it to others. Messages that were not requested, as
//! pushed ones, have an outlet of their own kind: they do not count towards the bound, and may be buffered up to its `min` before their
//! sender waits.
//!
//! **Ending.** A link has ended when every outlet is closed. An inlet sees the end when nothing is buffered for it and no other inlet
//! holds a chunk that it could still give back; an inlet that subscribes later sees it at once. [`Outlet::demand`] returns `None` when
//! the last inlet is gone; in a link on demand, when also the [`Link`] is gone, which could make more inlets. A [`Link`] that is dropped before
//! it made an outlet has ended. One that is dropped before it made an inlet is abandoned. So no end waits for one that cannot come.
//!
//! **Waking.** Wakers are collected under the lock. They are woken, and replaced ones dropped, after it is released: both may run any
//! code. A [`TakeFuture`] that is dropped while it waits passes a wake that it may have received on to other inlets, so no wake is lost.
//!
//! Waking a thread costs some microseconds. So while an inlet is *awake* (woken, or busy with a chunk and not suspended), other inlets
//! are woken only if the buffered work is worth a wake, by the service time that [`Inlet::record_service_time`] reported for earlier
//! chunks. An awake inlet comes back and takes the rest. One that suspends counts as parked at once ([`watch_suspension`]). One case
//! remains: a handler that suddenly blocks its thread keeps messages waiting that were expected to take microseconds. Before any
//! service time is known, all work is worth a wake.
//!
//! **Limits.** Ids of inlets that left are reused. Ids of outlets are not: a link keeps about 100 bytes for each outlet that it ever had.
//! A bounded link buffers at most the bound's `max`, what senders send beyond their requests, and unrequested messages.
//!
//! **Files.** `state` is what all ends share and knows none of them; `waking` is the part that decides which inlets are woken. `outlet` and `inlet` are the ends, `inlet_handle` and `suspension`
//! reach an inlet from outside its task, and `handle` is the [`Link`] that makes them. `tests/link-model` runs this folder in every
//! order in which its lock can be taken.
//!
//! [`TakeFuture`]: inlet::TakeFuture
//! [`LinkBound`]: crate::machine::link_bound::LinkBound
//! [`unmet_demand`]: crate::machine::dispatch::Dispatch::unmet_demand

mod detached;
mod handle;
mod inlet;
mod inlet_handle;
mod inlet_state;
mod outlet;
mod outlet_state;
mod state;
mod suspension;
mod unrequested;
mod wake_list;
mod waking;

pub(crate) use detached::DetachedMessages;
pub(crate) use handle::Link;
pub(crate) use inlet::{Attempt, Inlet};
pub(crate) use inlet_handle::InletHandle;
pub(crate) use inlet_state::DemandMode;
pub(crate) use outlet::Outlet;
pub(crate) use suspension::{SuspensionWatch, watch_suspension};
