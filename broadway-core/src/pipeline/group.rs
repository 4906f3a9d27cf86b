//! Ended messages on their way to one acknowledger.

use std::{sync::Arc, time::Duration};

use super::{callbacks, registry::Entry, settler::Ledger};
use crate::{
    ack::{Acknowledger, Outcome, Settled},
    engine::clock,
    error::{Callback, Reason},
    message::AckOptions,
    telemetry::{Affected, Event, Settlement},
};

/// How many messages ended how.
#[derive(Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) done: usize,
    pub(super) failed: usize,
    /// Failed, and taken care of by `handle_failed`.
    pub(super) resolved: usize,
    pub(super) released: usize,
}

impl Tally {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Released => self.released += 1,
        }
    }

    pub(super) fn settlement<'a>(&self, latencies: &'a [Duration]) -> Settlement<'a> {
        let Self {
            done,
            failed,
            resolved,
            released,
        } = *self;
        Settlement {
            done,
            failed,
            resolved,
            released,
            latencies,
        }
    }

    pub(super) fn total(&self) -> usize {
        self.done + self.failed + self.resolved + self.released
    }
}

/// What goes to one acknowledger. Its memory is used again for each chunk.
pub(super) struct Group<A: Acknowledger> {
    pub(super) entry: Arc<Entry<A>>,
    /// That of the entry, whose cache line every thread counts in.
    number: u16,
    /// Messages that simply succeeded, behind those in `settled`: only their tokens, since this is the hot path.
    done: Vec<A::Token>,
    settled: Vec<Settled<A::Token>>,
    /// Failures that were taken care of, behind all others: done for the acknowledger.
    resolved: Vec<Settled<A::Token>>,
    tally: Tally,
    /// When they were received; filled only if an observer wants latencies.
    received_ns: Vec<u64>,
}

impl<A: Acknowledger> Group<A> {
    pub(super) fn new(entry: Arc<Entry<A>>) -> Self {
        Self {
            number: entry.number,
            entry,
            done: Vec::new(),
            settled: Vec::new(),
            resolved: Vec::new(),
            tally: Tally::default(),
            received_ns: Vec::new(),
        }
    }

    /// Whether it is that of the acknowledger of this number.
    #[inline]
    pub(super) fn is_of(&self, number: u16) -> bool {
        // The number of a retired acknowledger may have a new owner, unless we still owe it something.
        self.number == number && (!self.is_empty() || !self.entry.is_retired())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.settled.is_empty() && self.resolved.is_empty()
    }

    #[inline(always)]
    pub(super) fn push_done(&mut self, token: A::Token) {
        self.done.push(token);
    }

    pub(super) fn push(&mut self, token: A::Token, outcome: Outcome, options: AckOptions) {
        self.tally.add(&outcome);
        self.gather();
        self.settled.push(Settled::new(token, outcome, options));
    }

    pub(super) fn push_resolved(&mut self, token: A::Token, options: AckOptions) {
        self.tally.resolved += 1;
        self.resolved
            .push(Settled::new(token, Outcome::Done, options));
    }

    #[inline(always)]
    pub(super) fn push_received(&mut self, received_ns: u64) {
        self.received_ns.push(received_ns);
    }

    /// Fails all that have succeeded and are not handed over yet, and calls `tell` with each. Returns how many.
    pub(super) fn fail_done(
        &mut self,
        reason: &Reason,
        mut tell: impl FnMut(Affected<'_>),
    ) -> usize {
        self.gather();
        let mut failed = 0;
        for settled in &mut self.settled {
            if !settled.outcome.is_done() {
                continue;
            }
            settled.outcome = Outcome::Failed(reason.clone());
            failed += 1;
            tell(Affected::new(1, &|_| self.entry.describe(&settled.token)));
        }
        self.tally.done -= failed;
        self.tally.failed += failed;
        failed
    }

    /// Puts all in one list, in the order in which they ended.
    fn gather(&mut self) {
        self.tally.done += self.done.len();
        let done = self.done.drain(..);
        self.settled
            .extend(done.map(|token| Settled::new(token, Outcome::Done, None)));
    }

    /// Hands everything over, counts it, and tells the observer.
    pub(super) async fn flush(&mut self, ledger: &Ledger<A>) -> Result<(), Reason> {
        self.gather();
        self.settled.append(&mut self.resolved);
        let (settled, acknowledger) = (&mut self.settled, &self.entry.acknowledger);
        let called = callbacks::caught(async {
            acknowledger.settle(settled).await?;
            settled.clear();
            Ok(())
        });
        let result = called
            .await
            .map_err(|failure| failure.reason(Callback::Settle));
        if let Err(reason) = &result {
            self.tell_failed(ledger, reason);
        }
        // What an error or a panic has left of them is dropped here.
        let _ = callbacks::clear(&mut self.settled);
        self.account(ledger);
        result
    }

    #[cold]
    fn tell_failed(&self, ledger: &Ledger<A>, reason: &Reason) {
        let left = &self.settled;
        let describe = |index: usize| self.entry.describe(&left[index].token);
        ledger.emitter.emit(&Event::AckFailed {
            producer: self.entry.producer,
            count: self.tally.total(),
            reason,
            affected: Affected::new(left.len(), &describe),
        });
    }

    fn account(&mut self, ledger: &Ledger<A>) {
        let tally = std::mem::take(&mut self.tally);
        ledger.counters.settled(&tally);
        if ledger.emitter.is_heard() {
            let latencies = self.latencies(ledger);
            let settlement = tally.settlement(&latencies);
            let producer = self.entry.producer;
            ledger.emitter.emit(&Event::Settled {
                producer,
                settlement,
            });
        }
        ledger.registry.settled(&self.entry, tally.total());
    }

    fn latencies(&mut self, ledger: &Ledger<A>) -> Vec<Duration> {
        if self.received_ns.is_empty() {
            return Vec::new();
        }
        let now_ns = ledger.elapsed_ns(clock::now());
        let latency = |received: u64| Duration::from_nanos(now_ns.saturating_sub(received));
        self.received_ns.drain(..).map(latency).collect()
    }
}
