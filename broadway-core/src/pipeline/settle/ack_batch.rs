//! Ended messages on their way to one acknowledger.

use std::{mem, sync::Arc, time::Duration};

use super::super::{
    acknowledgers::AcknowledgerEntry, context::PipelineContext, totals::OutcomeCounts,
    tracked::SizeCode,
};
use crate::{
    ack::{Acknowledger, Outcome, Settled},
    caught::{caught, clear},
    engine::clock,
    error::{Callback, Reason},
    message::AckOptions,
    telemetry::{AffectedMessages, Event},
};

/// The messages that go to one acknowledger with the next flush. The memory is reused for each chunk.
pub(super) struct AckBatch<A: Acknowledger> {
    pub(super) entry: Arc<AcknowledgerEntry<A>>,
    /// The number of the entry, copied: every thread counts in the entry's cache line.
    number: u16,
    /// Messages that simply succeeded after those in `settled`. Tokens only, since this is the hot path: if there are no others,
    /// the acknowledger gets the tokens.
    done: Vec<A::Token>,
    settled: Vec<Settled<A::Token>>,
    /// Failures that `handle_failed` resolved. They are done for the acknowledger, and come after all others.
    resolved: Vec<Settled<A::Token>>,
    /// How many messages, from the first in `settled` on, [`fail_done`](Self::fail_done) must not fail.
    kept: usize,
    counts: OutcomeCounts,
    /// When the messages were received. Filled only if an observer wants latencies.
    received_ns: Vec<u64>,
    wants_latency: bool,
    /// The sizes of the messages, if bytes in flight are limited.
    bytes: usize,
}

impl<A: Acknowledger> AckBatch<A> {
    pub(super) fn new(entry: Arc<AcknowledgerEntry<A>>, wants_latency: bool) -> Self {
        Self {
            number: entry.number,
            entry,
            done: Vec::new(),
            settled: Vec::new(),
            resolved: Vec::new(),
            kept: 0,
            counts: OutcomeCounts::default(),
            received_ns: Vec::new(),
            wants_latency,
            bytes: 0,
        }
    }

    /// Whether messages of the acknowledger with this number belong here.
    #[inline]
    pub(super) fn is_of(&self, number: u16) -> bool {
        // The number of a retired acknowledger may have been given to another. Not as long as a message in here is unsettled:
        // that keeps the entry in the table.
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
        self.counts.add(&outcome);
        // Those that succeeded before this message go before it: the acknowledger gets messages in the order in which they
        // ended.
        self.gather_done();
        self.settled.push(Settled::new(token, outcome, options));
    }

    pub(super) fn push_resolved(&mut self, token: A::Token, options: AckOptions) {
        self.counts.resolved += 1;
        // A list of their own: `fail_done` must not fail them.
        self.resolved
            .push(Settled::new(token, Outcome::Done, options));
    }

    /// Records when a message was received, and its size.
    pub(super) fn push_more(&mut self, received_ns: u64, size: SizeCode) {
        if self.wants_latency {
            self.received_ns.push(received_ns);
        }
        self.bytes = self.bytes.saturating_add(size.bytes());
    }

    /// Keeps [`fail_done`](Self::fail_done) from failing messages that were added before this.
    #[inline]
    pub(super) fn keep_added(&mut self) {
        self.kept = self.settled.len() + self.done.len();
    }

    /// Fails all messages that succeeded, were not handed over yet and are not kept, and calls `report` with each. Returns how many.
    pub(super) fn fail_done(
        &mut self,
        reason: &Reason,
        mut report: impl FnMut(AffectedMessages<'_>),
    ) -> usize {
        self.gather_done();
        let mut failed = 0;
        for settled in &mut self.settled[self.kept..] {
            if !settled.outcome.is_done() {
                continue;
            }
            settled.outcome = Outcome::Failed(reason.clone());
            failed += 1;
            report(AffectedMessages::new(1, &|_| {
                self.entry.describe(&settled.token)
            }));
        }
        self.counts.done -= failed;
        self.counts.failed += failed;
        failed
    }

    /// Moves the successful messages into `settled`.
    fn gather_done(&mut self) {
        self.counts.done += self.done.len();
        let done = self.done.drain(..);
        self.settled.extend(done.map(Settled::done));
    }

    /// Hands all messages to the acknowledger, counts them, and reports them to observers.
    ///
    /// If the future is dropped while the acknowledger is called, the messages are not counted as settled.
    pub(super) async fn flush(&mut self, context: &PipelineContext<A>) -> Result<(), Reason> {
        self.kept = 0;
        let all_are_done = self.settled.is_empty() && self.resolved.is_empty();
        if all_are_done {
            self.counts.done += self.done.len();
        } else {
            self.gather_done();
            self.settled.append(&mut self.resolved);
        }
        let (done, settled) = (&mut self.done, &mut self.settled);
        let acknowledger = &self.entry.acknowledger;
        let called = caught(async {
            if all_are_done {
                acknowledger.settle_done(done).await?;
                done.clear();
            } else {
                acknowledger.settle(settled).await?;
                settled.clear();
            }
            Ok(())
        });
        let result = called
            .await
            .map_err(|failure| failure.reason(Callback::Settle));
        if let Err(reason) = &result {
            self.report_failure(context, reason);
        }
        // After an error or a panic some are left. They are settled all the same: the acknowledger had its one call.
        let _ = (clear(&mut self.done), clear(&mut self.settled));
        self.count_settled(context);
        result
    }

    #[cold]
    fn report_failure(&self, context: &PipelineContext<A>, reason: &Reason) {
        // The acknowledger had only one of the two lists; the other is empty.
        let left: Vec<_> = self.settled.iter().map(|settled| &settled.token).collect();
        let left = if left.is_empty() {
            self.done.iter().collect()
        } else {
            left
        };
        let describe = |index: usize| self.entry.describe(left[index]);
        context.emitter.emit(&Event::AckFailed {
            producer: self.entry.producer,
            count: self.counts.total(),
            reason,
            affected: AffectedMessages::new(left.len(), &describe),
        });
    }

    fn count_settled(&mut self, context: &PipelineContext<A>) {
        let counts = mem::take(&mut self.counts);
        context.counters.add_settled(&counts);
        if context.emitter.is_heard() {
            let latencies = self.latencies(context);
            let settlement = counts.settlement(&latencies);
            let producer = self.entry.producer;
            context.emitter.emit(&Event::Settled {
                producer,
                settlement,
            });
        }
        if let Some(cap) = &context.cap {
            cap.free(counts.total(), mem::take(&mut self.bytes));
        }
        // Last: it may remove the entry of a failed producer from the table, and the number gets a new owner.
        context
            .acknowledgers
            .add_settled(&self.entry, counts.total());
    }

    fn latencies(&mut self, context: &PipelineContext<A>) -> Vec<Duration> {
        if self.received_ns.is_empty() {
            return Vec::new();
        }
        let now_ns = context.elapsed_ns(clock::now());
        let latency = |received: u64| Duration::from_nanos(now_ns.saturating_sub(received));
        self.received_ns.drain(..).map(latency).collect()
    }
}
