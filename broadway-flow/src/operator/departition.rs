//! `departition`: one worker merges the results of all workers, for each window or for the whole input.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    At, Firing, Timestamp, Window, Windowed,
    epoch::Epoch,
    sink::{Meter, OperatorInfo, Pushed, Signal, Sink},
};

/// Merges the results of each window.
pub(crate) struct WindowsMerger<A, I, M> {
    init: I,
    merge: M,
    /// By end, and by window; late results on their own, behind the others. Windows without an end come last.
    windows: BTreeMap<(Timestamp, Window, bool), Merged<A>>,
    watermark: Timestamp,
    meter: Meter,
    next: Box<dyn Sink<Windowed<A>>>,
}

struct Merged<A> {
    state: A,
    since: Epoch,
}

impl<A: 'static, I: FnMut() -> A, M> WindowsMerger<A, I, M> {
    pub(crate) fn new(
        init: I,
        merge: M,
        info: Arc<OperatorInfo>,
        next: Box<dyn Sink<Windowed<A>>>,
    ) -> Self {
        Self {
            init,
            merge,
            windows: BTreeMap::new(),
            watermark: Timestamp::MIN,
            meter: Meter::new(info),
            next,
        }
    }

    /// Sends the results of the windows that end by `upto`, in order.
    fn send(&mut self, upto: Timestamp) -> Pushed {
        while let Some(first) = self.windows.first_entry() {
            let (end, window, is_late) = *first.key();
            if end > upto {
                break;
            }
            let merged = first.remove();
            let at = At {
                time: window.time().unwrap_or(self.watermark),
                since: merged.since,
            };
            let event = Windowed {
                window,
                firing: match is_late {
                    true => Firing::Late,
                    false => Firing::OnTime,
                },
                value: merged.state,
            };
            self.next.push(event, at)?;
        }
        Ok(())
    }
}

impl<T, A, I, M> Sink<Windowed<T>> for WindowsMerger<A, I, M>
where
    T: Send + 'static,
    A: Send + 'static,
    I: FnMut() -> A + Send + 'static,
    M: FnMut(&mut A, T) + Send + 'static,
{
    fn push(&mut self, event: Windowed<T>, at: At) -> Pushed {
        let end = event.end().unwrap_or(Timestamp::MAX);
        // A window that the watermark has passed was emitted, or had no results.
        let is_late = event.firing == Firing::Late || end <= self.watermark;
        let Self {
            init,
            merge,
            windows,
            meter,
            ..
        } = self;
        meter.call(|| {
            let merged = windows
                .entry((end, event.window, is_late))
                .or_insert_with(|| Merged {
                    state: init(),
                    since: Epoch::NONE,
                });
            merged.since = merged.since.min(at.since);
            merge(&mut merged.state, event.value);
        });
        Ok(())
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        match signal {
            Signal::Watermark(to) => {
                self.watermark = self.watermark.max(*to);
                self.send(*to)?;
            }
            Signal::Finish => self.send(Timestamp::MAX)?,
            Signal::Holds(oldest) => {
                let held = self.windows.values().map(|merged| merged.since).min();
                **oldest = (**oldest).min(held.unwrap_or(Epoch::NONE));
            }
            _ => {}
        }
        self.next.signal(signal)
    }
}

/// Merges all events into one result.
pub(crate) struct WholeMerger<A, I, M> {
    init: I,
    merge: M,
    state: Option<A>,
    since: Epoch,
    /// Whether this is the worker that gets all events.
    is_first: bool,
    meter: Meter,
    next: Box<dyn Sink<A>>,
}

impl<A, I, M> WholeMerger<A, I, M> {
    pub(crate) fn new(
        init: I,
        merge: M,
        is_first: bool,
        info: Arc<OperatorInfo>,
        next: Box<dyn Sink<A>>,
    ) -> Self {
        Self {
            init,
            merge,
            state: None,
            since: Epoch::NONE,
            is_first,
            meter: Meter::new(info),
            next,
        }
    }
}

impl<T, A, I, M> Sink<T> for WholeMerger<A, I, M>
where
    T: Send + 'static,
    A: Send + 'static,
    I: FnMut() -> A + Send + 'static,
    M: FnMut(&mut A, T) + Send + 'static,
{
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        let Self {
            init,
            merge,
            state,
            meter,
            ..
        } = self;
        self.since = self.since.min(at.since);
        meter.call(|| merge(state.get_or_insert_with(init), event));
        Ok(())
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        match signal {
            Signal::Finish if self.is_first => {
                let state = self.state.take();
                let state = state.unwrap_or_else(|| self.meter.again(&mut self.init));
                let at = At {
                    since: self.since,
                    ..At::NONE
                };
                self.since = Epoch::NONE;
                self.next.push(state, at)?;
            }
            Signal::Holds(oldest) => **oldest = (**oldest).min(self.since),
            _ => {}
        }
        self.next.signal(signal)
    }
}
