//! [`Windows`]: the options of windows.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use broadway_core::Problem;

use crate::time::millis;

/// Which events are aggregated together, and when results are emitted.
///
/// Windows belong to a key: each key has a session, a count and a trigger of its own. Without a key, each worker counts as one.
#[must_use]
pub struct Windows<T> {
    pub(crate) kind: WindowKind,
    pub(crate) lateness: i64,
    pub(crate) early: EarlyFiring<T>,
    pub(crate) late: LateFiring,
    pub(crate) after: AfterFiring,
    pub(crate) empty: bool,
    events: PhantomData<fn(T)>,
}

/// The kind of windows. Durations are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowKind {
    Global,
    Count(u64),
    /// Windows of `size` every `slide`, the first from `offset` on. Fixed windows have `slide == size`.
    Time {
        size: i64,
        slide: i64,
        offset: i64,
    },
    Session {
        gap: i64,
    },
    Periodic {
        every: i64,
    },
}

/// When a window fires before its end.
pub(crate) enum EarlyFiring<T> {
    Never,
    /// After every n events of a key and window.
    Every(u64),
    /// Each time this number of milliseconds of processing time has passed: all windows with events since their last firing.
    Periodic(i64),
    /// By a function, called with each event.
    Custom(Arc<dyn CustomTrigger<T>>),
}

/// Makes the state machines of a custom trigger.
pub(crate) trait CustomTrigger<T>: Send + Sync {
    /// The trigger of one key and window.
    fn start(&self) -> Box<dyn FnMut(&T) -> Decision + Send>;

    /// Whether its state machines have a state.
    fn has_state(&self) -> bool;
}

/// What a custom trigger decides for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Adds the event.
    Continue,
    /// Adds the event, then fires.
    Fire,
    /// Fires, then adds the event.
    FireBefore,
}

/// What happens to the state of a window when it has fired: before its end, at its end if it has a lateness, and for late events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterFiring {
    /// The state stays: each result replaces the one before it.
    #[default]
    Accumulate,
    /// The state is cleared: results add up.
    Discard,
}

/// When late events within the allowed lateness are emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LateFiring {
    /// The window of the event fires at once, for its key.
    #[default]
    EachEvent,
    /// The window fires once more when the allowed lateness is over, for the keys that had late events.
    AtClose,
}

impl<T> Windows<T> {
    const fn of(kind: WindowKind) -> Self {
        Self {
            kind,
            lateness: 0,
            early: EarlyFiring::Never,
            late: LateFiring::EachEvent,
            after: AfterFiring::Accumulate,
            empty: false,
            events: PhantomData,
        }
    }

    /// One window for all events. It is complete when the input ends; before that, only triggers fire.
    pub const fn global() -> Self {
        Self::of(WindowKind::Global)
    }

    /// A window for every `n` events of a key. An incomplete one fires when the input ends.
    pub const fn count(n: u64) -> Self {
        Self::of(WindowKind::Count(n))
    }

    /// Windows of equal size, one after the other, in event time. They start at multiples of their size, negative ones included.
    pub const fn fixed(size: Duration) -> Self {
        Self::sliding(size, size)
    }

    /// Windows of this size, one every `slide`, in event time. An event is in several of them if `slide` is less than `size`, and in none if it falls
    /// between two windows.
    pub const fn sliding(size: Duration, slide: Duration) -> Self {
        Self::of(WindowKind::Time {
            size: millis(size),
            slide: millis(slide),
            offset: 0,
        })
    }

    /// Windows that end when a key has had no event for `gap`, in event time. Each event opens a window of this length, and windows that overlap are merged.
    /// Not possible behind [`repartition_through`](crate::Flow::repartition_through).
    pub const fn session(gap: Duration) -> Self {
        Self::of(WindowKind::Session { gap: millis(gap) })
    }

    /// Windows in processing time: whatever has arrived since the last one, every `period`.
    pub const fn periodic(period: Duration) -> Self {
        Self::of(WindowKind::Periodic {
            every: millis(period),
        })
    }

    /// Shifts fixed and sliding windows: they start at multiples of their slide plus `offset`, such as a time zone's.
    pub const fn offset(mut self, by: Duration) -> Self {
        if let WindowKind::Time { offset, .. } = &mut self.kind {
            *offset = millis(by);
        }
        self
    }

    /// Accepts events until the watermark is this far beyond the end of their window. Defaults to zero.
    ///
    /// Until then a window may have results, so the watermark behind an aggregation is older by the lateness: a late result is not late in the
    /// windows that follow, and those are complete that much later.
    pub const fn lateness(mut self, lateness: Duration) -> Self {
        self.lateness = millis(lateness);
        self
    }

    /// Sets when late events within the allowed lateness are emitted. Defaults to [`LateFiring::EachEvent`].
    pub const fn late_firing(mut self, late: LateFiring) -> Self {
        self.late = late;
        self
    }

    /// Fires after every `n` events of a key and window.
    pub fn trigger_every(mut self, n: u64) -> Self {
        self.early = EarlyFiring::Every(n);
        self
    }

    /// Fires every `period` in processing time: each key and window that had events since it last fired.
    pub fn trigger_periodically(mut self, period: Duration) -> Self {
        self.early = EarlyFiring::Periodic(millis(period));
        self
    }

    /// Sets what happens to the state when a window fires before its end. Defaults to [`AfterFiring::Accumulate`].
    pub const fn after_firing(mut self, after: AfterFiring) -> Self {
        self.after = after;
        self
    }

