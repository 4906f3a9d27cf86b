//! [`EventTime`]: when events happened, and how far time has come.

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::Problem;

use crate::{
    At, FlowError, FlowErrorKind, Timestamp,
    live::FlowState,
    machine::{event_clock::EventClock, saved},
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
    state::SavedState,
    time::millis,
};

/// When events happened, and how far time has come. For [`Flow::event_time`](crate::Flow::event_time).
///
/// The watermark is the time up to which events are expected to be complete: the latest time seen, minus the [disorder](Self::disorder). Windows that end
/// before it fire. With several [inputs](Self::inputs), it is the earliest of their watermarks.
#[must_use]
pub struct EventTime<T> {
    time: Arc<dyn Fn(&T) -> Timestamp + Send + Sync>,
    input: Option<Arc<InputFn<T>>>,
    expected: Vec<u64>,
    disorder: i64,
    idle_after: Option<i64>,
}

type InputFn<T> = dyn Fn(&T) -> u64 + Send + Sync;

impl<T> EventTime<T> {
    /// Takes the time of an event from `time`.
    pub fn new(time: impl Fn(&T) -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            time: Arc::new(time),
            input: None,
            expected: Vec::new(),
            disorder: 0,
            idle_after: None,
        }
    }

    /// Sets how much older than the latest event the next one may be. Windows fire that much later. Defaults to zero: events are in order.
    pub const fn disorder(mut self, disorder: Duration) -> Self {
        self.disorder = millis(disorder);
        self
    }

    /// Sets which input an event came from, such as the partition of a record. An input that is behind holds the watermark back, so that its events are not
    /// late. By default all events are from one input.
    pub fn inputs(mut self, input: impl Fn(&T) -> u64 + Send + Sync + 'static) -> Self {
        self.input = Some(Arc::new(input));
        self
    }

    /// Names inputs that hold the watermark back before their first event, such as the partitions of a topic. By default an input counts from its
    /// first event on: what others have before, such as a backlog that is read partition by partition, moves the watermark, and its first events
    /// may be late. An expected input without events holds all windows open, unless [`idle_after`](Self::idle_after) is set.
    ///
    /// [Snapshots](crate::Flow::snapshots) save the latest time of each input: after a restart, the inputs that were behind still hold the watermark back.
    pub fn expect_inputs(mut self, inputs: impl IntoIterator<Item = u64>) -> Self {
        self.expected.extend(inputs);
        self
    }

    /// Leaves an input out of the watermark when it had no event for this long, in processing time. Its next events may be late. By default an input
    /// holds the watermark back until it has events. The time counts from the start of the program, also behind a restored snapshot.
    pub const fn idle_after(mut self, idle: Duration) -> Self {
        self.idle_after = Some(millis(idle));
        self
    }

    pub(crate) const fn may_idle(&self) -> bool {
        self.idle_after.is_some()
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        match self.idle_after {
            Some(0) => vec![Problem::new("idle_after", "must be at least 1 ms")],
            _ => Vec::new(),
        }
    }
}

impl<T> Clone for EventTime<T> {
    fn clone(&self) -> Self {
        Self {
            time: Arc::clone(&self.time),
            input: self.input.clone(),
            expected: self.expected.clone(),
            ..*self
        }
    }
}

/// As plans show it.
impl<T> fmt::Display for EventTime<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        match self.disorder {
            0 => f.write_str("in order")?,
            disorder => write!(f, "disorder {:?}", ms(disorder))?,
        }
        if self.input.is_some() {
            f.write_str(", by input")?;
        }
        if !self.expected.is_empty() {
            write!(f, ", {} expected", self.expected.len())?;
        }
        if let Some(idle) = self.idle_after {
            write!(f, ", idle after {:?}", ms(idle))?;
        }
        Ok(())
    }
}

impl<T> fmt::Debug for EventTime<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventTime")
            .field("disorder", &self.disorder)
            .field("idle_after", &self.idle_after)
            .finish_non_exhaustive()
    }
}

/// What snapshots save: whether events name their inputs, the watermark, and the highest time of each input.
type SavedClock = (bool, Timestamp, Vec<(u64, Timestamp)>);

const VERSION: u8 = 1;

