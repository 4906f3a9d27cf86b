//! Acknowledgements that wait to be sent, in requests of ten: [`AckQueue`].
//!
//! A [`PendingAck`] waits until nine others have come or [`LINGER`] is over, so that a busy source deletes in tens and a quiet
//! one without delay. Entries that the queue did not accept come back and are sent again, after growing pauses and only while their
//! lease lasts. An entry is in one place only (a line, the retries, or a request in flight), so no two requests hold the same
//! message. [`AckQueue`] is a pure value: it never waits, sends or reads a clock.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use broadway_core::connector::{Backoff, Jitter};

use crate::leases::{AckAction, PendingAck};

#[cfg(test)]
mod tests;

/// Maximum number of entries in a request, a limit of SQS.
pub(crate) const ENTRIES_MAX: usize = 10;
/// Maximum number of concurrent requests that extend visibility.
pub(crate) const EXTENSION_REQUESTS_MAX: usize = 4;
/// How long an entry waits for others to share its request.
pub(crate) const LINGER: Duration = Duration::from_millis(50);
/// The pause before an entry is sent again.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// An entry of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AckEntry {
    pub(crate) ack: PendingAck,
    /// Failed attempts.
    failures: u32,
}

/// A request to make: entries of one kind, at most ten.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AckRequest {
    pub(crate) is_delete: bool,
    pub(crate) entries: Vec<AckEntry>,
}

#[derive(Debug)]
pub(crate) struct AckQueue {
    deletes: EntryLine,
    returns: EntryLine,
    /// Entries that wait to be sent again, by time; the number distinguishes equal times.
    retries: BTreeMap<(Instant, u64), AckEntry>,
    retried: u64,
    /// Entries in requests in flight.
    entries_in_flight: usize,
    requests_in_flight: usize,
    requests_max: usize,
    is_hurried: bool,
}

/// Entries that wait for a request, and since when the first of them waits.
#[derive(Debug, Default)]
struct EntryLine {
    entries: VecDeque<AckEntry>,
    since: Option<Instant>,
}

impl AckQueue {
    pub(crate) fn new(requests_max: usize) -> Self {
        Self {
            deletes: EntryLine::default(),
            returns: EntryLine::default(),
            retries: BTreeMap::new(),
            retried: 0,
            entries_in_flight: 0,
            requests_in_flight: 0,
            requests_max,
            is_hurried: false,
        }
    }

    pub(crate) fn push(&mut self, ack: PendingAck, now: Instant) {
        self.line_up(AckEntry { ack, failures: 0 }, now);
    }

    /// From now on, entries do not wait for others.
    pub(crate) fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// The number of entries that wait or are in flight.
    pub(crate) fn len(&self) -> usize {
        self.deletes.entries.len()
            + self.returns.entries.len()
            + self.retries.len()
            + self.entries_in_flight
    }

    /// The next request, if one may be sent now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<AckRequest> {
        while let Some(first) = self.retries.first_entry() {
            if first.key().0 > now {
                break;
            }
            let entry = first.remove();
            self.line_up(entry, now);
        }
        if self.requests_in_flight == self.requests_max {
            return None;
        }
        // Returns go first: other consumers wait for these messages.
        let is_hurried = self.is_hurried;
        let is_delete = [false, true]
            .into_iter()
            .find(|is_delete| self.line(*is_delete).is_ready(is_hurried, now))?;
        let line = self.line(is_delete);
        let n = line.entries.len().min(ENTRIES_MAX);
        let entries: Vec<_> = line.entries.drain(..n).collect();
        // The rest lingers from now on: only the oldest entry's time is kept.
        line.since = (!line.entries.is_empty()).then_some(now);
        self.requests_in_flight += 1;
        self.entries_in_flight += n;
        Some(AckRequest { is_delete, entries })
    }

    /// Whether a request may be sent now, not counting retries.
    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        let lines = [&self.deletes, &self.returns];
        self.requests_in_flight < self.requests_max
            && lines
                .into_iter()
                .any(|line| line.is_ready(self.is_hurried, now))
    }

    /// When to call [`next`](Self::next) again. `None` means not before an entry is pushed or a request is answered.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        if self.requests_in_flight == self.requests_max {
            return None;
        }
        let lines = [&self.deletes, &self.returns];
        let lingering = lines.into_iter().filter_map(|line| line.since);
        let retry = self.retries.first_key_value().map(|((at, _), _)| *at);
        lingering.map(|since| since + LINGER).chain(retry).min()
    }

    /// A request of `n` entries was answered.
    pub(crate) fn on_response(&mut self, n: usize) {
        self.requests_in_flight -= 1;
        self.entries_in_flight -= n;
    }

    /// Schedules an answered entry to be sent again. Returns the entry instead if its lease expires before that.
    pub(crate) fn retry(
        &mut self,
        mut entry: AckEntry,
        jitter: Jitter,
        now: Instant,
    ) -> Option<AckEntry> {
        let at = now + RETRY.pause(entry.failures, jitter);
        // After the lease has expired, the request would act on a message that another consumer may have.
        if at >= entry.ack.expires {
            return Some(entry);
        }
        entry.failures += 1;
        self.retried += 1;
        self.retries.insert((at, self.retried), entry);
        None
    }

    fn line_up(&mut self, entry: AckEntry, now: Instant) {
        let line = self.line(entry.ack.action == AckAction::Delete);
        line.entries.push_back(entry);
        line.since.get_or_insert(now);
    }

    fn line(&mut self, is_delete: bool) -> &mut EntryLine {
        if is_delete {
            &mut self.deletes
        } else {
            &mut self.returns
        }
    }
}

impl EntryLine {
    fn is_ready(&self, is_hurried: bool, now: Instant) -> bool {
        let has_waited = self.since.is_some_and(|since| now >= since + LINGER);
        self.entries.len() >= ENTRIES_MAX
            || (!self.entries.is_empty() && (is_hurried || has_waited))
    }
}
