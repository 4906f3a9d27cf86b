//! Time and CPU time from the first message to the last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The cost of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

/// Counts messages, and measures from the first to the last.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Inner>);

struct Inner {
    expected: u64,
    seen: AtomicU64,
    begun: OnceLock<Moment>,
    ended: OnceLock<Moment>,
}

#[derive(Clone, Copy)]
struct Moment {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    pub(crate) fn new(expected: u64) -> Self {
        let seen = AtomicU64::new(0);
        Self(Arc::new(Inner {
            expected,
            seen,
            begun: OnceLock::new(),
            ended: OnceLock::new(),
        }))
    }

    /// Records the first message.
    pub(crate) fn begin(&self) {
        self.0.begun.get_or_init(Moment::now);
    }

    /// Counts `n` handled messages. Returns whether they were the last.
    pub(crate) fn handled(&self, n: u64) -> bool {
        let seen = self.0.seen.fetch_add(n, Ordering::AcqRel) + n;
        let all = seen >= self.0.expected;
        if all {
            self.0.ended.get_or_init(Moment::now);
        }
        all
    }

    /// Returns the cost, or `None` before the last message.
    pub(crate) fn cost(&self) -> Option<Cost> {
        let (begun, ended) = (self.0.begun.get()?, self.0.ended.get()?);
        Some(Cost {
            cpu: ended.cpu.saturating_sub(begun.cpu),
            wall: ended.wall - begun.wall,
        })
    }
}

impl Moment {
    fn now() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage succeeds for this process");
        Self {
            wall: Instant::now(),
            cpu: duration(usage.user_time()) + duration(usage.system_time()),
        }
    }
}

fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(u64::try_from(micros).expect("time used is not negative"))
}
