//! A FIFO of events that knows where each came from.
//!
//! Events stay in the `Vec`s in which they came: a chunk that is taken as it was sent changes hands
//! by its pointer, and nothing of it is copied. Only what is taken in other pieces than it was sent
//! in is moved, each event once: segments are rings, so what is left behind stays where it is. (As
//! plain `Vec`s, of which the rest moves up with each piece, batches of one message cost 80 ns
//! more.) Emptied `Vec`s go round: who sends a chunk gets
//! the memory of one that was taken.

use std::collections::VecDeque;

use super::OutletId;
use super::runs::{Run, Runs};

/// Longest segment: what may have to move when a part of a segment is taken.
const SEGMENT_MAX: usize = 1_024;
/// Sends below this size are collected in a segment of up to four times that.
const SMALL: usize = 8;
/// Emptied `Vec`s that are kept.
const SPARE_MAX: usize = 16;

/// Events in segments, their outlets as run lengths beside them.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// None of them empty.
    segments: VecDeque<VecDeque<T>>,
    /// Whether a part of the first segment was taken already.
    cut: bool,
    len: usize,
    runs: Runs,
    spare: Vec<Vec<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            segments: VecDeque::new(),
            cut: false,
            len: 0,
            runs: Runs::default(),
            spare: Vec::new(),
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn append(&mut self, outlet: OutletId, events: &mut Vec<T>) {
        let n = events.len();
        if n == 0 {
            return;
        }
        self.runs.push_back(Run { outlet, n });
        self.len += n;
        while events.len() > SEGMENT_MAX {
            let mut segment = self.spare.pop().unwrap_or_default();
            segment.extend(events.drain(..SEGMENT_MAX));
            self.segments.push_back(segment.into());
        }
        let n = events.len();
        match self.segments.back_mut() {
            Some(last) if n < SMALL && last.len() + n <= 4 * SMALL => last.extend(events.drain(..)),
            _ => {
                let spare = self.spare.pop().unwrap_or_default();
                self.segments
                    .push_back(std::mem::replace(events, spare).into());
            }
        }
    }

    pub(super) fn push(&mut self, outlet: OutletId, event: T) {
        self.runs.push_back(Run { outlet, n: 1 });
        self.len += 1;
        match self.segments.back_mut() {
            Some(last) if last.len() < 4 * SMALL => last.push_back(event),
            _ => {
                let mut segment = self.spare.pop().unwrap_or_default();
                segment.push(event);
                self.segments.push_back(segment.into());
            }
        }
    }

    /// Moves up to `max` events to `out` and their runs to `held`.
    pub(super) fn take(
        &mut self,
        max: usize,
        out: &mut Vec<T>,
        held: &mut Runs,
        freed: &mut dyn FnMut(OutletId, usize),
    ) -> usize {
        let n = self.len.min(max);
        self.take_events(n, out);
        let mut left = n;
        while left > 0 {
            let run = self.runs.pop_front(left).expect("a run for each event");
            left -= run.n;
            held.push_back(run);
            freed(run.outlet, run.n);
        }
        n
    }

    fn take_events(&mut self, n: usize, out: &mut Vec<T>) {
        self.len -= n;
        let mut left = n;
        while left > 0 {
            let front = self
                .segments
                .front_mut()
                .expect("as many as the queue is long");
            if front.len() > left {
                out.extend(front.drain(..left));
                self.cut = true;
                return;
            }
            left -= front.len();
            let whole = out.is_empty() && !self.cut;
            self.cut = false;
            let mut emptied = self.segments.pop_front().unwrap_or_default();
            if whole {
                // Free of charge, since the ring begins where its memory does.
                self.recycle(std::mem::replace(out, emptied.into()));
            } else {
                out.extend(emptied.drain(..));
                self.recycle(emptied.into());
            }
        }
    }

    fn recycle(&mut self, emptied: Vec<T>) {
        if self.spare.len() < SPARE_MAX && emptied.capacity() > 0 {
            self.spare.push(emptied);
        }
    }

    /// Moves `rest`, the last of what `held` describes, back to the front.
    pub(super) fn give_back(
        &mut self,
        rest: &mut Vec<T>,
        held: &mut Runs,
        returned: &mut dyn FnMut(OutletId, usize),
    ) {
        let mut left = rest.len();
        while left > 0 {
            let run = held
                .pop_back(left)
                .expect("an inlet gives back no more than it holds");
            left -= run.n;
            self.runs.push_front(run);
            returned(run.outlet, run.n);
        }
        self.len += rest.len();
        if !rest.is_empty() {
            let spare = self.spare.pop().unwrap_or_default();
            self.segments
                .push_front(std::mem::replace(rest, spare).into());
            self.cut = false;
        }
    }
}
