//! [`WaitingInlets`]: the sleeping inlets, and how many of them to wake for a number of events.

use std::collections::VecDeque;

use super::InletId;

/// Waiting inlets, those that wait for most events first and in order of arrival among equals, as GenStage's demand
/// dispatcher keeps them; and the inlets that were woken and have not taken yet.
///
/// Implements [`wait_for`](super::Dispatch::wait_for) and [`wake`](super::Dispatch::wake) for dispatchers that let any
/// inlet take any event. Call [`remove`](Self::remove) whenever an inlet takes or leaves.
#[derive(Debug, Default)]
pub struct WaitingInlets {
    waiting: VecDeque<(usize, InletId)>,
    /// By inlet number.
    states: Vec<WaitState>,
    /// The number of events promised to woken inlets, and the number of those inlets.
    promised: usize,
    woken: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum WaitState {
    #[default]
    Awake,
    Waiting,
    Woken(usize),
}

impl WaitingInlets {
    /// Removes an inlet that took or left: it neither waits nor is promised anything. Cheap if it was awake.
    pub fn remove(&mut self, inlet: InletId) {
        let Some(state) = self.states.get_mut(inlet.0 as usize) else {
            return;
        };
        match std::mem::take(state) {
            WaitState::Awake => {}
            WaitState::Waiting => self.waiting.retain(|&(_, other)| other != inlet),
            WaitState::Woken(n) => {
                self.promised -= n;
                self.woken -= 1;
            }
        }
    }

    /// Replaces the inlet's wait. 0 waits for nothing.
    pub fn add(&mut self, inlet: InletId, n: usize) {
        self.remove(inlet);
        if n == 0 {
            return;
        }
        let index = inlet.0 as usize;
        if index >= self.states.len() {
            self.states.resize(index + 1, WaitState::Awake);
        }
        self.states[index] = WaitState::Waiting;
        // Sorted at insertion, so that `wake`, which runs after every change of the link, only pops.
        let behind_equals = self.waiting.partition_point(|&(other, _)| other >= n);
        self.waiting.insert(behind_equals, (n, inlet));
    }

    /// Appends to `out` as many inlets as `events` can serve, less the events promised to woken inlets.
    ///
    /// Each inlet needs one of `slots` things that only one inlet can have, such as a lane; `usize::MAX` if there are
    /// none.
    pub fn wake(&mut self, events: usize, slots: usize, out: &mut Vec<InletId>) {
        while self.promised < events && self.woken < slots {
            let Some((n, inlet)) = self.waiting.pop_front() else {
                return;
            };
            self.states[inlet.0 as usize] = WaitState::Woken(n);
            self.promised = self.promised.saturating_add(n);
            self.woken += 1;
            out.push(inlet);
        }
    }
}