/// Sets the time of events, and sends watermarks behind each packet.
pub(crate) struct EventTimeSink<T, S> {
    options: EventTime<T>,
    clock: EventClock,
    /// Whether the next event is the first of a packet.
    is_new_packet: bool,
    was_idle: bool,
    worker: usize,
    state: Arc<FlowState>,
    meter: Meter,
    next: S,
}

impl<T: Send + 'static, S: Sink<T>> EventTimeSink<T, S> {
    pub(crate) fn new(
        options: EventTime<T>,
        info: Arc<OperatorInfo>,
        seat: &Seat,
        next: S,
    ) -> Self {
        let mut clock = EventClock::new(options.disorder, options.idle_after);
        clock.begin_chunk(seat.state.now());
        for input in &options.expected {
            clock.assign(*input);
        }
        Self {
            clock,
            options,
            is_new_packet: true,
            was_idle: false,
            worker: seat.worker,
            state: Arc::clone(&seat.state),
            meter: Meter::new(info),
            next,
        }
    }

    fn save(&self) -> Result<SavedState, FlowError> {
        let watermark = self.clock.current().unwrap_or(Timestamp::MIN);
        let clock: SavedClock = (self.options.input.is_some(), watermark, self.clock.inputs());
        let bytes = saved::save(VERSION, &clock);
        Ok(SavedState {
            owner: self.meter.info().owner(),
            worker: self.worker,
            bytes: bytes
                .map_err(|error| self.failed(&format!("cannot save its state: {error}")))?,
        })
    }

    fn load(&mut self, states: &[SavedState]) -> Pushed {
        for state in states {
            let clock = saved::load::<SavedClock>(VERSION, &state.bytes);
            let (had_inputs, watermark, inputs) = clock
                .map_err(|error| self.failed(&format!("cannot restore its state: {error}")))?;
            self.clock.resume(watermark);
            // If events name other inputs than before, those before would never have an event again.
            if had_inputs == self.options.input.is_some() {
                for (input, highest) in inputs {
                    self.clock.restore(input, highest);
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn failed(&self, text: &str) -> FlowError {
        FlowError::new(self.meter.info().to_string(), FlowErrorKind::Stage, text)
    }

    /// Sends the watermark if it has advanced.
    fn advance(&mut self) -> Pushed {
        let now = self.state.now();
        if let Some(to) = self.clock.watermark(now) {
            self.next.signal(&mut Signal::Watermark(to))?;
        }
        let is_idle = self.options.may_idle() && self.clock.is_idle(now);
        if is_idle && !self.was_idle {
            self.next.signal(&mut Signal::Idle)?;
        }
        self.was_idle = is_idle;
        Ok(())
    }
}

impl<T: Send + 'static, S: Sink<T>> Sink<T> for EventTimeSink<T, S> {
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        if self.is_new_packet {
            self.is_new_packet = false;
            self.clock.begin_chunk(self.state.now());
        }
        let Self { options, meter, .. } = self;
        let (time, input) = meter.call(|| {
            let input = options.input.as_ref().map_or(0, |input| input(&event));
            ((options.time)(&event), input)
        });
        self.clock.observe(input, time);
        self.next.push(event, At { time, ..at })
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        match signal {
            Signal::Flush => {
                self.is_new_packet = true;
                // In one packet with the events, and behind them.
                self.advance()?;
            }
            Signal::Tick(_) => self.advance()?,
            Signal::TickPeriod(period) => {
                if let Some(idle) = self.options.idle_after {
                    let own = (idle / 2).max(1);
                    **period = Some(period.map_or(own, |other| other.min(own)));
                }
            }
            Signal::Resume(at) => {
                self.clock.resume(*at);
                return self.next.signal(&mut Signal::Watermark(*at));
            }
            Signal::Save(states) => states.push(self.save()?),
            Signal::Load(load) => {
                let owner = self.meter.info().owner();
                self.load(load.of(&owner))?;
            }
            Signal::Frontier(frontier) => **frontier = self.clock.current(),
            // Times are given here, so earlier watermarks do not count.
            Signal::Watermark(_) | Signal::Idle => return Ok(()),
            _ => {}
        }
        self.next.signal(signal)
    }
}
