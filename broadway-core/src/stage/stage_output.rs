//! [`StageOutput`]: the sending side of a stage. Emitted events go to the link as far as there is demand, the rest into the buffer.

use std::{
    convert::Infallible,
    num::NonZeroUsize,
    task::{Context, Poll},
};

use super::{
    End,
    buffer::{Buffer, WhenFull},
};
use crate::{
    caught::{self, guarded},
    engine::link::Outlet,
    error::{Callback, Reason},
    machine::{
        buffer::{EventBuffer, Keep},
        dispatch::{Dispatch, Mark},
    },
};

/// Sends what a stage emits.
pub(super) trait StageOutput<E>: Send {
    /// Waits for new demand that the buffer could not serve. Returns `None` if no consumer can ever ask again.
    fn poll_demand(&mut self, cx: &mut Context<'_>) -> Poll<Option<NonZeroUsize>>;
    /// Returns the outstanding demand: reported to the stage and not emitted.
    fn outstanding(&self) -> usize;
    /// Sends or buffers all of `events`; those that find no room go to `discarded`.
    fn emit(&mut self, events: &mut Vec<E>, discarded: &mut Vec<E>);
    /// Returns how many events, also buffered ones, the dispatcher dropped since the last call.
    fn take_dropped(&mut self) -> usize;
    /// Returns why the dispatcher could not place events, if that happened since the last call.
    fn take_error(&mut self) -> Option<Reason>;
    /// Whether the stage must not emit more than the outstanding demand.
    fn is_full(&self) -> bool;
    fn buffered(&self) -> usize;
    /// Whether everything emitted before `position` has been asked for. If not, [`poll_demand`](Self::poll_demand) wakes when that
    /// may have changed.
    fn has_passed(&mut self, position: &mut OutputPosition) -> bool;
    /// Returns the position behind all that was emitted so far.
    fn position(&self) -> OutputPosition;
    /// Sets whether demand is reported to the stage, or accumulated.
    fn set_forwarding(&mut self, forwarding: bool);
    /// Reports the outstanding demand again, with the next one: the stage was restarted and does not know it.
    fn report_again(&mut self);
    /// Sends the buffered events, also without demand.
    fn send_buffered(&mut self);
    /// Sends the end.
    fn close(&mut self, end: End);
}

/// A position in the events that a stage emits.
#[derive(Debug)]
pub(super) enum OutputPosition {
    /// Behind this many events that went through the buffer.
    Buffered(u64),
    /// In the link.
    Sent(Mark),
}

/// The sending side of a stage with a link.
///
/// Demand moves from *unreported* (requested by the link, unknown to the stage) to *outstanding* (reported to the stage, not emitted).
pub(super) struct LinkOutput<E: Send, D: Dispatch<E>> {
    outlet: Outlet<E, D>,
    /// The number of the wait for demand.
    wait: Option<u64>,
    outstanding: usize,
    unreported: usize,
    /// `false`: demand accumulates.
    forwarding: bool,
    /// Emitted while demand accumulates, as far as it serves demand that was outstanding before.
    emitted_ahead: usize,
    buffer: EventBuffer<E>,
    options: Buffer,
    /// How many events have left the buffer, at its front.
    dequeued: u64,
    /// Memory for events on their way through the buffer.
    chunk: Vec<E>,
    error: Option<Reason>,
    /// How many events the dispatcher dropped that were not reported yet.
    dropped: usize,
}

impl<E: Send, D: Dispatch<E>> LinkOutput<E, D> {
    pub(super) fn new(outlet: Outlet<E, D>, options: Buffer, forwarding: bool) -> Self {
        let buffer = match options.when_full() {
            WhenFull::Wait => EventBuffer::new(None, Keep::Last),
            WhenFull::Discard(keep) => EventBuffer::new(Some(options.size()), keep),
        };
        Self {
            outlet,
            wait: None,
            outstanding: 0,
            unreported: 0,
            forwarding,
            emitted_ahead: 0,
            buffer,
            options,
            dequeued: 0,
            chunk: Vec::new(),
            error: None,
            dropped: 0,
        }
    }

    /// Sends up to `n` of the buffered events. Returns how many the link has now.
    fn send_from_buffer(&mut self, n: usize) -> usize {
        self.dequeued += self.buffer.take(n, &mut self.chunk) as u64;
        let mut chunk = std::mem::take(&mut self.chunk);
        let sent = self.offer(&mut chunk);
        self.chunk = chunk;
        sent
    }

