//! [`Sessions`]: windows that end when a key has had no event for a while.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    hash::Hash,
    ops::Range,
};

use super::{
    cell::Cell,
    fired::Fired,
    key::{LookupKey, Owned},
    rules::Rules,
    saved::Content,
    slots::Slots,
};
use crate::{Aggregate, At, Timestamp, Window, Windows, epoch::Epoch, window::EarlyFiring};

/// The sessions of each key, and a timer for each session.
pub(super) struct Sessions<T, K, A: Aggregate<T>> {
    gap: i64,
    lateness: i64,
    rules: Rules<T, A>,
    keys: Slots<K, Own<T, A::State>>,
    /// When to look at a session of a key, by its start. A timer that is not the session's current one is ignored.
    timers: BinaryHeap<Reverse<(Timestamp, usize, Timestamp)>>,
    watermark: Timestamp,
}

/// The sessions of a key, in order. They do not overlap. The first ones go first, and most new ones come last.
struct Own<T, S> {
    sessions: VecDeque<Session<T, S>>,
}

struct Session<T, S> {
    start: Timestamp,
    end: Timestamp,
    /// The time of its current timer: at or before the time at which it fires or closes.
    timer: Option<Timestamp>,
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
        let (watermark, lateness) = (self.watermark, self.lateness);
        let Self {
            keys,
            rules,
            timers,
            ..
        } = self;
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
        arm(timers, session, position, lateness);
        Ok(())
    }

    /// Fires the sessions that have ended, and removes those whose lateness is over.
    pub(super) fn watermark(
        &mut self,
        watermark: Timestamp,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        self.watermark = watermark;
        let mut due = Vec::new();
        while let Some(&Reverse((time, position, start))) = self.timers.peek() {
            if time > watermark {
                break;
            }
            self.timers.pop();
            let own = self.keys.get_mut(position);
            let Some(session) = own.and_then(|(_, own)| own.at(start)) else {
                continue;
            };
            if session.timer != Some(time) {
                continue;
            }
            session.timer = None;
            match session.due(self.lateness) <= watermark {
                true => due.push(session.due_at(position)),
                // It got longer.
                false => arm(&mut self.timers, session, position, self.lateness),
            }
        }
        due.sort_unstable();
        for due in due {
            self.fire(&due, emit);
        }
    }

    pub(super) fn tick(&mut self, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        if !matches!(self.rules.early, EarlyFiring::Periodic(_)) {
            return;
        }
        let keys = self.keys.iter();
        let mut due: Vec<_> = keys
            .flat_map(|(position, _, own)| own.sessions.iter().map(move |one| one.due_at(position)))
            .collect();
        due.sort_unstable();
        let Self { keys, rules, .. } = self;
        for due in due {
            if let Some((key, own)) = keys.get_mut(due.position)
                && let Some(session) = own.at(due.start)
            {
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
            arm(&mut self.timers, session, position, self.lateness);
        }
        Ok(())
    }

    /// Fires a session at its end, or removes it.
    fn fire(&mut self, due: &Due, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        let lateness = self.lateness;
        let closed = later(due.end, lateness) <= self.watermark;
        let Self {
            keys,
            rules,
            timers,
            ..
        } = self;
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
            // Its lateness begins.
            arm(timers, session, due.position, lateness);
            return;
        }
        let Some(session) = own.sessions.remove(index) else {
            return;
        };
        let key = if own.sessions.is_empty() {
            keys.remove(due.position).map(|(key, _)| key)
        } else {
            Some(key.clone())
        };
        if let Some(key) = key {
            rules.close(key, session.cell, window, emit);
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
        let joined = self.sessions.range(from..);
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
            let timer = None;
            let session = Session {
                start,
                end,
                timer,
                cell,
            };
            self.sessions.insert(first, session);
            return &mut self.sessions[first];
        }
        let others: Vec<_> = self.sessions.drain(first + 1..next).collect();
        let session = &mut self.sessions[first];
        let last = others.last().map_or(session.end, |last| last.end).max(end);
        session.cell.on_time &= last == session.end;
        if start < session.start {
            // Its timer has the earlier start.
            session.timer = None;
            session.start = start;
        }
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

    /// The session that starts then.
    fn at(&mut self, start: Timestamp) -> Option<&mut Session<T, S>> {
        let index = self.find(start).ok()?;
        self.sessions.get_mut(index)
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

    const fn due_at(&self, position: usize) -> Due {
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
            sessions: VecDeque::new(),
        }
    }
}

/// Makes sure that a session is looked at when it fires or closes. A timer before that is enough: it is set again then.
fn arm<T, S>(
    timers: &mut BinaryHeap<Reverse<(Timestamp, usize, Timestamp)>>,
    session: &mut Session<T, S>,
    position: usize,
    lateness: i64,
) {
    let due = session.due(lateness);
    if session.timer.is_none_or(|timer| due < timer) {
        session.timer = Some(due);
        timers.push(Reverse((due, position, session.start)));
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
