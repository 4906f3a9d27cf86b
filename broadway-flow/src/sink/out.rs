//! [`OutboxSink`]: the last operator before a boundary. Collects events into packets for the workers behind it.

use super::{Control, Events, Outbox, Packet, Pushed, Seat, Signal, Sink, packet::PACKET_EVENTS_MAX};
use crate::{At, Timestamp};

/// Chooses the worker of each event.
pub(crate) trait Route<T>: Send + 'static {
    /// The index of a worker below `targets`.
    fn route(&mut self, event: &T, targets: usize) -> usize;

    /// Called when a packet is complete: the next events may go elsewhere.
    fn packet_complete(&mut self, targets: usize) {
        let _ = targets;
    }
}

/// Collects events into packets.
pub(crate) struct OutboxSink<T, R> {
    route: R,
    targets: usize,
    open: Vec<Events<T>>,
    outbox: Outbox,
}

impl<T: Send + 'static, R: Route<T>> OutboxSink<T, R> {
    pub(crate) fn new(route: R, seat: &Seat) -> Self {
        Self {
            route,
            targets: seat.targets,
            open: (0..seat.targets).map(|_| Events::new()).collect(),
            outbox: seat.outbox.clone(),
        }
    }

    fn send(&mut self, to: usize) {
        let events = std::mem::replace(&mut self.open[to], Events::new());
        self.outbox.send(Packet::of(to, events));
        self.route.packet_complete(self.targets);
    }

    fn flush(&mut self) {
        for to in 0..self.targets {
            if !self.open[to].events.is_empty() {
                self.send(to);
            }
        }
    }

    fn broadcast(&mut self, control: Control) {
        self.flush();
        for to in 0..self.targets {
            self.outbox.send(Packet::control(to, control));
        }
    }
}

impl<T: Send + 'static, R: Route<T>> Sink<T> for OutboxSink<T, R> {
    fn push(&mut self, event: T, at: At) -> Pushed {
        let to = self.route.route(&event, self.targets);
        let open = &mut self.open[to];
        if at.time != Timestamp::MIN && open.times.is_empty() {
            // Events before the first one with a time have none.
            open.times.resize(open.events.len(), Timestamp::MIN);
            open.times.push(at.time);
        } else if !open.times.is_empty() {
            open.times.push(at.time);
        }
        open.since = open.since.min(at.since);
        open.events.push(event);
        if open.events.len() >= PACKET_EVENTS_MAX {
            self.send(to);
        }
        Ok(())
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        match signal {
            Signal::Flush | Signal::Finish | Signal::Settle => self.flush(),
            Signal::Watermark(at) => self.broadcast(Control::Watermark(*at)),
            Signal::Idle => self.broadcast(Control::Idle),
            _ => {}
        }
        Ok(())
    }
}
