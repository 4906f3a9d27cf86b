//! [`JoinSink`]: joins the events of both sides in one worker.

use std::{hash::Hash, sync::Arc};

use super::Side;
use crate::{
    At, FlowError, FlowErrorKind, Timestamp, Window,
    group::{LateEvents, LateOutput},
    machine::joins::{JoinState, Joined, Refused},
    sink::{Meter, OperatorInfo, Pushed, Signal, Sink},
};

/// Joins the events of both sides in one worker.
pub(crate) struct JoinSink<K, L, R, U, F> {
    state: JoinState<K, L, R>,
    lateness: i64,
    f: F,
    late: LateEvents<K, Side<L, R>>,
    meter: Meter,
    next: Box<dyn Sink<U>>,
}

impl<K, L, R, U, F> JoinSink<K, L, R, U, F>
where
    K: Hash + Eq + Clone,
    L: Clone,
    R: Clone,
    U: 'static,
    F: FnMut(Option<L>, Option<R>) -> U,
{
    pub(crate) fn new(
        state: JoinState<K, L, R>,
        lateness: i64,
        f: F,
        late: LateOutput<K, Side<L, R>>,
        info: Arc<OperatorInfo>,
        next: Box<dyn Sink<U>>,
    ) -> Self {
        Self {
            state,
            lateness,
            f,
            late: LateEvents::new(late),
            meter: Meter::new(info),
            next,
        }
    }

    /// Changes the state, and sends the pairs that result. Results without a window are not older than `least`.
    #[inline]
    fn change<X>(
        &mut self,
        least: Timestamp,
        change: impl FnOnce(&mut JoinState<K, L, R>, &mut dyn FnMut(Joined<L, R>)) -> X,
    ) -> Result<X, FlowError> {
        let Self {
            state,
            f,
            meter,
            next,
            ..
        } = self;
        let mut pushed = Ok(());
        let mut emit = |joined: Joined<L, R>| {
            if pushed.is_ok() {
                let time = match joined.window {
                    Window::Global => joined.time.max(least),
                    _ => joined.time,
                };
                let at = At {
                    time,
                    since: joined.since,
                };
                pushed = next.push(f(joined.left, joined.right), at);
            }
        };
        let changed = meter.again(|| change(state, &mut emit));
        pushed.map(|()| changed)
    }

    #[cold]
    fn too_many(&self) -> FlowError {
        let operator = self.meter.info().to_string();
        let text = format!(
            "a worker holds {} items: raise `items_max`, or use shorter windows",
            self.state.len(),
        );
        FlowError::new(operator, FlowErrorKind::Limit, text)
    }
}

impl<K, L, R, U, F> Sink<(K, Side<L, R>)> for JoinSink<K, L, R, U, F>
where
    K: Hash + Eq + Clone + Send + 'static,
    L: Clone + Send + 'static,
    R: Clone + Send + 'static,
    U: Send + 'static,
    F: FnMut(Option<L>, Option<R>) -> U + Send + 'static,
{
    fn push(&mut self, (key, event): (K, Side<L, R>), at: At) -> Pushed {
        self.meter.count();
        // A late event is returned without its key. No event is late that is not behind the watermark.
        let copy = (at.time < self.state.last_watermark()).then(|| key.clone());
        let added = self.change(Timestamp::MIN, |state, mut emit| match event {
            Side::Left(left) => state.left(key, left, at, &mut emit).map_err(left_side),
            Side::Right(right) => state.right(key, right, at, &mut emit).map_err(right_side),
        })?;
        match (added, copy) {
            (Ok(()), _) => {}
            (Err(Refused::TooMany(_)), _) => return Err(self.too_many()),
            (Err(Refused::Late(event)), copy) => {
                let key = copy.expect("a late event is behind the watermark");
                self.late.handle(key, event, at.time, &self.meter);
            }
        }
        Ok(())
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        match signal {
            Signal::Watermark(to) => {
                let to = *to;
                self.change(Timestamp::MIN, |state, mut emit| {
                    state.watermark(to, &mut emit)
                })?;
                // A window has results until its lateness is over.
                let behind = to.plus(self.lateness.saturating_neg());
                return self.next.signal(&mut Signal::Watermark(behind));
            }
            Signal::Finish => {
                let least = self.state.last_watermark();
                self.change(least, |state, mut emit| state.finish(&mut emit))?;
            }
            Signal::Holds(oldest) => **oldest = (**oldest).min(self.state.since()),
            _ => {}
        }
        self.next.signal(signal)
    }
}

fn left_side<L, R>(refused: Refused<L>) -> Refused<Side<L, R>> {
    match refused {
        Refused::Late(event) => Refused::Late(Side::Left(event)),
        Refused::TooMany(event) => Refused::TooMany(Side::Left(event)),
    }
}

fn right_side<L, R>(refused: Refused<R>) -> Refused<Side<L, R>> {
    match refused {
        Refused::Late(event) => Refused::Late(Side::Right(event)),
        Refused::TooMany(event) => Refused::TooMany(Side::Right(event)),
    }
}
