//! [`Stacks`]: aggregates a queue of panes with a constant number of merges for each.

use std::{cmp::Reverse, mem};

use super::part::Part;
use crate::epoch::Epoch;

/// The panes of one key, aggregated: two stacks, of which one is reversed.
///
/// New panes go to the back, old ones leave at the front. The front holds, for each of its panes, the aggregate of this and all newer panes
/// of the front, so that its top covers the whole front. When the front runs out, the back is turned into a new front.
#[derive(Debug, Clone)]
pub(super) struct Stacks<S> {
    /// Oldest pane last. All panes are older than the back.
    front: Vec<(i64, Part<S>)>,
    /// Oldest pane first. The states are of single panes.
    back: Vec<(i64, Part<S>)>,
    /// The aggregate of the back; `None` if the back is empty.
    total: Option<Part<S>>,
}

impl<S: Clone> Stacks<S> {
    /// Adds a pane, or events to a pane that is already there. All other panes are cheaper if they come in order.
    pub(super) fn insert(&mut self, pane: i64, part: Part<S>, merge: &impl Fn(&mut S, S)) {
        match self.front.first() {
            Some((newest, _)) if pane <= *newest => self.insert_front(pane, part, merge),
            _ => self.insert_back(pane, part, merge),
        }
    }

    /// Removes all panes below `pane`.
    pub(super) fn remove_below(&mut self, pane: i128, merge: &impl Fn(&mut S, S)) {
        let old = |(other, _): &(i64, Part<S>)| i128::from(*other) < pane;
        while self.front.last().is_some_and(old) {
            self.front.pop();
        }
        if !self.front.is_empty() || !self.back.first().is_some_and(old) {
            return;
        }
        self.total = None;
        let keep = self.back.partition_point(old);
        push_suffixes(&mut self.front, self.back.drain(keep..).rev(), merge);
        self.back.clear();
    }

    /// Returns the aggregate of all panes; `None` if there are none.
    pub(super) fn total(&self, merge: &impl Fn(&mut S, S)) -> Option<Part<S>> {
        let front = self.front.last().map(|(_, part)| part);
        match (front, &self.total) {
            (Some(front), Some(back)) => {
                let mut total = front.clone();
                total.merge(back.clone(), merge);
                Some(total)
            }
            (front, back) => front.or(back.as_ref()).cloned(),
        }
    }

    /// Returns the aggregate of all panes, which are no longer needed.
    pub(super) fn into_total(mut self, merge: &impl Fn(&mut S, S)) -> Option<Part<S>> {
        let front = self.front.pop().map(|(_, part)| part);
        match (front, self.total) {
            (Some(mut total), Some(back)) => {
                total.merge(back, merge);
                Some(total)
            }
            (front, back) => front.or(back),
        }
    }

    /// Whether all panes are below `pane`.
    pub(super) fn are_below(&self, pane: i128) -> bool {
        let newest = self.back.last().or(self.front.first());
        newest.is_none_or(|(newest, _)| i128::from(*newest) < pane)
    }

    /// Returns the oldest epoch of all panes.
    pub(super) fn since(&self) -> Epoch {
        let front = self
            .front
            .last()
            .map_or(Epoch::NONE, |(_, part)| part.since);
        let back = self.total.as_ref().map_or(Epoch::NONE, |part| part.since);
        front.min(back)
    }

    /// Returns the oldest pane.
    pub(super) fn first(&self) -> Option<i64> {
        let oldest = self.front.last().or(self.back.first());
        oldest.map(|(pane, _)| *pane)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.front.is_empty() && self.back.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.front.len() + self.back.len()
    }

    /// Borrows both stacks, to be saved.
    pub(super) fn as_saved(&self) -> [Vec<(i64, Part<&S>)>; 2] {
        [&self.front, &self.back].map(|stack| {
            let parts = stack.iter();
            parts.map(|(pane, part)| (*pane, part.as_ref())).collect()
        })
    }

