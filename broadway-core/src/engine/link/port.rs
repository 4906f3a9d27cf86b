//! What the hub knows of its ends: [`Port`] of an outlet, [`Seat`] of an inlet.

use std::task::Waker;

use super::wake_list::WakeList;
use crate::machine::credit::Credit;

/// How much an inlet may take.
#[derive(Debug)]
pub(crate) enum Flow {
    /// Whatever is there: the outlets have a credit of their own.
    Any,
    /// What it asked for, and it asks again by itself when it has handled enough.
    Automatic(Credit),
    /// What it asked for by hand.
    Manual {
        /// Asked for and not handled yet.
        pending: usize,
    },
}

impl Flow {
    /// The most that may be taken at once.
    fn limit(&self) -> usize {
        match self {
            Self::Any => usize::MAX,
            Self::Automatic(credit) => credit.chunk().min(credit.pending()),
            Self::Manual { pending } => *pending,
        }
    }

    /// Whether the inlet may return what it took. Those that say what they want handle it, or lose it.
    pub(super) fn may_give_back(&self) -> bool {
        matches!(self, Self::Any)
    }

    /// What is to be asked for at first, or now that `n` were handled.
    fn handled(&mut self, n: usize) -> usize {
        match self {
            Self::Any => 0,
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

    /// Asks for `n` by hand. An automatic inlet asks by itself, so this changes nothing there.
    pub(super) fn ask(&mut self, n: usize) -> usize {
        match self {
            Self::Any | Self::Automatic(_) => 0,
            Self::Manual { pending } => {
                let before = *pending;
                *pending = before.saturating_add(n);
                *pending - before
            }
        }
    }
}

/// What the hub knows of an inlet.
pub(super) struct Seat {
    /// Tells it from others that had the same number before.
    pub(super) serial: u64,
    /// Free seats keep their place for the next inlet.
    pub(super) taken: bool,
    /// How many messages it holds.
    pub(super) held: usize,
    /// It will come back to take without being woken: it was woken already, or is busy and not suspended.
    pub(super) up: bool,
    pub(super) flow: Flow,
    pub(super) waker: Option<Waker>,
}

impl Seat {
    pub(super) fn new(serial: u64, flow: Flow) -> Self {
        Self {
            serial,
            taken: true,
            held: 0,
            up: false,
            flow,
            waker: None,
        }
    }

    /// The most that it may take now.
    pub(super) fn limit(&self) -> usize {
        self.flow.limit()
    }

    /// What it held is handled. Returns how much more it asks for.
    pub(super) fn handled(&mut self) -> usize {
        let held = std::mem::take(&mut self.held);
        self.flow.handled(held)
    }
}

/// What the hub knows of an outlet.
pub(super) struct Port {
    /// `None`: the inlets say how much is wanted.
    pub(super) credit: Option<Credit>,
    /// Asked for and not sent yet.
    owed: usize,
    /// The most that is asked for at once.
    piece: usize,
    open: bool,
    waiting: Vec<Waiting>,
    /// Waits so far: numbers them.
    waits: u64,
}

/// One who waits for demand.
struct Waiting {
    number: u64,
    waker: Waker,
}

impl Port {
    pub(super) fn new(credit: Option<Credit>, piece: usize) -> Self {
        Self {
            credit,
            owed: 0,
            piece,
            open: true,
            waiting: Vec::new(),
            waits: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Returns whether it was open.
    pub(super) fn close(&mut self) -> bool {
        std::mem::take(&mut self.open)
    }

    /// What the outlet is to send next, counting what it was asked for before. `due` is what the inlets have ordered: told
    /// once, to whoever comes first.
    pub(super) fn ask(&mut self, due: &mut usize) -> usize {
        match &mut self.credit {
            Some(credit) => {
                self.owed += credit.request();
                self.owed.min(self.piece)
            }
            None => {
                let told = std::mem::take(due);
                self.owed += told;
                told
            }
        }
    }

    /// `n` messages are sent. Those that nobody asked for count against what is asked for next. Returns how many of those
    /// that the inlets ordered have come with it.
    pub(super) fn sent(&mut self, n: usize) -> usize {
        debug_assert!(self.open, "nothing is sent on a closed outlet");
        let asked = n.min(self.owed);
        self.owed -= asked;
        match &mut self.credit {
            Some(credit) => {
                credit.returned(n - asked);
                0
            }
            None => asked,
        }
    }

    /// Sent and not taken, where there is a credit.
    pub(super) fn waiting(&self) -> usize {
        let pending = self.credit.as_ref().map_or(0, Credit::pending);
        pending.saturating_sub(self.owed)
    }

    /// How many of those that the inlets ordered will not come from here any more.
    pub(super) fn renounce(&mut self) -> usize {
        match self.credit {
            Some(_) => 0,
            None => std::mem::take(&mut self.owed),
        }
    }

    pub(super) fn taken(&mut self, n: usize, wakes: &mut WakeList) {
        let Some(credit) = &mut self.credit else {
            return;
        };
        credit.consumed(n);
        let due = self.owed > 0 || credit.pending() <= credit.min();
        if due && !self.waiting.is_empty() {
            self.wake(wakes);
        }
    }

    pub(super) fn returned(&mut self, n: usize) {
        if let Some(credit) = &mut self.credit {
            credit.returned(n);
        }
    }

    /// Remembers who waits, by the number of its wait if it has one. Returns the number, and the waker that it left before.
    pub(super) fn wait(&mut self, number: Option<u64>, waker: &Waker) -> (u64, Option<Waker>) {
        let known = |waiting: &&mut Waiting| Some(waiting.number) == number;
        if let Some(waiting) = self.waiting.iter_mut().find(known) {
            let same = waiting.waker.will_wake(waker);
            let before = (!same).then(|| std::mem::replace(&mut waiting.waker, waker.clone()));
            return (waiting.number, before);
        }
        self.waits += 1;
        self.waiting.push(Waiting {
            number: self.waits,
            waker: waker.clone(),
        });
        (self.waits, None)
    }

    /// Forgets who waits no more. Others need no wake for it: all are told the same demand.
    pub(super) fn forget(&mut self, number: u64) -> Option<Waker> {
        let at = self
            .waiting
            .iter()
            .position(|waiting| waiting.number == number)?;
        Some(self.waiting.swap_remove(at).waker)
    }

    pub(super) fn wake(&mut self, wakes: &mut WakeList) {
        for waiting in self.waiting.drain(..) {
            wakes.push(waiting.waker);
        }
    }
}
