//! [`Segments`]: a FIFO of events that stay in the `Vec`s in which they came.
//!
//! A chunk that is taken as it was sent changes hands by its pointer, and nothing is copied. Only events that are taken
//! in other parts than they were sent in are moved, each once: segments are rings, so the rest stays where it is. (As
//! plain `Vec`s, whose rest moves up with each part, batches of one message cost 80 ns more.) Emptied `Vec`s are
//! reused: an outlet that sends a chunk gets the memory of one that was taken.

use std::collections::VecDeque;

/// The longest segment: the most events that may have to move when a part of a segment is taken.
const SEGMENT_MAX: usize = 1_024;
/// Sends below this size are collected in a segment of up to four times that.
const SMALL: usize = 8;
/// The number of emptied `Vec`s that are kept.
const SPARE_MAX: usize = 16;

/// Events in segments.
#[derive(Debug)]
pub(super) struct Segments<T> {
    /// None of them is empty.
    segments: VecDeque<VecDeque<T>>,
    /// Whether a part of the first segment was taken already.
    cut: bool,
    len: usize,
    spare: Vec<Vec<T>>,
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self {
            segments: VecDeque::new(),
            cut: false,
            len: 0,
            spare: Vec::new(),
        }
    }
}

impl<T> Segments<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Iterates over the events in their order, as slices.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[T]> {
        self.segments.iter().flat_map(|segment| {
            let (front, back) = segment.as_slices();
            [front, back]
        })
    }

    /// Returns an empty `Vec`, with memory if a spare one is kept.
    pub(super) fn spare(&mut self) -> Vec<T> {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn recycle(&mut self, emptied: Vec<T>) {
        if self.spare.len() < SPARE_MAX && emptied.capacity() > 0 {
            self.spare.push(emptied);
        }
    }

    /// Leaves `events` empty.
    pub(super) fn append(&mut self, events: &mut Vec<T>) {
        if events.is_empty() {
            return;
        }
        self.len += events.len();
        while events.len() > SEGMENT_MAX {
            let mut segment = self.spare();
            segment.extend(events.drain(..SEGMENT_MAX));
            self.segments.push_back(segment.into());
        }
        let n = events.len();
        match self.segments.back_mut() {
            Some(last) if n < SMALL && last.len() + n <= 4 * SMALL => last.extend(events.drain(..)),
            _ => {
                let spare = self.spare();
                self.segments
                    .push_back(std::mem::replace(events, spare).into());
            }
        }
    }

    pub(super) fn push(&mut self, event: T) {
        self.len += 1;
        match self.segments.back_mut() {
            Some(last) if last.len() < 4 * SMALL => last.push_back(event),
            _ => {
                let mut segment = self.spare();
                segment.push(event);
                self.segments.push_back(segment.into());
            }
        }
    }

    /// Moves the first `n` events to the end of `out`. There must be that many.
    pub(super) fn take(&mut self, n: usize, out: &mut Vec<T>) {
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
            // After a cut the ring no longer begins where its memory does, and a conversion would move every event.
            let whole = out.is_empty() && !self.cut;
            self.cut = false;
            let mut emptied = self.segments.pop_front().unwrap_or_default();
            if whole {
                // The conversion copies nothing, because the ring begins where its memory does.
                self.recycle(std::mem::replace(out, emptied.into()));
            } else {
                out.extend(emptied.drain(..));
                self.recycle(emptied.into());
            }
        }
    }

    /// Puts `events` before all others and leaves the `Vec` empty.
    pub(super) fn prepend(&mut self, events: &mut Vec<T>) {
        if events.is_empty() {
            return;
        }
        self.len += events.len();
        let spare = self.spare();
        self.segments
            .push_front(std::mem::replace(events, spare).into());
        self.cut = false;
    }

    /// Puts all of `first` before the events here.
    pub(super) fn prepend_all(&mut self, mut first: Self) {
        self.len += first.len;
        self.cut = first.cut || (first.len == 0 && self.cut);
        while let Some(segment) = first.segments.pop_back() {
            self.segments.push_front(segment);
        }
    }
}
