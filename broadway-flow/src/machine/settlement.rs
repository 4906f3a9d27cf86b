//! [`Settlement`]: which delivered messages a source may settle, because everything made of them is confirmed.
//!
//! # Why one complete barrier is enough
//!
//! Take an event of epoch `e`, and a barrier `b >= e` that every worker has reported with `holds > e`. Then every output made of the event
//! is confirmed:
//!
//! 1. Barriers are aligned. A worker reports `b` when it has processed exactly the events and results that its inputs sent before `b`, and
//!    it sends `b` downstream after all results it emitted before. A result emitted before `b` is thus processed by the next worker before
//!    *its* `b`: at the cut that barrier `b` makes through the flow, no result is between two workers.
//! 2. At this cut, everything made of the event is therefore in the state of a worker, or was output. A worker that output it reports `b`
//!    only when the output is confirmed.
//! 3. Every result carries the oldest epoch it is made of, and each worker takes the minimum over its state as `holds`. A worker whose
//!    window has emitted its result holds nothing anymore, and reports so; but if a worker downstream holds this result, *that* worker
//!    reports the epoch, with the same barrier. Since all `holds` of barrier `b` are beyond `e`, no worker has any part of the event in its
//!    state.
//!
//! The same holds for late events and failed ones: passing them on to be handled is an output, and what a join keeps after emitting a pair is
//! still held.
//!
//! The second step needs the reports of *one* barrier. Suppose the worker upstream has reported `b + 1`, after its window has emitted, and
//! the worker downstream only `b`, before it received the result: neither holds the event, and the result is on its way. Reports of a
//! barrier therefore count only once all workers have reported it.

use std::collections::{BTreeMap, VecDeque};

use crate::epoch::Epoch;

/// The tokens of delivered messages, by epoch, and the reports of the workers.
#[derive(Debug, Clone)]
pub(crate) struct Settlement<K> {
    /// The epochs with tokens, oldest first.
    epochs: VecDeque<(Epoch, Vec<K>)>,
    current: Epoch,
    /// The newest barrier of each worker.
    reported: Vec<Option<Epoch>>,
    /// The barriers that not all workers have reported.
    partial: BTreeMap<Epoch, Partial>,
    /// Epochs before this one may be settled.
    settled_before: Epoch,
}

#[derive(Debug, Clone, Copy)]
struct Partial {
    reports: usize,
    holds: Epoch,
}

impl<K> Settlement<K> {
    /// Creates a settlement without tokens and workers. The epoch 0 is open.
    pub(crate) fn new() -> Self {
        Self {
            epochs: VecDeque::new(),
            current: Epoch(0),
            reported: Vec::new(),
            partial: BTreeMap::new(),
            settled_before: Epoch(0),
        }
    }

    /// Creates a settlement whose first epoch is this one.
    pub(crate) fn starting_at(epoch: Epoch) -> Self {
        Self {
            current: epoch,
            settled_before: epoch,
            ..Self::new()
        }
    }

    /// Returns the token that was delivered last.
    pub(crate) fn newest(&self) -> Option<&K> {
        self.epochs.back().and_then(|(_, tokens)| tokens.last())
    }

    /// Sets the number of workers that report barriers: all workers downstream of the source, numbered from 0.
    ///
    /// # Panics
    ///
    /// Panics after the first report: a partial barrier would count too many or too few workers.
    pub(crate) fn workers(&mut self, n: usize) {
        assert!(
            self.reported.iter().all(Option::is_none),
            "no worker has reported"
        );
        self.reported = vec![None; n];
    }

    /// Starts the next epoch and returns it. The source sends the barrier of the epoch before.
    pub(crate) fn open(&mut self) -> Epoch {
        self.current = Epoch(self.current.0 + 1);
        self.current
    }

    /// Adds tokens of messages that the source delivers in the current epoch.
    pub(crate) fn deliver(&mut self, tokens: impl IntoIterator<Item = K>) {
        match self.epochs.back_mut() {
            Some((epoch, delivered)) if *epoch == self.current => delivered.extend(tokens),
            _ => {
                let delivered: Vec<K> = tokens.into_iter().collect();
                if !delivered.is_empty() {
                    self.epochs.push_back((self.current, delivered));
                }
            }
        }
    }

    /// Takes the report of a worker: it has processed everything before the barrier at the end of epoch `barrier`, its outputs are
    /// confirmed, and it holds state made of events since `holds`; [`Epoch::NONE`] if it holds nothing.
    ///
    /// # Panics
    ///
    /// Panics if the barrier was not sent yet, or the worker has reported it or a later one.
    pub(crate) fn report(&mut self, worker: usize, barrier: Epoch, holds: Epoch) {
        assert!(barrier < self.current, "the barrier was sent");
        assert!(self.reported[worker] < Some(barrier), "barriers increase");
        self.reported[worker] = Some(barrier);
        let partial = self.partial.entry(barrier).or_insert(Partial {
            reports: 0,
            holds: Epoch::NONE,
        });
        partial.reports += 1;
        partial.holds = partial.holds.min(holds);
        if partial.reports == self.reported.len() {
            let before = partial.holds.min(Epoch(barrier.0 + 1));
            // It never goes back: state at a barrier is made of state at the one before, or of newer events.
            self.settled_before = self.settled_before.max(before);
            self.partial.retain(|other, _| *other > barrier);
        }
    }

    /// The states of all workers at this barrier are saved: what they hold of its epochs is not lost any more.
    pub(crate) fn persisted(&mut self, barrier: Epoch) {
        self.settled_before = self.settled_before.max(Epoch(barrier.0 + 1));
    }

    /// Ends the settlement: all workers have ended and their outputs are confirmed, so that everything may be settled.
    pub(crate) fn finish(&mut self) {
        self.settled_before = Epoch::NONE;
        self.partial.clear();
    }

    /// Moves the tokens that may be settled to `out`, in the order of their delivery.
    pub(crate) fn settleable(&mut self, out: &mut Vec<K>) {
        while let Some((epoch, tokens)) = self.epochs.front_mut() {
            if *epoch >= self.settled_before {
                break;
            }
            out.append(tokens);
            self.epochs.pop_front();
        }
    }

    /// Returns the oldest epoch with tokens.
    #[cfg(test)]
    pub(crate) fn oldest(&self) -> Option<Epoch> {
        self.epochs.front().map(|(epoch, _)| *epoch)
    }

    /// Returns the number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.epochs.iter().map(|(_, tokens)| tokens.len()).sum()
    }

    /// Whether there are no tokens.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.epochs.is_empty()
    }
}

#[cfg(test)]
mod tests;
