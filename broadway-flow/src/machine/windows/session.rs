//! [`Sessions`]: windows that end when a key has had no event for a while.

use std::{cmp::Reverse, collections::BinaryHeap, hash::Hash, ops::Range};

use super::{
    cell::Cell,
    fired::Fired,
    key::{LookupKey, Owned},
    rules::Rules,
    saved::Content,
    slots::Slots,
};
use crate::{Aggregate, At, Timestamp, Window, Windows, epoch::Epoch, window::EarlyFiring};

/// The sessions of each key, and a timer for each key with sessions.
pub(super) struct Sessions<T, K, A: Aggregate<T>> {
    gap: i64,
    lateness: i64,
    rules: Rules<T, A>,
    keys: Slots<K, Own<T, A::State>>,
    /// When to look at a key. A timer that is not the key's current one is ignored.
    timers: BinaryHeap<Reverse<(Timestamp, usize)>>,
    watermark: Timestamp,
}

/// The sessions of a key, in order. They do not overlap.
struct Own<T, S> {
    sessions: Vec<Session<T, S>>,
    /// The time of the current timer: at or before the next session that fires or closes.
    due: Option<Timestamp>,
}

struct Session<T, S> {
    start: Timestamp,
    end: Timestamp,
    cell: Cell<T, S>,
}

/// A session that fires, in the order of firings.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    end: Timestamp,
    start: Timestamp,
    position: usize,
}

impl<T, K: Hash + Eq + Clone, A: Aggregate<T>> Sessions<T, K, A> {
    pub(super) fn new(gap: i64, windows: &Windows<T>, aggregate: A) -> Self {
        Self {
            gap,
            lateness: windows.lateness,
            rules: Rules::new(windows, aggregate),
            keys: Slots::default(),
            timers: BinaryHeap::new(),
            watermark: Timestamp::MIN,
        }
    }

    pub(super) fn add<L: LookupKey<K>>(
        &mut self,
        key: L,
        event: T,
        at: At,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) -> Result<(), T> {
        let (start, end) = (at.time, later(at.time, self.gap));
        let found = self.keys.find(&key);
        let own = found.and_then(|position| self.keys.get(position));
        let joins = own.is_some_and(|(_, own)| !own.overlapping(start, end).is_empty());
        if !joins && later(end, self.lateness) <= self.watermark {
            return Err(event);
        }
        let position = match found {
            Some(position) => position,
            None => self.keys.entry(key, Own::default),
        };
        let watermark = self.watermark;
        let Self { keys, rules, .. } = self;
        let (key, own) = keys.get_mut(position).expect("invariant: found or made");
        let session = own.join(start, end, rules);
        let window = session.window();
        let cell = &mut session.cell;
        if session.end <= watermark || cell.on_time {
            rules.add(cell, event, at.since);
            rules.fire_late(key, cell, || window, emit);
        } else {
            rules.add_open(key, cell, || window, (event, at.since), emit);
        }
        let due = session.due(self.lateness);
        self.arm(position, due);
        Ok(())
    }

    /// Fires the sessions that have ended, and removes those whose lateness is over.
    pub(super) fn watermark(
        &mut self,
        watermark: Timestamp,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        self.watermark = watermark;
        let mut looked = Vec::new();
        let mut due = Vec::new();
        while let Some(&Reverse((time, position))) = self.timers.peek() {
            if time > watermark {
                break;
            }
            self.timers.pop();
            let Some((_, own)) = self.keys.get_mut(position) else {
                continue;
            };
            if own.due != Some(time) {
                continue;
            }
            own.due = None;
            looked.push(position);
            let sessions = own.sessions.iter();
            let ended = sessions.filter(|session| session.due(self.lateness) <= watermark);
            due.extend(ended.map(|session| session.at(position)));
        }
        due.sort_unstable();
        for due in due {
            self.fire(&due, emit);
        }
        for position in looked {
            let own = self.keys.get(position);
            let next = own.and_then(|(_, own)| own.next_due(self.lateness));
            if let Some(next) = next {
                self.arm(position, next);
            }
        }
    }

    pub(super) fn tick(&mut self, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        if !matches!(self.rules.early, EarlyFiring::Periodic(_)) {
            return;
        }
        let keys = self.keys.iter();
        let mut due: Vec<_> = keys
            .flat_map(|(position, _, own)| own.sessions.iter().map(move |one| one.at(position)))
            .collect();
        due.sort_unstable();
        let Self { keys, rules, .. } = self;
        for due in due {
            if let Some((key, own)) = keys.get_mut(due.position)
                && let Ok(index) = own.find(due.start)
            {
                let session = &mut own.sessions[index];
                let window = session.window();
                rules.fire_period(key, &mut session.cell, window, emit);
            }
        }
    }

    pub(super) fn since(&self) -> Epoch {
        let all = self.all().map(|(_, session)| session.cell.since);
        all.min().unwrap_or(Epoch::NONE)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all().count()
    }

    pub(super) fn save(&self) -> Content<&K, &A::State> {
        let saved = self
            .all()
            .map(|(key, session)| (key, session.start, session.end, session.cell.as_saved()));
        Content::Session(saved.collect())
    }

