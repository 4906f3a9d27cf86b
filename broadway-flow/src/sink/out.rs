//! [`OutboxSink`]: the last operator before a boundary. Collects events into packets for the workers behind it.

use super::{
    Control, Events, Outbox, Packet, Pushed, Seat, Signal, Sink, packet::PACKET_EVENTS_MAX,
};
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
    /// The events of the last packet to each worker: as many are expected in the next one.
    expected: Vec<usize>,
    outbox: Outbox,
}

impl<T: Send + 'static, R: Route<T>> OutboxSink<T, R> {
    pub(crate) fn new(route: R, seat: &Seat) -> Self {
        Self {
            route,
            targets: seat.targets,
            open: (0..seat.targets).map(|_| Events::new()).collect(),
            expected: vec![0; seat.targets],
            outbox: seat.outbox.clone(),
        }
    }

    /// Sends the events of a worker, and a signal behind them.
    fn send(&mut self, to: usize, control: Option<Control>) {
        let events = std::mem::replace(&mut self.open[to], Events::new());
        self.expected[to] = events.events.len();
        let packet = Packet::of(to, events);
        self.outbox.send(Packet { control, ..packet });
        self.route.packet_complete(self.targets);
    }

    fn flush(&mut self) {
        for to in 0..self.targets {
            if !self.open[to].events.is_empty() {
                self.send(to, None);
            }
        }
    }

    fn broadcast(&mut self, control: Control) {
        for to in 0..self.targets {
            if self.open[to].events.is_empty() {
                self.outbox.send(Packet::control(to, control));
            } else {
                self.send(to, Some(control));
            }
        }
    }

    /// Makes room for a packet.
    #[cold]
    fn reserve(&mut self, to: usize, has_time: bool) {
        let (open, expected) = (&mut self.open[to], self.expected[to]);
        open.events.reserve(expected);
        if has_time {
            open.times.reserve(expected);
        }
    }
}

impl<T: Send + 'static, R: Route<T>> Sink<T> for OutboxSink<T, R> {
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        let to = self.route.route(&event, self.targets);
        if self.open[to].events.capacity() == 0 {
            self.reserve(to, at.time != Timestamp::MIN);
        }
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
            self.send(to, None);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{epoch::Epoch, live::FlowState};

    /// Sends even numbers to the first worker, and odd ones to the second.
    struct ByParity;

    impl Route<u64> for ByParity {
        fn route(&mut self, event: &u64, _targets: usize) -> usize {
            usize::from(event % 2 == 1)
        }
    }

    #[test]
    fn a_watermark_goes_in_one_packet_with_the_events_before_it() {
        let seat = Seat {
            worker: 0,
            workers: 1,
            targets: 2,
            outbox: Outbox::default(),
            state: Arc::new(FlowState::new(
                "flow".into(),
                None,
                crate::Snapshot::default(),
            )),
        };
        let mut sink = OutboxSink::new(ByParity, &seat);
        let to = Timestamp::from_millis(7);
        let at = At {
            time: to,
            since: Epoch::NONE,
        };
        sink.push(1, at).unwrap();
        sink.push(3, at).unwrap();
        sink.signal(&mut Signal::Watermark(to)).unwrap();
        let packets = seat.outbox.take();
        let sent: Vec<_> = packets
            .iter()
            .map(|packet| (packet.to, packet.events.is_some(), packet.control))
            .collect();
        let control = Some(Control::Watermark(to));
        assert_eq!(sent, [(0, false, control), (1, true, control)]);
    }
}