    /// Gives events to the link. Returns how many of them the link has now: all, or none if a function of the dispatcher's panicked.
    /// The events are lost then, and the demand for them stays.
    fn offer(&mut self, events: &mut Vec<E>) -> usize {
        let (outlet, n) = (&self.outlet, events.len());
        match guarded(|| outlet.offer(events)) {
            Ok(offered) => {
                if let Some(misrouted) = offered.misrouted.first() {
                    let reason = Reason::error(Callback::Dispatch, misrouted.to_string());
                    self.error = Some(reason);
                }
                self.dropped += offered.discarded;
                n
            }
            Err(panicked) => {
                let _ = caught::clear(events);
                self.error = Some(panicked.reason(Callback::Dispatch));
                0
            }
        }
    }
}

impl<E: Send, D: Dispatch<E> + Send> StageOutput<E> for LinkOutput<E, D> {
    fn poll_demand(&mut self, cx: &mut Context<'_>) -> Poll<Option<NonZeroUsize>> {
        loop {
            if self.forwarding && self.unreported > 0 {
                let demand = std::mem::take(&mut self.unreported);
                // The buffer first: its events are older than all that the stage emits from here on.
                let new = demand - self.send_from_buffer(demand);
                self.outstanding += new;
                if let Some(new) = NonZeroUsize::new(new) {
                    return Poll::Ready(Some(new));
                }
            }
            let (outlet, wait) = (&self.outlet, &mut self.wait);
            let polled = guarded(|| outlet.poll_new_demand(wait, cx));
            let polled = polled.unwrap_or_else(|panicked| {
                self.error = Some(panicked.reason(Callback::Dispatch));
                Poll::Pending
            });
            match polled {
                Poll::Ready(Some(demand)) => self.unreported += demand.get(),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn outstanding(&self) -> usize {
        if self.forwarding { self.outstanding } else { 0 }
    }

    fn emit(&mut self, events: &mut Vec<E>, discarded: &mut Vec<E>) {
        if events.is_empty() {
            return;
        }
        let outstanding = self.outstanding();
        let n = events.len();
        if !self.forwarding {
            self.emitted_ahead = self.outstanding.min(self.emitted_ahead + n);
        }
        if n > outstanding || !self.buffer.is_empty() {
            // Behind buffered events all must queue, or they would overtake.
            let surplus_from = if self.buffer.is_empty() {
                outstanding
            } else {
                0
            };
            self.chunk.extend(events.drain(surplus_from..));
            let (before, surplus) = (self.buffer.len(), self.chunk.len());
            self.buffer.push_or_discard(&mut self.chunk, discarded);
            // Events discarded at the front have left the buffer, too: positions behind it would wait forever otherwise.
            if matches!(self.options.when_full(), WhenFull::Discard(Keep::Last)) {
                self.dequeued += (before + surplus - self.buffer.len()) as u64;
            }
        }
        self.outstanding -= self.offer(events);
    }

    fn take_dropped(&mut self) -> usize {
        std::mem::take(&mut self.dropped)
    }

    fn take_error(&mut self) -> Option<Reason> {
        self.error.take()
    }

    fn is_full(&self) -> bool {
        self.options.when_full() == WhenFull::Wait && self.buffer.len() >= self.options.size()
    }

    fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn has_passed(&mut self, position: &mut OutputPosition) -> bool {
        if let OutputPosition::Buffered(until) = position {
            if self.dequeued < *until {
                return false;
            }
            *position = OutputPosition::Sent(self.outlet.mark());
        }
        match position {
            OutputPosition::Buffered(_) => false,
            OutputPosition::Sent(mark) => self.outlet.has_passed(mark),
        }
    }

    fn position(&self) -> OutputPosition {
        OutputPosition::Buffered(self.dequeued + self.buffer.len() as u64)
    }

    fn set_forwarding(&mut self, forwarding: bool) {
        self.forwarding = forwarding;
        if forwarding {
            // Events emitted meanwhile may serve demand that was outstanding before, so they are sent now. Where such events were
            // discarded instead, the stage has emitted for that demand already: the demand is reported to it again.
            let sent = self.send_from_buffer(self.outstanding);
            let unserved = std::mem::take(&mut self.emitted_ahead).saturating_sub(sent);
            self.outstanding -= sent + unserved;
            self.unreported += unserved;
        }
    }

    fn report_again(&mut self) {
        self.unreported += std::mem::take(&mut self.outstanding);
        self.emitted_ahead = 0;
    }

    fn send_buffered(&mut self) {
        self.send_from_buffer(usize::MAX);
    }

    fn close(&mut self, end: End) {
        self.outlet.close_as(end);
    }
}

impl<E: Send, D: Dispatch<E>> Drop for LinkOutput<E, D> {
    fn drop(&mut self) {
        // Does nothing if the output was closed. If not, the task was aborted.
        self.outlet.close_as(End::Shutdown);
    }
}

/// The sending side of a stage that sends nothing.
pub(super) struct NoOutput;

impl StageOutput<Infallible> for NoOutput {
    fn poll_demand(&mut self, _cx: &mut Context<'_>) -> Poll<Option<NonZeroUsize>> {
        Poll::Pending
    }

    fn outstanding(&self) -> usize {
        0
    }

    fn emit(&mut self, _events: &mut Vec<Infallible>, _discarded: &mut Vec<Infallible>) {}

    fn take_dropped(&mut self) -> usize {
        0
    }

    fn take_error(&mut self) -> Option<Reason> {
        None
    }

    fn is_full(&self) -> bool {
        false
    }

    fn buffered(&self) -> usize {
        0
    }

    fn has_passed(&mut self, _position: &mut OutputPosition) -> bool {
        true
    }

    fn position(&self) -> OutputPosition {
        OutputPosition::Buffered(0)
    }

    fn set_forwarding(&mut self, _forwarding: bool) {}

    fn report_again(&mut self) {}

    fn send_buffered(&mut self) {}

    fn close(&mut self, _end: End) {}
}
