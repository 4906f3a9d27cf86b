//! [`WindowSink`]: aggregates in windows.

use std::{hash::Hash, marker::PhantomData, sync::Arc};

use super::{
    combine_sink::Crossing,
    durability::Durability,
    late::{LateEvents, LateOutput},
    shape::{Shape, shaped},
    share::Share,
};
use crate::{
    Aggregate, At, FlowError, FlowErrorKind, Timestamp,
    machine::windows::{Fired, Owned, WindowState},
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
    state::SavedState,
};

/// Aggregates in windows.
pub(crate) struct WindowSink<K, T, A: Aggregate<T>, S: Shape<K, A::Output>, D> {
    state: WindowState<T, K, A>,
    share: Share,
    /// When its period is over, if it has one: other operators of the worker may need ticks more often.
    due: Option<i64>,
    late: LateEvents<K, T>,
    meter: Meter,
    seat: Seat,
    next: Box<dyn Sink<S::Out>>,
    durability: PhantomData<fn(D)>,
}

impl<K, T, A, S, D> WindowSink<K, T, A, S, D>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Send + 'static,
    A: Aggregate<T>,
    S: Shape<K, A::Output>,
    D: Durability<T, K, A>,
{
    pub(crate) fn new(
        mut state: WindowState<T, K, A>,
        share: Share,
        late: LateOutput<K, T>,
        info: Arc<OperatorInfo>,
        seat: &Seat,
        next: Box<dyn Sink<S::Out>>,
    ) -> Self {
        // Begins the first period. The first tick of the worker comes at its end.
        let now = seat.state.now();
        state.tick(now, &mut |_| {});
        Self {
            due: state.next_tick().map(|period| now.saturating_add(period)),
            state,
            share,
            late: LateEvents::new(late),
            meter: Meter::new(info),
            seat: seat.clone(),
            next,
            durability: PhantomData,
        }
    }

    /// Changes the state, and sends what fires. Results of windows without times get `time`.
    #[inline]
    fn change<R>(
        &mut self,
        time: Timestamp,
        change: impl FnOnce(&mut WindowState<T, K, A>, &mut dyn FnMut(Fired<K, A::Output>)) -> R,
    ) -> Result<R, FlowError> {
        let Self {
            state, meter, next, ..
        } = self;
        let mut pushed = Ok(());
        let mut emit = |fired: Fired<K, A::Output>| {
            if pushed.is_ok() {
                // The watermark goes on behind the results, so results on time are not late.
                let at = At {
                    time: fired.window.time().unwrap_or(time),
                    since: fired.since,
                };
                pushed = next.push(shaped::<_, _, S>(fired), at);
            }
        };
        let changed = meter.again(|| change(state, &mut emit));
        pushed.map(|()| changed)
    }

    #[inline]
    fn event(&mut self, key: K, event: T, at: At) -> Pushed {
        self.meter.count();
        // A late event is returned without its key. No event is late that is not behind the watermark.
        let copy = (at.time < self.state.last_watermark()).then(|| key.clone());
        let added = self.change(at.time, |state, mut emit| {
            state.add(Owned(key), event, at, &mut emit)
        })?;
        if let (Err(event), Some(key)) = (added, copy) {
            self.late.handle(key, event, at.time, &self.meter);
        }
        Ok(())
    }

    /// Passes a tick on at the end of each of its periods.
    fn tick(&mut self, now: i64) -> Pushed {
        let (Some(due), Some(period)) = (self.due, self.state.next_tick()) else {
            return Ok(());
        };
        if now < due {
            return Ok(());
        }
        // Not from now on: a tick that comes late does not move the periods behind it.
        let missed = (now - due) / period;
        self.due = Some(due.saturating_add(period.saturating_mul(missed + 1)));
        self.change(self.state.last_watermark(), |state, mut emit| {
            state.tick(now, &mut emit)
        })
    }

    fn load(&mut self, saved: &[SavedState]) -> Pushed {
        let Self {
            state, share, seat, ..
        } = self;
        let keep = |key: &K| share.keeps(key, seat);
        let checked = share.check(saved, seat, state.merges());
        let loaded = checked.and_then(|()| {
            let mut own = share.of(saved, seat);
            own.try_for_each(|saved| D::load(state, &saved.bytes, &keep))
        });
        loaded.map_err(|problem| {
            let operator = self.meter.info().to_string();
            let text = format!("cannot restore its state: {problem}");
            FlowError::new(operator, FlowErrorKind::Stage, text)
        })
    }
}

impl<K, T, A, S, D> Sink<(K, T)> for WindowSink<K, T, A, S, D>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Send + 'static,
    A: Aggregate<T>,
    S: Shape<K, A::Output>,
    D: Durability<T, K, A>,
{
    #[inline]
    fn push(&mut self, (key, event): (K, T), at: At) -> Pushed {
        self.event(key, event, at)
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        match signal {
            Signal::Watermark(to) => {
                self.change(*to, |state, mut emit| state.watermark(*to, &mut emit))?;
                let behind = self.state.watermark_behind(*to);
                return self.next.signal(&mut Signal::Watermark(behind));
            }
            Signal::Tick(now) => {
                let now = *now;
                self.tick(now)?;
            }
            Signal::TickPeriod(period) => {
                let own = self.state.next_tick();
                **period = match (**period, own) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            Signal::Finish => {
                self.change(self.state.last_watermark(), |state, mut emit| {
                    state.finish(&mut emit)
                })?;
            }
            Signal::Holds(oldest) => **oldest = (**oldest).min(self.state.since()),
            Signal::Save(saved) => {
                if let Some(bytes) = D::save(&self.state) {
                    saved.push(SavedState {
                        owner: self.meter.info().owner(),
                        worker: self.seat.worker,
                        bytes,
                    });
                }
            }
            Signal::Load(load) => {
                let owner = self.meter.info().owner();
                self.load(load.of(&owner))?;
            }
            _ => {}
        }
        self.next.signal(signal)
    }
}

impl<K, T, A, S, D> Sink<Crossing<K, T, A::State>> for WindowSink<K, T, A, S, D>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Send + 'static,
    A: Aggregate<T>,
    S: Shape<K, A::Output>,
    D: Durability<T, K, A>,
{
    fn push(&mut self, crossing: Crossing<K, T, A::State>, at: At) -> Pushed {
        match crossing {
            Crossing::Event(key, event) => self.event(key, event, at),
            Crossing::Part(key, pane, part) => {
                self.meter.count();
                let watermark = self.state.last_watermark();
                let merged = self.change(watermark, |state, mut emit| {
                    state.merge(key, pane, part, at.since, &mut emit)
                })?;
                if merged.is_err() {
                    // Its events were on time where they were combined, so this should not be.
                    self.late.lost(watermark, &self.meter);
                }
                Ok(())
            }
        }
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        <Self as Sink<(K, T)>>::signal(self, signal)
    }
}