    /// Returns the saved states.
    pub(super) fn restore(
        front: Vec<(i64, Part<S>)>,
        back: Vec<(i64, Part<S>)>,
        merge: &impl Fn(&mut S, S),
    ) -> Self {
        let parts = back.iter().map(|(_, part)| part.clone());
        let total = parts.reduce(|mut total, part| {
            total.merge(part, merge);
            total
        });
        Self { front, back, total }
    }

    /// Adds the panes of another queue, whose panes may lie between these.
    pub(super) fn join(&mut self, other: Self, merge: &impl Fn(&mut S, S)) {
        if self.is_empty() {
            *self = other;
            return;
        }
        let ours = mem::take(self).into_suffixes(merge);
        let theirs = other.into_suffixes(merge);
        let mut panes: Vec<_> = ours.iter().chain(&theirs).map(|(pane, _)| *pane).collect();
        panes.sort_unstable_by_key(|pane| Reverse(*pane));
        panes.dedup();
        for pane in panes {
            // The oldest aggregate that begins at or after the pane.
            let suffixes = [&ours, &theirs].into_iter().filter_map(|suffixes| {
                let n = suffixes.partition_point(|(other, _)| *other >= pane);
                let (_, part) = suffixes[..n].last()?;
                Some(part.clone())
            });
            let joined = suffixes.reduce(|mut all, part| {
                all.merge(part, merge);
                all
            });
            self.front.extend(joined.map(|part| (pane, part)));
        }
    }

    /// Turns both stacks into a front: the aggregate of each pane and all newer ones, newest first.
    fn into_suffixes(self, merge: &impl Fn(&mut S, S)) -> Vec<(i64, Part<S>)> {
        let mut suffixes = Vec::with_capacity(self.len());
        push_suffixes(&mut suffixes, self.back.into_iter().rev(), merge);
        for (pane, mut part) in self.front {
            if let Some(back) = &self.total {
                part.merge(back.clone(), merge);
            }
            suffixes.push((pane, part));
        }
        suffixes
    }

    /// A late part: it joins the aggregates of its pane and of all older ones.
    fn insert_front(&mut self, pane: i64, part: Part<S>, merge: &impl Fn(&mut S, S)) {
        let position = self.front.partition_point(|(other, _)| *other > pane);
        let found = self
            .front
            .get(position)
            .is_some_and(|(other, _)| *other == pane);
        for (_, older) in &mut self.front[position..] {
            older.merge(part.clone(), merge);
        }
        if !found {
            let (_, newer) = &self.front[position - 1];
            let mut aggregate = part;
            aggregate.merge(newer.clone(), merge);
            self.front.insert(position, (pane, aggregate));
        }
    }

    fn insert_back(&mut self, pane: i64, part: Part<S>, merge: &impl Fn(&mut S, S)) {
        match &mut self.total {
            Some(total) => total.merge(part.clone(), merge),
            None => self.total = Some(part.clone()),
        }
        let position = match self.back.last() {
            Some((newest, _)) if *newest >= pane => {
                self.back.partition_point(|(other, _)| *other < pane)
            }
            _ => self.back.len(),
        };
        match self.back.get_mut(position) {
            Some((other, own)) if *other == pane => own.merge(part, merge),
            _ => self.back.insert(position, (pane, part)),
        }
    }
}

/// Adds panes to a front, newest first.
fn push_suffixes<S: Clone>(
    front: &mut Vec<(i64, Part<S>)>,
    panes: impl Iterator<Item = (i64, Part<S>)>,
    merge: &impl Fn(&mut S, S),
) {
    for (pane, mut part) in panes {
        if let Some((_, newer)) = front.last() {
            part.merge(newer.clone(), merge);
        }
        front.push((pane, part));
    }
}

impl<S> Default for Stacks<S> {
    fn default() -> Self {
        Self {
            front: Vec::new(),
            back: Vec::new(),
            total: None,
        }
    }
}
