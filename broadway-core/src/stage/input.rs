//! The receiving side of a stage: its subscriptions, taken from in turn.

use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::{Cancel, End, Subscription, SubscriptionId, output::Notice};
use crate::engine::link::Inlet;
use crate::machine::dispatch::Dispatch;

/// An inlet of a link with any dispatcher.
pub(super) trait AnyInlet<T>: Send {
    fn poll_take(&mut self, cx: &mut Context<'_>, max: usize, out: &mut Vec<T>) -> Poll<bool>;
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    fn rest(&mut self);
    fn done(&mut self);
    fn end(&self) -> End;
    /// What the producer is told when this is dropped.
    fn leave_as(&mut self, end: End);
}

/// An inlet whose producer is told when it is gone.
pub(super) struct Connected<T, D: Dispatch<T>> {
    inlet: Inlet<T, D>,
    /// Behind the inlet, so that its seat is free when the producer is told.
    parting: Parting,
}

/// Tells the producer, when dropped.
struct Parting {
    id: SubscriptionId,
    notices: mpsc::UnboundedSender<Notice>,
    end: End,
}

impl<T, D: Dispatch<T>> Connected<T, D> {
    pub(super) fn new(
        id: SubscriptionId,
        inlet: Inlet<T, D>,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Self {
        let parting = Parting {
            id,
            notices,
            end: End::Shutdown,
        };
        Self { inlet, parting }
    }
}

impl<T: Send, D: Dispatch<T> + Send> AnyInlet<T> for Connected<T, D> {
    fn poll_take(&mut self, cx: &mut Context<'_>, max: usize, out: &mut Vec<T>) -> Poll<bool> {
        self.inlet.poll_take(cx, max, out)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inlet.poll_ended(cx)
    }

    fn rest(&mut self) {
        self.inlet.rest();
    }

    fn done(&mut self) {
        self.inlet.done();
    }

    fn end(&self) -> End {
        self.inlet.end()
    }

    fn leave_as(&mut self, end: End) {
        self.parting.end = end;
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        // If the stage has ended there is nobody to tell.
        let end = self.end.clone();
        let _ = self.notices.send(Notice::Cancelled(self.id, end));
    }
}

/// One subscription, as the consumer's loop has it.
pub(super) struct Input<T> {
    pub(super) subscription: Subscription,
    pub(super) inlet: Box<dyn AnyInlet<T>>,
    pub(super) cancel: Cancel,
    /// It was polled in vain, and events may be promised to it.
    waiting: bool,
}

impl<T> Input<T> {
    pub(super) fn new(
        subscription: Subscription,
        inlet: Box<dyn AnyInlet<T>>,
        cancel: Cancel,
    ) -> Self {
        Self {
            subscription,
            inlet,
            cancel,
            waiting: false,
        }
    }
}

/// The subscriptions of a stage.
pub(super) struct Inputs<T> {
    all: Vec<Input<T>>,
    /// Who is asked first, so that a busy producer does not starve the others.
    turn: usize,
}

/// What came of a subscription.
pub(super) enum Came {
    /// Events, now in the chunk.
    Events(Subscription),
    /// There will be no more.
    Ended(SubscriptionId, End),
}

impl<T> Inputs<T> {
    pub(super) const fn new() -> Self {
        Self {
            all: Vec::new(),
            turn: 0,
        }
    }

    pub(super) fn add(&mut self, input: Input<T>) {
        self.all.push(input);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn subscriptions(&self) -> Vec<Subscription> {
        let all = self.all.iter();
        all.map(|input| input.subscription.clone()).collect()
    }

    pub(super) fn remove(&mut self, id: SubscriptionId) -> Option<Input<T>> {
        let index = self.position(id)?;
        Some(self.all.remove(index))
    }

    /// The events that came last are handled.
    pub(super) fn done(&mut self, id: SubscriptionId) {
        if let Some(index) = self.position(id) {
            self.all[index].inlet.done();
        }
    }

    /// Everyone learns how the stage ended.
    pub(super) fn leave_as(&mut self, end: &End) {
        for mut input in self.all.drain(..) {
            input.inlet.leave_as(end.clone());
        }
    }

    /// The next events, or end, of any subscription, in turn.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>, chunk: &mut Vec<T>) -> Poll<Came> {
        self.poll_in_turn(|inlet| inlet.poll_take(cx, usize::MAX, chunk))
    }

    /// The end of any subscription of which all is handled. Nothing is taken, and nothing promised.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Came> {
        self.poll_in_turn(|inlet| inlet.poll_ended(cx).map(|()| false))
    }

    /// Polls for whether there are events (`true`) or there is an end.
    fn poll_in_turn(
        &mut self,
        mut poll: impl FnMut(&mut dyn AnyInlet<T>) -> Poll<bool>,
    ) -> Poll<Came> {
        let n = self.all.len();
        for index in (0..n).map(|step| (self.turn + step) % n) {
            let input = &mut self.all[index];
            let polled = poll(&mut *input.inlet);
            input.waiting = polled.is_pending();
            let Poll::Ready(some) = polled else {
                continue;
            };
            let came = if some {
                Came::Events(input.subscription.clone())
            } else {
                Came::Ended(input.subscription.id(), input.inlet.end())
            };
            self.turn = (index + 1) % n;
            self.rest();
            return Poll::Ready(came);
        }
        Poll::Pending
    }

    /// Nobody waits for events any more: what they were woken for is for others.
    pub(super) fn rest(&mut self) {
        for input in self.all.iter_mut().filter(|input| input.waiting) {
            input.waiting = false;
            input.inlet.rest();
        }
    }

    fn position(&self, id: SubscriptionId) -> Option<usize> {
        self.all
            .iter()
            .position(|input| input.subscription.id() == id)
    }
}
