//! [`Worker`]: runs the operators of a segment, in the task of one stage.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use broadway_core::{BoxError, stage::Subscription};

use crate::{
    FlowError, Timestamp,
    epoch::Epoch,
    live::{BarrierReport, FlowState},
    machine::{barriers::Barriers, watermarks::Watermarks},
    sink::{Control, Entry, Outbox, Packet, Pushed, Seat, Signal, blamed},
};

/// Packets that are asked of each input beforehand.
pub(super) const PACKETS_AHEAD: usize = 4;

/// Runs the operators of a segment, in the task of one stage.
pub(crate) struct Worker {
    entry: Box<dyn Entry>,
    outbox: Outbox,
    targets: usize,
    inputs: Vec<WorkerInput>,
    watermarks: Watermarks,
    barriers: Barriers,
    /// Whether a snapshot is made at the barrier on its way.
    with_state: bool,
    state: Arc<FlowState>,
    /// For errors that no operator is to blame for.
    name: String,
    /// Its number among all workers of the flow.
    number: usize,
}

/// One stage that the worker reads from.
struct WorkerInput {
    subscription: Subscription,
    /// Packets behind a barrier that other inputs have not reached yet.
    held: VecDeque<Packet>,
    ended: bool,
}

impl Worker {
    pub(super) fn new(entry: Box<dyn Entry>, seat: &Seat, name: String) -> Self {
        Self {
            entry,
            outbox: seat.outbox.clone(),
            targets: seat.targets,
            inputs: Vec::new(),
            watermarks: Watermarks::new(0),
            barriers: Barriers::new(0),
            with_state: false,
            state: Arc::clone(&seat.state),
            name,
            number: seat.state.new_worker(),
        }
    }

    /// Adds an input, and asks it for packets.
    pub(super) fn subscribed(&mut self, input: &Subscription) {
        self.watermarks.add_input();
        self.barriers.add_input();
        self.inputs.push(WorkerInput {
            subscription: input.clone(),
            held: VecDeque::new(),
            ended: false,
        });
        input.ask(PACKETS_AHEAD);
    }

    /// Takes packets of an input. Returns the packets to send.
    pub(super) fn packets(
        &mut self,
        packets: &mut Vec<Packet>,
        from: &Subscription,
    ) -> Result<Vec<Packet>, BoxError> {
        let input = self.index(from);
        self.guarded(|worker| {
            let mut taken = 0;
            for packet in packets.drain(..) {
                if worker.barriers.is_blocked(input) {
                    worker.inputs[input].held.push_back(packet);
                } else {
                    worker.packet(input, packet)?;
                    taken += 1;
                }
            }
            // Packets that are held are not asked for again, so a blocked input stops after a few.
            from.ask(taken);
            worker.flush()
        })
    }

    /// Notes the normal end of an input. Returns the packets to send, and whether it was the last input.
    pub(super) fn ended(&mut self, from: &Subscription) -> Result<(Vec<Packet>, bool), BoxError> {
        let input = self.index(from);
        let packets = self.guarded(|worker| {
            worker.inputs[input].ended = true;
            if worker.inputs[input].held.is_empty() {
                worker.end(input)?;
            }
            worker.flush()
        })?;
        Ok((packets, self.watermarks.is_ended()))
    }

    /// The time between two ticks, if an operator needs them.
    pub(super) fn tick_period(&mut self) -> Result<Option<i64>, BoxError> {
        let mut period = None;
        self.guarded(|worker| worker.entry.signal(&mut Signal::TickPeriod(&mut period)))?;
        Ok(period)
    }

    pub(super) fn tick(&mut self) -> Result<Vec<Packet>, BoxError> {
        let now = self.state.now();
        self.guarded(|worker| {
            worker.entry.signal(&mut Signal::Tick(now))?;
            worker.flush()
        })
    }

    fn index(&self, from: &Subscription) -> usize {
        let mut inputs = self.inputs.iter();
        let index = inputs.position(|input| input.subscription.id() == from.id());
        index.expect("an input that the worker is subscribed to")
    }

