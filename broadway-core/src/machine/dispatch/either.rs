//! [`Either`]: one of two dispatchers, chosen when a link is made.

use std::num::NonZeroU64;

use super::{Dispatch, GiveBack, InletId, JoinError, Mark, Offered};

/// One of two dispatchers. Costs one branch per call, and calls are per chunk.
#[derive(Debug)]
pub enum Either<L, R> {
    /// The first kind.
    Left(L),
    /// The second kind.
    Right(R),
}

macro_rules! forward {
    ($self:ident, $dispatch:ident => $call:expr) => {
        match $self {
            Self::Left($dispatch) => $call,
            Self::Right($dispatch) => $call,
        }
    };
}

impl<T, L: Dispatch<T, Options = ()>, R: Dispatch<T, Options = ()>> Dispatch<T> for Either<L, R> {
    type Options = ();

    const ANY_INLET: bool = L::ANY_INLET && R::ANY_INLET;

    fn join(&mut self, inlet: InletId, (): ()) -> Result<(), JoinError> {
        forward!(self, dispatch => dispatch.join(inlet, ()))
    }

    fn leave(&mut self, inlet: InletId) {
        forward!(self, dispatch => dispatch.leave(inlet));
    }

    fn offer(&mut self, events: &mut Vec<T>) -> Offered<T> {
        forward!(self, dispatch => dispatch.offer(events))
    }

    fn take(&mut self, inlet: InletId, max: usize, out: &mut Vec<T>) -> usize {
        forward!(self, dispatch => dispatch.take(inlet, max, out))
    }

    fn wait_for(&mut self, inlet: InletId, n: usize) {
        forward!(self, dispatch => dispatch.wait_for(inlet, n));
    }

    fn wake(&mut self, out: &mut Vec<InletId>) {
        forward!(self, dispatch => dispatch.wake(out));
    }

    fn done(&mut self, inlet: InletId, kept: usize) {
        forward!(self, dispatch => dispatch.done(inlet, kept));
    }

    fn buffered(&self) -> usize {
        forward!(self, dispatch => dispatch.buffered())
    }

    fn buffered_for(&self, inlet: InletId) -> usize {
        forward!(self, dispatch => dispatch.buffered_for(inlet))
    }

    fn demand(&mut self, inlet: InletId, n: usize) {
        forward!(self, dispatch => dispatch.demand(inlet, n));
    }

    fn unmet_demand(&self) -> usize {
        forward!(self, dispatch => dispatch.unmet_demand())
    }

    fn mark(&self) -> Mark {
        forward!(self, dispatch => dispatch.mark())
    }

    fn has_passed(&self, mark: &Mark) -> bool {
        forward!(self, dispatch => dispatch.has_passed(mark))
    }
}

impl<T, L: GiveBack<T, Options = ()>, R: GiveBack<T, Options = ()>> GiveBack<T> for Either<L, R> {
    fn give_back(&mut self, inlet: InletId, rest: &mut Vec<T>) {
        forward!(self, dispatch => dispatch.give_back(inlet, rest));
    }

    fn detach(&mut self, inlet: InletId) {
        forward!(self, dispatch => dispatch.detach(inlet));
    }

    fn complete(&mut self, lane: Option<NonZeroU64>) {
        forward!(self, dispatch => dispatch.complete(lane));
    }

    fn restore(&mut self, event: T) {
        forward!(self, dispatch => dispatch.restore(event));
    }
}
