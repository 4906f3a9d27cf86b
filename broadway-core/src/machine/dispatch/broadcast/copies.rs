//! The copies that are made of events before any of them moves.
//!
//! Selectors and clones are user code and may panic. All of them therefore run here, on events that stay where they
//! are, and only a complete set of copies is handed out.

use super::BroadcastInlet;
use crate::machine::dispatch::{InletId, InletTable};

/// One part for each inlet, in the order in which they joined. The last one gets the originals.
#[derive(Debug)]
pub(super) struct Copies<T> {
    parts: Vec<InletCopies<T>>,
    /// Which of the originals the last inlet gets. Empty means all.
    keep: Vec<bool>,
    len: usize,
}

/// The events that an inlet will get.
#[derive(Debug)]
struct InletCopies<T> {
    /// Stays empty for the last inlet.
    copies: Vec<T>,
    /// How much the inlet will have demanded then, beyond what it got.
    room: usize,
}

impl<T> Default for Copies<T> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            keep: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Clone> Copies<T> {
    /// Copies as many events as every inlet has demanded.
    pub(super) fn make<'a>(
        &mut self,
        mut source: EventSlices<'a, T, impl Iterator<Item = &'a [T]>>,
        inlets: &mut InletTable<BroadcastInlet<T>>,
        joined: &[InletId],
    ) where
        T: 'a,
    {
        self.len = 0;
        self.keep.clear();
        self.parts.clear();
        let (last, others) = joined.split_last().expect("demand comes from an inlet");
        for &inlet in others {
            let member = inlets.of(inlet);
            self.parts.push(InletCopies {
                copies: member.queue.spare(),
                room: member.room,
            });
        }
        self.parts.push(InletCopies {
            copies: Vec::new(),
            room: inlets.of(*last).room,
        });
        loop {
            // A rejected event makes room again.
            let room = self.parts.iter().map(|part| part.room).min();
            let Some(events) = source.next(room.unwrap_or(0)) else {
                return;
            };
            for (part, &inlet) in self.parts.iter_mut().zip(others) {
                part.add(events, inlets.of(inlet));
            }
            self.add_last(events, inlets.of(*last));
            self.len += events.len();
        }
    }

    fn add_last(&mut self, events: &[T], member: &BroadcastInlet<T>) {
        let part = self.parts.last_mut().expect("a part for each inlet");
        if member.selector.is_everything() {
            part.room -= events.len();
            return;
        }
        for event in events {
            let selected = member.selector.selects(event);
            part.room -= usize::from(selected);
            self.keep.push(selected);
        }
    }
}

impl<T: Clone> InletCopies<T> {
    fn add(&mut self, events: &[T], member: &BroadcastInlet<T>) {
        let before = self.copies.len();
        if member.selector.is_everything() {
            self.copies.extend_from_slice(events);
        } else {
            let selected = events.iter().filter(|event| member.selector.selects(event));
            self.copies.extend(selected.cloned());
        }
        self.room -= self.copies.len() - before;
    }
}

impl<T> Copies<T> {
    /// Returns how many events were copied.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the events for the inlet at this index. The last inlet gets the originals, so call this for it last.
    pub(super) fn part(&mut self, at: usize, original: &mut Vec<T>) -> Vec<T> {
        if at + 1 < self.parts.len() {
            return std::mem::take(&mut self.parts[at].copies);
        }
        if !self.keep.is_empty() {
            let mut keep = self.keep.iter().copied();
            original.retain(|_| keep.next().expect("an answer for each event"));
        }
        std::mem::take(original)
    }

    /// Returns how much the inlet at this index has demanded beyond what it gets now.
    pub(super) fn room(&self, at: usize) -> usize {
        self.parts[at].room
    }
}

/// Events in slices, read in parts.
pub(super) struct EventSlices<'a, T, S> {
    slices: S,
    /// The rest of the current slice.
    rest: &'a [T],
}

impl<'a, T, S: Iterator<Item = &'a [T]>> EventSlices<'a, T, S> {
    pub(super) fn new(slices: S) -> Self {
        Self { slices, rest: &[] }
    }

    /// Returns the next events, at least one and at most `max`.
    fn next(&mut self, max: usize) -> Option<&'a [T]> {
        if max == 0 {
            return None;
        }
        while self.rest.is_empty() {
            self.rest = self.slices.next()?;
        }
        let (piece, rest) = self.rest.split_at(max.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}
