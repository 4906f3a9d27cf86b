//! The outbox: what is to be said to the queue, in requests of ten.
//!
//! A [`Parting`] waits until nine others have come or [`LINGER`] is over, so that a busy source deletes in tens and a quiet
//! one without delay. Entries that the queue did not take come back here and go out again, later each time and only while
//! their message is still ours. An entry is in one place only: in one of the two lines, waiting for its retry, or in a request that is
//! on its way; so no request holds a message twice. Nothing here waits, sends or looks at a clock.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::leases::{Ending, Parting};

#[cfg(test)]
mod tests;

/// The most entries that a request takes: the limit of SQS.
pub(crate) const BATCH_MAX: usize = 10;
/// How long an entry waits for others to share its request.
pub(crate) const LINGER: Duration = Duration::from_millis(50);
/// The pause before an entry goes out again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// One thing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) parting: Parting,
    /// How often it was said without an effect.
    failures: u32,
}

/// A request to make: entries of one kind, at most ten.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) is_delete: bool,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    deletes: Line,
    changes: Line,
    /// What waits to go out again, by when; the number makes equal times different.
    retries: BTreeMap<(Instant, u64), Entry>,
    retried: u64,
    /// Entries in requests that are on their way.
    on_their_way: usize,
    requests: usize,
    requests_max: usize,
    is_hurried: bool,
}

/// Entries that wait for their request, and since when the first of them does.
#[derive(Debug, Default)]
struct Line {
    entries: VecDeque<Entry>,
    since: Option<Instant>,
}

impl Outbox {
    /// Nothing to say; at most `requests_max` requests at a time.
    pub(crate) fn new(requests_max: usize) -> Self {
        Self {
            deletes: Line::default(),
            changes: Line::default(),
            retries: BTreeMap::new(),
            retried: 0,
            on_their_way: 0,
            requests: 0,
            requests_max,
            is_hurried: false,
        }
    }

    /// Something to say.
    pub(crate) fn push(&mut self, parting: Parting, now: Instant) {
        let entry = Entry {
            parting,
            failures: 0,
        };
        self.line_up(entry, now);
    }

    /// From now on nothing waits for others.
    pub(crate) fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// All that waits or is on its way.
    pub(crate) fn len(&self) -> usize {
        self.deletes.entries.len()
            + self.changes.entries.len()
            + self.retries.len()
            + self.on_their_way
    }

    /// The next request to make, if one may be made now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Batch> {
        while let Some(first) = self.retries.first_entry() {
            if first.key().0 > now {
                break;
            }
            let entry = first.remove();
            self.line_up(entry, now);
        }
        if self.requests == self.requests_max {
            return None;
        }
        // What goes back is wanted by others: it goes first.
        let is_hurried = self.is_hurried;
        let is_delete = [false, true]
            .into_iter()
            .find(|is_delete| self.line(*is_delete).is_ready(is_hurried, now))?;
        let line = self.line(is_delete);
        let n = line.entries.len().min(BATCH_MAX);
        let entries: Vec<_> = line.entries.drain(..n).collect();
        line.since = (!line.entries.is_empty()).then_some(now);
        self.requests += 1;
        self.on_their_way += n;
        Some(Batch { is_delete, entries })
    }

    /// Whether there is a request to make now, retries apart.
    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        let lines = [&self.deletes, &self.changes];
        self.requests < self.requests_max
            && lines
                .into_iter()
                .any(|line| line.is_ready(self.is_hurried, now))
    }

    /// When to ask for [`next`](Self::next) again, unless something happens before. `None`: when something happens.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        if self.requests == self.requests_max {
            return None;
        }
        let lines = [&self.deletes, &self.changes];
        let lingering = lines.into_iter().filter_map(|line| line.since);
        let retry = self.retries.first_key_value().map(|((at, _), _)| *at);
        lingering.map(|since| since + LINGER).chain(retry).min()
    }

    /// A request of `n` entries was answered.
    pub(crate) fn answered(&mut self, n: usize) {
        self.requests -= 1;
        self.on_their_way -= n;
    }

    /// An answered entry had no effect and may have one the next time. Gives it back when the message will not be ours any more by
    /// then. `jitter` spreads retries of many.
    pub(crate) fn retry(&mut self, mut entry: Entry, jitter: u64, now: Instant) -> Option<Entry> {
        let pause = RETRY_FIRST.saturating_mul(1 << entry.failures.min(16));
        let pause = pause.min(RETRY_MAX);
        // Between half of it and all of it.
        let at = now + pause / 2 + pause.mul_f64(jitter as f64 / u64::MAX as f64 / 2.0);
        if at >= entry.parting.expires {
            return Some(entry);
        }
        entry.failures += 1;
        self.retried += 1;
        self.retries.insert((at, self.retried), entry);
        None
    }

    fn line_up(&mut self, entry: Entry, now: Instant) {
        let line = self.line(entry.parting.ending == Ending::Delete);
        line.entries.push_back(entry);
        line.since.get_or_insert(now);
    }

    fn line(&mut self, is_delete: bool) -> &mut Line {
        if is_delete {
            &mut self.deletes
        } else {
            &mut self.changes
        }
    }
}

impl Line {
    fn is_ready(&self, is_hurried: bool, now: Instant) -> bool {
        let has_waited = self.since.is_some_and(|since| now >= since + LINGER);
        self.entries.len() >= BATCH_MAX || (!self.entries.is_empty() && (is_hurried || has_waited))
    }
}