    /// Adds saved state. `watermark` is the new watermark of the machine.
    pub(super) fn load(
        &mut self,
        content: Content<K, A::State>,
        keep: impl Fn(&K) -> bool,
        watermark: Timestamp,
    ) -> Result<(), String> {
        let Content::Session(sessions) = content else {
            return Err("the window state is not from windows of this kind".to_owned());
        };
        self.watermark = watermark;
        for (key, start, end, saved) in sessions.into_iter().filter(|(key, ..)| keep(key)) {
            let position = self.keys.entry(Owned(key), Own::default);
            let (_, own) = self.keys.get_mut(position).expect("invariant: just made");
            let session = own.join(start, end, &self.rules);
            self.rules.restore(&mut session.cell, saved)?;
            let due = session.due(self.lateness);
            self.arm(position, due);
        }
        Ok(())
    }

    /// Fires a session at its end, or removes it.
    fn fire(&mut self, due: &Due, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        let closed = later(due.end, self.lateness) <= self.watermark;
        let Self { keys, rules, .. } = self;
        let Some((key, own)) = keys.get_mut(due.position) else {
            return;
        };
        let Ok(index) = own.find(due.start) else {
            return;
        };
        let session = &mut own.sessions[index];
        let window = session.window();
        if !closed {
            rules.fire_on_time(key, &mut session.cell, window, emit);
            return;
        }
        let session = own.sessions.remove(index);
        let key = if own.sessions.is_empty() {
            keys.remove(due.position).map(|(key, _)| key)
        } else {
            Some(key.clone())
        };
        if let Some(key) = key {
            rules.close(key, session.cell, window, emit);
        }
    }

    /// Makes sure that the key is looked at when the watermark reaches `due`.
    fn arm(&mut self, position: usize, due: Timestamp) {
        if let Some((_, own)) = self.keys.get_mut(position)
            && own.due.is_none_or(|earlier| due < earlier)
        {
            own.due = Some(due);
            self.timers.push(Reverse((due, position)));
        }
    }

    fn all(&self) -> impl Iterator<Item = (&K, &Session<T, A::State>)> {
        let keys = self.keys.iter();
        keys.flat_map(|(_, key, own)| own.sessions.iter().map(move |session| (key, session)))
    }
}

impl<T, S> Own<T, S> {
    /// Returns the sessions that overlap. Sessions that only touch do not.
    fn overlapping(&self, start: Timestamp, end: Timestamp) -> Range<usize> {
        let before = |session: &Session<T, S>| !reaches(session.end, start);
        let from = self.sessions.partition_point(before);
        let joined = self.sessions[from..].iter();
        let n = joined
            .take_while(|session| reaches(end, session.start))
            .count();
        from..from + n
    }

    /// Returns the session that covers this time, merged from all that overlap with it. It is new, and has no events, if none does. The
    /// earliest session keeps its trigger, and a session that gets longer has not fired at its end.
    fn join<A: Aggregate<T, State = S>>(
        &mut self,
        start: Timestamp,
        end: Timestamp,
        rules: &Rules<T, A>,
    ) -> &mut Session<T, S> {
        let Range {
            start: first,
            end: next,
        } = self.overlapping(start, end);
        if first == next {
            let cell = rules.cell();
            self.sessions.insert(first, Session { start, end, cell });
            return &mut self.sessions[first];
        }
        let others: Vec<_> = self.sessions.drain(first + 1..next).collect();
        let session = &mut self.sessions[first];
        let last = others.last().map_or(session.end, |last| last.end).max(end);
        session.cell.on_time &= last == session.end;
        session.start = session.start.min(start);
        session.end = last;
        for other in others {
            rules.absorb(&mut session.cell, other.cell);
        }
        session
    }

    fn find(&self, start: Timestamp) -> Result<usize, usize> {
        self.sessions
            .binary_search_by_key(&start, |session| session.start)
    }

    fn next_due(&self, lateness: i64) -> Option<Timestamp> {
        self.sessions
            .iter()
            .map(|session| session.due(lateness))
            .min()
    }
}

impl<T, S> Session<T, S> {
    const fn window(&self) -> Window {
        Window::Time {
            start: self.start,
            end: self.end,
        }
    }

    /// When the session fires or closes.
    fn due(&self, lateness: i64) -> Timestamp {
        if self.cell.on_time {
            later(self.end, lateness)
        } else {
            self.end
        }
    }

    const fn at(&self, position: usize) -> Due {
        Due {
            end: self.end,
            start: self.start,
            position,
        }
    }
}

impl<T, S> Default for Own<T, S> {
    fn default() -> Self {
        Self {
            sessions: Vec::new(),
            due: None,
        }
    }
}

/// Whether a session that ends at `end` overlaps with one that starts at `start`, which is not before it. One that ends at the end of time
/// holds all that follows.
fn reaches(end: Timestamp, start: Timestamp) -> bool {
    start < end || end == Timestamp::MAX
}

/// Adds milliseconds: the beginning of time is a time like any other.
const fn later(time: Timestamp, by: i64) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_add(by))
}
