//! [`Inputs`]: the receiving side of a stage, which takes from its subscriptions in turn.

use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::{Cancel, End, Subscription, SubscriptionId, notice::ConsumerNotice};
use crate::{engine::link::Inlet, machine::dispatch::Dispatch};

/// An inlet of a link with any dispatcher.
pub(super) trait AnyInlet<T>: Send {
    fn poll_take(&mut self, cx: &mut Context<'_>, max: usize, out: &mut Vec<T>) -> Poll<bool>;
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    fn cancel_wait(&mut self);
    fn finish_chunk(&mut self);
    fn end(&self) -> End;
    /// Sets the end that the producer is notified of when this is dropped.
    fn set_cancel_reason(&mut self, end: End);
}

/// An inlet whose producer is notified when it is dropped.
pub(super) struct SubscribedInlet<T, D: Dispatch<T>> {
    inlet: Inlet<T, D>,
    /// Declared, and so dropped, after the inlet: when the producer is notified, the partition is free.
    cancel_notice: CancelNotice,
}

/// Notifies the producer when it is dropped.
struct CancelNotice {
    id: SubscriptionId,
    notices: mpsc::UnboundedSender<ConsumerNotice>,
    end: End,
}

impl<T, D: Dispatch<T>> SubscribedInlet<T, D> {
    pub(super) fn new(
        id: SubscriptionId,
        inlet: Inlet<T, D>,
        notices: mpsc::UnboundedSender<ConsumerNotice>,
    ) -> Self {
        let cancel_notice = CancelNotice {
            id,
            notices,
            end: End::Shutdown,
        };
        Self {
            inlet,
            cancel_notice,
        }
    }
}

impl<T: Send, D: Dispatch<T> + Send> AnyInlet<T> for SubscribedInlet<T, D> {
    fn poll_take(&mut self, cx: &mut Context<'_>, max: usize, out: &mut Vec<T>) -> Poll<bool> {
        self.inlet.poll_take(cx, max, out)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inlet.poll_ended(cx)
    }

    fn cancel_wait(&mut self) {
        self.inlet.cancel_wait();
    }

    fn finish_chunk(&mut self) {
        self.inlet.finish_chunk();
    }

    fn end(&self) -> End {
        self.inlet.end()
    }

    fn set_cancel_reason(&mut self, end: End) {
        self.cancel_notice.end = end;
    }
}

impl Drop for CancelNotice {
    fn drop(&mut self) {
        // Fails if the producer has ended and needs no notice.
        let end = self.end.clone();
        let _ = self.notices.send(ConsumerNotice::Cancelled(self.id, end));
    }
}

/// One subscription, as the loop of the consumer holds it.
pub(super) struct Input<T> {
    pub(super) subscription: Subscription,
    pub(super) inlet: Box<dyn AnyInlet<T>>,
    pub(super) cancel: Cancel,
    /// Its last poll was pending, so the link may have promised events to it.
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
    /// The index that is polled first. It moves on, so that a busy producer does not starve the others.
    first: usize,
}

/// What a subscription has for the stage.
pub(super) enum InputEvent {
    /// Events, which are in the chunk now.
    Events(Subscription),
    /// The end: no more events will come.
    Ended(SubscriptionId, End),
}

impl<T> Inputs<T> {
    pub(super) const fn new() -> Self {
        Self {
            all: Vec::new(),
            first: 0,
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

    /// Completes the chunk that was taken from the subscription last.
    pub(super) fn finish_chunk(&mut self, id: SubscriptionId) {
        if let Some(index) = self.position(id) {
            self.all[index].inlet.finish_chunk();
        }
    }

    /// Cancels all subscriptions. Their producers are notified of how the stage ended.
    pub(super) fn cancel_all(&mut self, end: &End) {
        for mut input in self.all.drain(..) {
            input.inlet.set_cancel_reason(end.clone());
        }
    }

    /// Waits for the next events, or the end, of any subscription, in turn.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Vec<T>,
    ) -> Poll<InputEvent> {
        self.poll_in_turn(|inlet| inlet.poll_take(cx, usize::MAX, chunk))
    }

    /// Waits for the end of any subscription whose events are all handled. Takes nothing.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<InputEvent> {
        self.poll_in_turn(|inlet| inlet.poll_ended(cx).map(|()| false))
    }

    /// `poll` is ready with `true` if there are events, and with `false` at the end.
    fn poll_in_turn(
        &mut self,
        mut poll: impl FnMut(&mut dyn AnyInlet<T>) -> Poll<bool>,
    ) -> Poll<InputEvent> {
        let n = self.all.len();
        for index in (0..n).map(|step| (self.first + step) % n) {
            let input = &mut self.all[index];
            let polled = poll(&mut *input.inlet);
            input.waiting = polled.is_pending();
            let Poll::Ready(has_events) = polled else {
                continue;
            };
            let event = if has_events {
                InputEvent::Events(input.subscription.clone())
            } else {
                InputEvent::Ended(input.subscription.id(), input.inlet.end())
            };
            self.first = (index + 1) % n;
            self.cancel_waits();
            return Poll::Ready(event);
        }
        Poll::Pending
    }

    /// Stops waiting for events. What the links promised to this stage goes to other consumers.
    pub(super) fn cancel_waits(&mut self) {
        for input in self.all.iter_mut().filter(|input| input.waiting) {
            input.waiting = false;
            input.inlet.cancel_wait();
        }
    }

    fn position(&self, id: SubscriptionId) -> Option<usize> {
        self.all
            .iter()
            .position(|input| input.subscription.id() == id)
    }
}
