//! Sleeping inlets, and how many of them some events are worth waking.

use std::collections::VecDeque;

use super::InletId;

/// Waiting asks, the largest first and in order of arrival among equals, as GenStage's demand
/// dispatcher keeps them; and the asks of those who were woken and have not come yet.
///
/// Does the work of [`ask`](super::Dispatch::ask) and [`wake`](super::Dispatch::wake) for dispatchers that let any inlet take
/// what is there; call [`forget`](Self::forget) whenever an inlet takes or leaves.
#[derive(Debug, Default)]
pub struct Asks {
    waiting: VecDeque<(usize, InletId)>,
    /// By inlet number.
    states: Vec<State>,
    /// Sum of the asks of those on their way, and how many they are.
    promised: usize,
    on_their_way: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Awake,
    Waiting,
    OnItsWay(usize),
}

impl Asks {
    /// The inlet came by itself: neither waits nor is owed anything. Cheap when it was awake.
    pub fn forget(&mut self, inlet: InletId) {
        let Some(state) = self.states.get_mut(inlet.0 as usize) else {
            return;
        };
        match std::mem::take(state) {
            State::Awake => {}
            State::Waiting => self.waiting.retain(|&(_, other)| other != inlet),
            State::OnItsWay(n) => {
                self.promised -= n;
                self.on_their_way -= 1;
            }
        }
    }

    /// Replaces whatever the inlet had asked; 0 asks for nothing.
    pub fn ask(&mut self, inlet: InletId, n: usize) {
        self.forget(inlet);
        if n == 0 {
            return;
        }
        let index = inlet.0 as usize;
        if index >= self.states.len() {
            self.states.resize(index + 1, State::Awake);
        }
        self.states[index] = State::Waiting;
        let behind_equals = self.waiting.partition_point(|&(other, _)| other >= n);
        self.waiting.insert(behind_equals, (n, inlet));
    }

    /// Appends to `out` as many inlets as `events` events can serve, less what those on their way will use.
    ///
    /// Each needs at least one of `slots` things that only one inlet can have, as a lane; `usize::MAX` if there are none.
    pub fn wake(&mut self, events: usize, slots: usize, out: &mut Vec<InletId>) {
        while self.promised < events && self.on_their_way < slots {
            let Some((n, inlet)) = self.waiting.pop_front() else {
                return;
            };
            self.states[inlet.0 as usize] = State::OnItsWay(n);
            self.promised = self.promised.saturating_add(n);
            self.on_their_way += 1;
            out.push(inlet);
        }
    }
}
