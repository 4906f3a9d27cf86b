//! The sending side of a stage: what was emitted goes to the link as far as it was asked for, the rest into the buffer.

use std::{
    num::NonZeroUsize,
    task::{Context, Poll},
};

use super::{End, Nothing};
use crate::engine::link::Outlet;
use crate::{
    caught::{self, guarded},
    error::{Callback, Reason},
    machine::{
        buffer::{EventBuffer as Queue, Keep},
        dispatch::{Dispatch, Mark},
    },
};

/// Where events wait that were emitted and not asked for.
///
/// Consumers get them, in order, before the stage is asked for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    size: usize,
    full: Full,
}

/// What happens when the buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Wait,
    Discard(Keep),
}

impl Buffer {
    /// The default, with a size of 10,000: nothing is discarded. While `size` events or more wait, the stage receives no messages
    /// and its timers rest, so senders wait. What a single callback emits is kept in any case, however much it is.
    #[must_use]
    pub const fn wait(size: usize) -> Self {
        Self {
            size,
            full: Full::Wait,
        }
    }

    /// Keeps the first `size` events; newer ones are discarded. GenStage's `buffer_keep: :first`.
    #[must_use]
    pub const fn keep_first(size: usize) -> Self {
        Self {
            size,
            full: Full::Discard(Keep::First),
        }
    }

    /// Keeps the last `size` events; older ones are discarded. GenStage's default.
    #[must_use]
    pub const fn keep_last(size: usize) -> Self {
        Self {
            size,
            full: Full::Discard(Keep::Last),
        }
    }

    /// Keeps all, if memory allows it.
    #[must_use]
    pub const fn unbounded() -> Self {
        Self::wait(usize::MAX)
    }

    /// The number of events at which it is full.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::wait(10_000)
    }
}

/// Sends what a stage emits.
pub(super) trait Emits<E>: Send {
    /// New demand that the buffer could not serve. `None`: nobody can ever ask again.
    fn poll_demand(&mut self, cx: &mut Context<'_>) -> Poll<Option<NonZeroUsize>>;
    /// How much was asked for and not emitted.
    fn asked(&self) -> usize;
    /// Empties `events`; what finds no room goes to `discarded`.
    fn emit(&mut self, events: &mut Vec<E>, discarded: &mut Vec<E>);
    /// How many events the dispatcher chose to drop since the last time: of those emitted, and of those that had to wait first.
    fn take_dropped(&mut self) -> usize;
    /// Why the dispatcher could not place events, if that happened since the last time.
    fn trouble(&mut self) -> Option<Reason>;
    /// Whether the stage must not emit more than it was asked for.
    fn is_full(&self) -> bool;
    fn buffered(&self) -> usize;
    /// Whether everything emitted before `point` has been asked for. If not, [`poll_demand`](Self::poll_demand) wakes when
    /// that may have changed.
    fn has_passed(&mut self, point: &mut Point) -> bool;
    fn point(&self) -> Point;
    /// Demand is told (`true`), or kept for later.
    fn forward(&mut self, forward: bool);
    /// What was told and not emitted is told again, with what is asked for next: the stage is a new one.
    fn retell(&mut self);
    /// Sends what is buffered, also if nobody has asked for it.
    fn drain(&mut self);
    /// Sends the end.
    fn close(&mut self, end: End);
}

/// A point in what a stage emits.
#[derive(Debug)]
pub(super) enum Point {
    /// Behind so many events of the buffer.
    Buffered(u64),
    /// In the link.
    Sent(Mark),
}

/// The sending side of a stage with a link.
pub(super) struct Emission<E: Send, D: Dispatch<E>> {
    outlet: Outlet<E, D>,
    /// The number of the wait for demand.
    wait: Option<u64>,
    /// Told to the stage, and not emitted.
    asked: usize,
    /// Not told to the stage yet.
    untold: usize,
    forward: bool,
    /// Emitted while demand is kept, of what was asked for before.
    answered: usize,
    queue: Queue<E>,
    buffer: Buffer,
    /// How many events have left the buffer, at its front.
    left: u64,
    /// Memory for what goes from the buffer to the link.
    piece: Vec<E>,
    trouble: Option<Reason>,
    /// How many the dispatcher dropped, to be told.
    dropped: usize,
}

impl<E: Send, D: Dispatch<E>> Emission<E, D> {
    pub(super) fn new(outlet: Outlet<E, D>, buffer: Buffer, forward: bool) -> Self {
        let queue = match buffer.full {
            Full::Wait => Queue::new(None, Keep::Last),
            Full::Discard(keep) => Queue::new(Some(buffer.size), keep),
        };
        Self {
            outlet,
            wait: None,
            asked: 0,
            untold: 0,
            forward,
            answered: 0,
            queue,
            buffer,
            left: 0,
            piece: Vec::new(),
            trouble: None,
            dropped: 0,
        }
    }

    /// Sends up to `n` of the buffered events; returns how many the link has now.
    fn serve(&mut self, n: usize) -> usize {
        self.left += self.queue.take(n, &mut self.piece) as u64;
        let mut piece = std::mem::take(&mut self.piece);
        let sent = self.offer(&mut piece);
        self.piece = piece;
        sent
    }

