//! What a link knows of one inlet, and [`DemandMode`]: how much the inlet may take.

use std::task::Waker;

use crate::machine::credit::Credit;

/// How much an inlet may take, and when its demand is renewed.
#[derive(Debug)]
pub(crate) enum DemandMode {
    /// Takes whatever is buffered, and states no demand: the link is bounded.
    Unlimited,
    /// Takes as many as it demanded. Demands more whenever it has handled enough.
    Automatic(Credit),
    /// Takes as many as were demanded through its [`InletHandle`](super::InletHandle).
    Manual {
        /// Demanded and not handled yet.
        pending: usize,
    },
}

impl DemandMode {
    /// The most that may be taken at once.
    fn take_max(&self) -> usize {
        match self {
            Self::Unlimited => usize::MAX,
            Self::Automatic(credit) => credit.chunk().min(credit.pending()),
            Self::Manual { pending } => *pending,
        }
    }

    pub(super) fn is_unlimited(&self) -> bool {
        matches!(self, Self::Unlimited)
    }

    /// Returns what to demand at first, or after `n` messages were handled.
    fn renew(&mut self, n: usize) -> usize {
        match self {
            Self::Unlimited => 0,
            Self::Automatic(credit) => {
                credit.consumed(n);
                credit.request()
            }
            Self::Manual { pending } => {
                *pending = pending.saturating_sub(n);
                0
            }
        }
    }

    /// Demands `n` more, and returns how much that adds. Does nothing unless the mode is manual.
    pub(super) fn add_manually(&mut self, n: usize) -> usize {
        match self {
            Self::Unlimited | Self::Automatic(_) => 0,
            Self::Manual { pending } => {
                let before = *pending;
                *pending = before.saturating_add(n);
                *pending - before
            }
        }
    }
}

/// One inlet, as the link knows it.
pub(super) struct InletState {
    /// Distinguishes the inlet from earlier ones with the same id.
    pub(super) serial: u64,
    /// Whether an inlet has this id. A free entry stays for the next inlet.
    pub(super) in_use: bool,
    /// How many messages it holds: taken and not handled.
    pub(super) held: usize,
    /// It will come back to take without being woken: it was woken already, or is busy and not suspended.
    pub(super) awake: bool,
    pub(super) demand: DemandMode,
    pub(super) waker: Option<Waker>,
}

impl InletState {
    pub(super) fn new(serial: u64, demand: DemandMode) -> Self {
        Self {
            serial,
            in_use: true,
            held: 0,
            awake: false,
            demand,
            waker: None,
        }
    }

    /// The most that it may take now.
    pub(super) fn take_max(&self) -> usize {
        self.demand.take_max()
    }

    /// Counts the held messages as handled. Returns how many more it demands.
    pub(super) fn renew_demand(&mut self) -> usize {
        let held = std::mem::take(&mut self.held);
        self.demand.renew(held)
    }
}
