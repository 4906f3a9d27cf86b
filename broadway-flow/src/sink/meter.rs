//! [`Meter`]: counts the events of an operator, estimates its time, and remembers which operator a panic came from.

use std::{
    cell::RefCell,
    fmt, mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use super::Signal;
use crate::state::StateOwner;

/// Of this many calls, one is timed.
const SAMPLE: u64 = 1_024;

/// An operator, as the plan shows it, with counts of all its workers.
pub(crate) struct OperatorInfo {
    /// Such as `map` or `partition`.
    pub(crate) kind: &'static str,
    /// The user's name for it.
    pub(crate) name: OnceLock<Arc<str>>,
    /// Options, such as the window, for the plan.
    pub(crate) detail: String,
    /// Set if it keeps a state that snapshots do not save: how a user can avoid that.
    pub(crate) volatile: Option<&'static str>,
    /// Whether it has a state that snapshots save.
    pub(crate) is_saved: bool,
    pub(crate) events: AtomicU64,
    pub(crate) late: AtomicU64,
    /// Its place among the operators of the flow with its kind and name, from 1. Set when the flow starts.
    place: AtomicU32,
    nanos: AtomicU64,
}

impl OperatorInfo {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            name: OnceLock::new(),
            detail: String::new(),
            volatile: None,
            is_saved: false,
            events: AtomicU64::new(0),
            late: AtomicU64::new(0),
            place: AtomicU32::new(0),
            nanos: AtomicU64::new(0),
        }
    }

    pub(crate) fn detailed(kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..Self::new(kind)
        }
    }

    /// The same operator, whose state snapshots do not save unless `is_durable`; `advice` completes "do not save the state of …: ".
    pub(crate) fn saved_if(mut self, is_durable: bool, advice: &'static str) -> Self {
        self.volatile = (!is_durable).then_some(advice);
        self.is_saved = is_durable;
        self
    }

    /// The same operator, whose state snapshots always save.
    pub(crate) const fn saved(mut self) -> Self {
        self.is_saved = true;
        self
    }

    /// How snapshots name it.
    pub(crate) fn owner(&self) -> StateOwner {
        StateOwner {
            kind: self.kind.to_owned(),
            name: self.name.get().map(|name| (**name).to_owned()),
            place: self.place.load(Relaxed),
        }
    }

    pub(crate) fn set_place(&self, place: u32) {
        self.place.store(place, Relaxed);
    }

    /// The time spent in the operator's functions, in nanoseconds, estimated from samples.
    pub(crate) fn nanos(&self) -> u64 {
        self.nanos.load(Relaxed)
    }
}

/// How errors and plans name it: `map "parse"`.
impl fmt::Display for OperatorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.get() {
            Some(name) => write!(f, "{} {name:?}", self.kind),
            None => f.write_str(self.kind),
        }
    }
}

/// The meter of one operator in one worker.
pub(crate) struct Meter {
    info: Arc<OperatorInfo>,
    events: u64,
    published: u64,
    /// The time of the calls that were timed, and their number.
    nanos: u64,
    samples: u64,
    published_nanos: u64,
}

impl Meter {
    pub(crate) const fn new(info: Arc<OperatorInfo>) -> Self {
        Self {
            info,
            events: 0,
            published: 0,
            nanos: 0,
            samples: 0,
            published_nanos: 0,
        }
    }

    pub(crate) const fn info(&self) -> &Arc<OperatorInfo> {
        &self.info
    }

    /// Runs a function of the operator for one event.
    #[inline(always)]
    pub(crate) fn call<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.events += 1;
        let blame = Blame(&self.info);
        let result = if self.events & (SAMPLE - 1) == 1 {
            self.samples += 1;
            timed(&mut self.nanos, f)
        } else {
            f()
        };
        mem::forget(blame);
        result
    }

    /// Runs more of the operator's code for an event that is counted already.
    #[inline(always)]
    pub(crate) fn again<R>(&self, f: impl FnOnce() -> R) -> R {
        let blame = Blame(&self.info);
        let result = f();
        mem::forget(blame);
        result
    }

    /// Counts an event that no function runs for.
    #[inline(always)]
    pub(crate) const fn count(&mut self) {
        self.events += 1;
    }

    /// Counts an event that came too late for its windows.
    pub(crate) fn count_late(&self) {
        self.info.late.fetch_add(1, Relaxed);
    }

    /// Publishes the counts at the end of a packet.
    pub(crate) fn signal(&mut self, signal: &Signal<'_>) {
        if matches!(signal, Signal::Flush | Signal::Finish) && self.events > self.published {
            let new = self.events - self.published;
            self.info.events.fetch_add(new, Relaxed);
            self.published = self.events;
            let estimate = self.estimate();
            // Wraps around if the estimate is lower than before, so that the sum of all workers is correct.
            let change = estimate.wrapping_sub(self.published_nanos);
            self.info.nanos.fetch_add(change, Relaxed);
            self.published_nanos = estimate;
        }
    }

    /// The time of all calls, if the others take as long as those that were timed.
    fn estimate(&self) -> u64 {
        let sum = u128::from(self.nanos) * u128::from(self.events);
        let estimate = sum.checked_div(u128::from(self.samples)).unwrap_or(0);
        u64::try_from(estimate).unwrap_or(u64::MAX)
    }
}

/// Runs `f`, and adds its time.
#[cold]
#[inline(never)]
fn timed<R>(nanos: &mut u64, f: impl FnOnce() -> R) -> R {
    let began = Instant::now();
    let result = f();
    let taken = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    *nanos = nanos.saturating_add(taken);
    result
}

/// Names its operator if it is dropped by a panic: costs nothing otherwise.
struct Blame<'a>(&'a Arc<OperatorInfo>);

thread_local! {
    static BLAMED: RefCell<Option<Arc<OperatorInfo>>> = const { RefCell::new(None) };
}

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        BLAMED.with(|blamed| {
            blamed
                .borrow_mut()
                .get_or_insert_with(|| Arc::clone(self.0));
        });
    }
}

/// Takes the operator whose function has panicked in this thread.
pub(crate) fn blamed() -> Option<Arc<OperatorInfo>> {
    BLAMED.with(|blamed| blamed.borrow_mut().take())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flushed(meter: &mut Meter, events: u64, samples: u64, nanos: u64) -> u64 {
        (meter.events, meter.samples, meter.nanos) = (events, samples, nanos);
        meter.signal(&Signal::Flush);
        meter.info.nanos()
    }

    #[test]
    fn one_of_1024_calls_is_timed_and_the_first_is() {
        let mut meter = Meter::new(Arc::new(OperatorInfo::new("map")));
        let mut samples = Vec::new();
        for n in 1..=3_000 {
            let before = meter.samples;
            meter.call(|| ());
            samples.extend((meter.samples > before).then_some(n));
        }
        assert_eq!(samples, [1, 1_025, 2_049]);
    }

    #[test]
    fn the_time_is_that_of_the_samples_for_all_events() {
        let info = Arc::new(OperatorInfo::new("map"));
        let mut one = Meter::new(Arc::clone(&info));
        let mut other = Meter::new(Arc::clone(&info));
        assert_eq!(flushed(&mut one, 5, 1, 100), 500);
        assert_eq!(flushed(&mut other, 1, 0, 0), 500);
        // The second sample was faster, so that the estimate falls.
        assert_eq!(flushed(&mut one, 1_025, 2, 101), 51_762);
        assert_eq!(flushed(&mut one, 2_050, 100, 101), 2_070);
        assert_eq!(flushed(&mut other, 3, 1, 10), 2_100);
    }
}