    /// Runs operators. Names the one that fails, ends the flow, and returns what they sent.
    fn guarded(&mut self, run: impl FnOnce(&mut Self) -> Pushed) -> Result<Vec<Packet>, BoxError> {
        let result = catch_unwind(AssertUnwindSafe(|| run(self)));
        let result = result.unwrap_or_else(|payload| {
            let operator = blamed().map_or_else(|| self.name.clone(), |info| info.to_string());
            Err(FlowError::panicked(operator, &*payload))
        });
        match result {
            Ok(()) => Ok(self.outbox.take()),
            Err(error) => {
                self.state.fail(error.clone());
                Err(error.into())
            }
        }
    }

    fn flush(&mut self) -> Pushed {
        self.entry.signal(&mut Signal::Flush)
    }

    fn packet(&mut self, input: usize, packet: Packet) -> Pushed {
        if let Some(events) = packet.events {
            let advanced = self.watermarks.active(input);
            self.watermark(advanced)?;
            self.entry.events(events)?;
            // Also if more packets are there: watermarks go on behind each. With a watermark, the events go on in one packet.
            if let Some(Control::Watermark(to)) = packet.control {
                let advanced = self.watermarks.advance(input, to);
                self.watermark(advanced)?;
                return self.flush();
            }
            self.flush()?;
        }
        match packet.control {
            None => Ok(()),
            Some(Control::Watermark(to)) => {
                let advanced = self.watermarks.advance(input, to);
                self.watermark(advanced)
            }
            Some(Control::Idle) => {
                let advanced = self.watermarks.idle(input);
                self.watermark(advanced)?;
                match self.watermarks.is_idle() {
                    true => self.entry.signal(&mut Signal::Idle),
                    false => Ok(()),
                }
            }
            Some(Control::Barrier(epoch, with_state)) => {
                // All barriers of an epoch are alike.
                self.with_state = with_state;
                match self.barriers.barrier(input, epoch) {
                    Some(epoch) => self.barrier(epoch, with_state),
                    None => Ok(()),
                }
            }
        }
    }

    fn watermark(&mut self, advanced: Option<Timestamp>) -> Pushed {
        match advanced {
            // The end of the last input is a signal of its own.
            None | Some(Timestamp::MAX) => Ok(()),
            Some(to) => self.entry.signal(&mut Signal::Watermark(to)),
        }
    }

    /// Every input has reached the barrier: everything before it is handled, and nothing behind it.
    fn barrier(&mut self, epoch: Epoch, with_state: bool) -> Pushed {
        self.entry.signal(&mut Signal::Settle)?;
        let mut holds = Epoch::NONE;
        self.entry.signal(&mut Signal::Holds(&mut holds))?;
        let mut shards = Vec::new();
        self.entry.signal(&mut Signal::Shards(&mut shards))?;
        let mut states = Vec::new();
        if with_state {
            self.entry.signal(&mut Signal::Save(&mut states))?;
        }
        let report = BarrierReport {
            epoch,
            holds,
            shards,
            states,
        };
        self.state.report(self.number, Some(report));
        for to in 0..self.targets {
            let barrier = Control::Barrier(epoch, with_state);
            self.outbox.send(Packet::control(to, barrier));
        }
        self.release()
    }

    /// Takes the packets that were held for the barrier.
    fn release(&mut self) -> Pushed {
        for input in 0..self.inputs.len() {
            let mut taken = 0;
            while !self.barriers.is_blocked(input) {
                let Some(packet) = self.inputs[input].held.pop_front() else {
                    break;
                };
                self.packet(input, packet)?;
                taken += 1;
            }
            self.inputs[input].subscription.ask(taken);
            let is_over = self.inputs[input].ended && self.inputs[input].held.is_empty();
            if taken > 0 && is_over {
                self.end(input)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, input: usize) -> Pushed {
        if let Some(epoch) = self.barriers.end(input) {
            self.barrier(epoch, self.with_state)?;
        }
        let was_idle = self.watermarks.is_idle();
        let advanced = self.watermarks.end(input);
        self.watermark(advanced)?;
        if !was_idle && self.watermarks.is_idle() {
            // It was the last one that was active.
            self.entry.signal(&mut Signal::Idle)?;
        }
        if self.watermarks.is_ended() {
            self.entry.signal(&mut Signal::Finish)?;
            self.state.report(self.number, None);
        }
        Ok(())
    }
}