    /// Gives events to the link, and returns how many it has of them now. Its dispatcher may call functions of the user's: if
    /// one panics the events are gone, and what was asked for still is.
    fn offer(&mut self, events: &mut Vec<E>) -> usize {
        let (outlet, n) = (&self.outlet, events.len());
        match guarded(|| outlet.offer(events)) {
            Ok(offered) => {
                if let Some(misrouted) = offered.misrouted.first() {
                    let reason = Reason::error(Callback::Dispatch, misrouted.to_string());
                    self.trouble = Some(reason);
                }
                self.dropped += offered.discarded;
                n
            }
            Err(panicked) => {
                let _ = caught::clear(events);
                self.trouble = Some(panicked.reason(Callback::Dispatch));
                0
            }
        }
    }
}

impl<E: Send, D: Dispatch<E> + Send> Emits<E> for Emission<E, D> {
    fn poll_demand(&mut self, cx: &mut Context<'_>) -> Poll<Option<NonZeroUsize>> {
        loop {
            if self.forward && self.untold > 0 {
                let demand = std::mem::take(&mut self.untold);
                let new = demand - self.serve(demand);
                self.asked += new;
                if let Some(new) = NonZeroUsize::new(new) {
                    return Poll::Ready(Some(new));
                }
            }
            let (outlet, wait) = (&self.outlet, &mut self.wait);
            let polled = guarded(|| outlet.poll_demand(wait, cx));
            let polled = polled.unwrap_or_else(|panicked| {
                self.trouble = Some(panicked.reason(Callback::Dispatch));
                Poll::Pending
            });
            match polled {
                Poll::Ready(Some(demand)) => self.untold += demand.get(),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn asked(&self) -> usize {
        if self.forward { self.asked } else { 0 }
    }

    fn emit(&mut self, events: &mut Vec<E>, discarded: &mut Vec<E>) {
        if events.is_empty() {
            return;
        }
        let asked = self.asked();
        let n = events.len();
        if !self.forward {
            self.answered = self.asked.min(self.answered + n);
        }
        if n > asked || !self.queue.is_empty() {
            let surplus_from = if self.queue.is_empty() { asked } else { 0 };
            self.piece.extend(events.drain(surplus_from..));
            let (before, surplus) = (self.queue.len(), self.piece.len());
            self.queue.push_or_discard(&mut self.piece, discarded);
            if matches!(self.buffer.full, Full::Discard(Keep::Last)) {
                self.left += (before + surplus - self.queue.len()) as u64;
            }
        }
        self.asked -= self.offer(events);
    }

    fn take_dropped(&mut self) -> usize {
        std::mem::take(&mut self.dropped)
    }

    fn trouble(&mut self) -> Option<Reason> {
        self.trouble.take()
    }

    fn is_full(&self) -> bool {
        self.buffer.full == Full::Wait && self.queue.len() >= self.buffer.size
    }

    fn buffered(&self) -> usize {
        self.queue.len()
    }

    fn has_passed(&mut self, point: &mut Point) -> bool {
        if let Point::Buffered(until) = point {
            if self.left < *until {
                return false;
            }
            *point = Point::Sent(self.outlet.mark());
        }
        match point {
            Point::Buffered(_) => false,
            Point::Sent(mark) => self.outlet.has_passed(mark),
        }
    }

    fn point(&self) -> Point {
        Point::Buffered(self.left + self.queue.len() as u64)
    }

    fn forward(&mut self, forward: bool) {
        self.forward = forward;
        if forward {
            // What was emitted meanwhile may have been asked for before. As the stage has emitted it, it is told again of
            // what was discarded of that.
            let sent = self.serve(self.asked);
            let again = std::mem::take(&mut self.answered).saturating_sub(sent);
            self.asked -= sent + again;
            self.untold += again;
        }
    }

    fn retell(&mut self) {
        self.untold += std::mem::take(&mut self.asked);
        self.answered = 0;
    }

    fn drain(&mut self) {
        self.serve(usize::MAX);
    }

    fn close(&mut self, end: End) {
        self.outlet.close_as(end);
    }
}

impl<E: Send, D: Dispatch<E>> Drop for Emission<E, D> {
    fn drop(&mut self) {
        // Unless it was closed: the task was aborted.
        self.outlet.close_as(End::Shutdown);
    }
}

/// The sending side of a stage that sends nothing.
pub(super) struct Silent;

impl Emits<Nothing> for Silent {
    fn poll_demand(&mut self, _cx: &mut Context<'_>) -> Poll<Option<NonZeroUsize>> {
        Poll::Pending
    }

    fn asked(&self) -> usize {
        0
    }

    fn emit(&mut self, _events: &mut Vec<Nothing>, _discarded: &mut Vec<Nothing>) {}

    fn take_dropped(&mut self) -> usize {
        0
    }

    fn trouble(&mut self) -> Option<Reason> {
        None
    }

    fn is_full(&self) -> bool {
        false
    }

    fn buffered(&self) -> usize {
        0
    }

    fn has_passed(&mut self, _point: &mut Point) -> bool {
        true
    }

    fn point(&self) -> Point {
        Point::Buffered(0)
    }

    fn forward(&mut self, _forward: bool) {}

    fn retell(&mut self) {}

    fn drain(&mut self) {}

    fn close(&mut self, _end: End) {}
}
