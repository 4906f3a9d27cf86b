//! [`Link`]: makes the outlets and inlets of a link, and keeps it open for more of them.

use super::{
    detached::DetachedMessages,
    inlet::Inlet,
    inlet_state::DemandMode,
    outlet::Outlet,
    outlet_state::OutletState,
    state::{LinkState, SharedLink},
    wake_list::WakeList,
};
use crate::{
    end::End,
    machine::{
        dispatch::{Dispatch, InletId, JoinError},
        link_bound::LinkBound,
    },
    sync::Arc,
};

/// Makes the outlets and inlets of one link. Dropping it means that no more ends will come.
pub(crate) struct Link<T, D: Dispatch<T>> {
    shared: Arc<SharedLink<T, D>>,
}

impl<T, D: Dispatch<T>> Link<T, D> {
    /// Makes a link that requests what its inlets demand.
    pub(crate) fn on_demand(dispatch: D) -> Self {
        Self {
            shared: Arc::new(SharedLink::new(dispatch, None, |_| false)),
        }
    }

    /// Makes an outlet of which at most `chunk_max` messages are requested at a time: a `Vec` of the size that an inlet takes changes
    /// hands without being copied.
    ///
    /// Messages requested from an outlet are not requested from others. For no outlet to starve while others have nothing to send, a
    /// bounded link must request more while each of the others has its `chunk_max` outstanding: its `min` must be as high as those
    /// together.
    pub(crate) fn outlet(&self, chunk_max: usize) -> Outlet<T, D> {
        let id = self.shared.lock().add_outlet(OutletState::new(chunk_max));
        Outlet::new(Arc::clone(&self.shared), id)
    }

    /// Makes an inlet that takes as `demand` allows, and requests its first messages.
    ///
    /// # Errors
    ///
    /// Fails if the dispatcher refuses `options`: their partition does not exist, or another inlet has it.
    pub(crate) fn subscribe(
        &self,
        options: D::Options,
        demand: DemandMode,
    ) -> Result<Inlet<T, D>, JoinError> {
        self.add_inlet(LinkState::request_more, options, demand)
    }

    /// As [`subscribe`](Self::subscribe), but requests nothing before [`Inlet::start_demand`].
    ///
    /// # Errors
    ///
    /// As `subscribe`.
    pub(crate) fn subscribe_paused(
        &self,
        options: D::Options,
        demand: DemandMode,
    ) -> Result<Inlet<T, D>, JoinError> {
        self.add_inlet(|_, _| {}, options, demand)
    }

    fn add_inlet(
        &self,
        then: fn(&mut LinkState<T, D>, InletId),
        options: D::Options,
        demand: DemandMode,
    ) -> Result<Inlet<T, D>, JoinError> {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        let (id, serial) = state.add_inlet(options, demand)?;
        // In one critical section with the join: no other end sees an inlet that has subscribed and demands nothing.
        then(&mut state, id);
        state.propagate(&mut wakes);
        drop(state);
        wakes.wake();
        Ok(Inlet::new(Arc::clone(&self.shared), id, serial))
    }

    /// Returns the number of messages that wait to be taken.
    pub(crate) fn buffered(&self) -> usize {
        self.shared.lock().dispatch.buffered()
    }

    /// Returns the number of inlets that wait for messages.
    pub(crate) fn parked(&self) -> usize {
        self.shared.lock().parked()
    }

    /// Returns how the last outlet closed, if all have. Buffered messages may still be left to take.
    pub(crate) fn end(&self) -> Option<End> {
        let state = self.shared.lock();
        state.has_ended().then(|| state.end())
    }
}

impl<T, D: Dispatch<T, Options = ()>> Link<T, D> {
    /// Makes a link that requests as many messages as `bound` allows, whether inlets are there or not.
    pub(crate) fn bounded(dispatch: D, bound: LinkBound) -> Self {
        Self::bounded_beside(dispatch, bound, |_| false)
    }

    /// As [`bounded`](Self::bounded), for a link to which messages are sent that are not requested: those that `is_unrequested`
    /// recognizes. They do not count towards the bound.
    pub(crate) fn bounded_beside(
        dispatch: D,
        bound: LinkBound,
        is_unrequested: fn(&T) -> bool,
    ) -> Self {
        Self {
            shared: Arc::new(SharedLink::new(dispatch, Some(bound), is_unrequested)),
        }
    }

    /// Changes the bound. A lower one takes requests back that no sender has learned of; then the link requests nothing until few
    /// enough messages are left.
    pub(crate) fn set_bound(&self, bound: LinkBound) {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        state.set_bound(bound);
        state.propagate(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Wakes all inlets that wait, so that their tasks look for something other than messages.
    pub(crate) fn wake_all(&self) {
        let mut wakes = WakeList::default();
        self.shared.lock().wake_all(&mut wakes);
        wakes.wake();
    }

    /// Makes an outlet for unrequested messages. Its [`demand`](Outlet::demand) returns 1 while no more of them are buffered than the
    /// bound's `min`, and nothing is requested from it.
    pub(crate) fn outlet_unrequested(&self) -> Outlet<T, D> {
        self.outlet(0)
    }

    /// Returns what ends detached messages.
    pub(crate) fn detached(&self) -> DetachedMessages<T, D> {
        DetachedMessages::new(Arc::clone(&self.shared))
    }

    /// Makes an inlet of a bounded link: it takes whatever is buffered.
    pub(crate) fn inlet(&self) -> Inlet<T, D> {
        let subscribed = self.subscribe((), DemandMode::Unlimited);
        subscribed.expect("a dispatcher without options refuses no inlet")
    }
}

impl<T, D: Dispatch<T>> Drop for Link<T, D> {
    fn drop(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        state.complete = true;
        state.propagate(&mut wakes);
        state.is_abandoned(&mut wakes);
        drop(state);
        wakes.wake();
    }
}