    /// Emits results of windows without events, too: of fixed windows between the first and the last one with events. Needs a flow without a key. Off
    /// by default. When time jumps, all windows in between are emitted: leave events with impossible times out before `event_time`.
    pub const fn emit_empty(mut self) -> Self {
        self.empty = true;
        self
    }

    /// Whether windows depend on the time of events.
    pub(crate) const fn needs_time(&self) -> bool {
        matches!(
            self.kind,
            WindowKind::Time { .. } | WindowKind::Session { .. }
        )
    }

    /// Whether results come only when windows end, so that events may be aggregated before they are partitioned.
    pub(crate) const fn fires_at_end_only(&self) -> bool {
        matches!(self.early, EarlyFiring::Never)
    }

    /// Whether a trigger has a state besides the one of the windows.
    pub(crate) fn has_trigger_state(&self) -> bool {
        matches!(&self.early, EarlyFiring::Custom(trigger) if trigger.has_state())
    }

    /// Whether an option is set that decides when results are emitted.
    pub(crate) fn has_firing_options(&self) -> bool {
        let is_default = self.late == LateFiring::default() && self.after == AfterFiring::default();
        !is_default || self.empty || !self.fires_at_end_only()
    }

    /// Lists invalid options.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |option: &str, message: &str| {
            problems.push(Problem::new(option, message));
        };
        let (one, one_ms) = ("must be at least 1", "must be at least 1 ms");
        match self.kind {
            WindowKind::Count(0) => refuse("count", one),
            WindowKind::Time { size, .. } if size <= 0 => refuse("size", one_ms),
            WindowKind::Time { slide, .. } if slide <= 0 => refuse("slide", one_ms),
            WindowKind::Session { gap } if gap <= 0 => refuse("gap", one_ms),
            WindowKind::Periodic { every } if every <= 0 => refuse("period", one_ms),
            _ => {}
        }
        match self.early {
            EarlyFiring::Every(0) => refuse("trigger_every", one),
            EarlyFiring::Periodic(period) if period <= 0 => refuse("trigger_periodically", one_ms),
            _ => {}
        }
        problems
    }
}

impl<T: 'static> Windows<T> {
    /// Fires as `decide` decides for each event. `start` creates the state of each key and window. [Snapshots](crate::Flow::snapshots) do not
    /// save it: they refuse a trigger with a state, that is, one whose type is not empty.
    pub fn trigger<S: Send + 'static>(
        mut self,
        start: impl Fn() -> S + Send + Sync + 'static,
        decide: impl Fn(&mut S, &T) -> Decision + Clone + Send + Sync + 'static,
    ) -> Self {
        self.early = EarlyFiring::Custom(Arc::new(Custom { start, decide }));
        self
    }
}

impl<T> Clone for Windows<T> {
    fn clone(&self) -> Self {
        Self {
            early: self.early.clone(),
            events: PhantomData,
            ..*self
        }
    }
}

struct Custom<N, F> {
    start: N,
    decide: F,
}

impl<T, S, N, F> CustomTrigger<T> for Custom<N, F>
where
    S: Send + 'static,
    N: Fn() -> S + Send + Sync,
    F: Fn(&mut S, &T) -> Decision + Clone + Send + Sync + 'static,
{
    fn start(&self) -> Box<dyn FnMut(&T) -> Decision + Send> {
        let mut state = (self.start)();
        let decide = self.decide.clone();
        Box::new(move |event| decide(&mut state, event))
    }

    fn has_state(&self) -> bool {
        size_of::<S>() > 0
    }
}

impl<T> Clone for EarlyFiring<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Every(n) => Self::Every(*n),
            Self::Periodic(period) => Self::Periodic(*period),
            Self::Custom(trigger) => Self::Custom(Arc::clone(trigger)),
        }
    }
}

impl<T> fmt::Debug for EarlyFiring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("Never"),
            Self::Every(n) => f.debug_tuple("Every").field(n).finish(),
            Self::Periodic(period) => f.debug_tuple("Periodic").field(period).finish(),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// As plans show them: `10 s every 1 s, lateness 5 s`.
impl<T> fmt::Display for Windows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        match self.kind {
            WindowKind::Global => f.write_str("all events")?,
            WindowKind::Count(n) => write!(f, "every {n} events")?,
            WindowKind::Time { size, slide, .. } if size == slide => {
                write!(f, "every {:?}", ms(size))?;
            }
            WindowKind::Time { size, slide, .. } => {
                write!(f, "{:?} every {:?}", ms(size), ms(slide))?;
            }
            WindowKind::Session { gap } => write!(f, "sessions with a gap of {:?}", ms(gap))?,
            WindowKind::Periodic { every } => {
                write!(f, "every {:?} of processing time", ms(every))?;
            }
        }
        if self.lateness > 0 {
            write!(f, ", lateness {:?}", ms(self.lateness))?;
        }
        match &self.early {
            EarlyFiring::Never => Ok(()),
            EarlyFiring::Every(n) => write!(f, ", fires every {n} events"),
            EarlyFiring::Periodic(period) => write!(f, ", fires every {:?}", ms(*period)),
            EarlyFiring::Custom(_) => f.write_str(", fires by a trigger"),
        }
    }
}

impl<T> fmt::Debug for Windows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Windows")
            .field("kind", &self.kind)
            .field("lateness", &self.lateness)
            .field("early", &self.early)
            .field("late", &self.late)
            .field("after", &self.after)
            .field("empty", &self.empty)
            .finish()
    }
}
