//! Collects ended messages and hands them to their acknowledgers: one call per acknowledger, for each chunk and each batch.

use std::{mem, sync::Arc};

use super::{
    super::{
        acknowledgers::AcknowledgerEntry,
        context::PipelineContext,
        totals::OutcomeCounts,
        tracked::{AckTarget, PendingAck},
    },
    ack_batch::AckBatch,
};
use crate::{
    ack::{Acknowledger, Outcome},
    error::{BoxError, Reason},
    message::{AckOptions, Message},
    telemetry::{AffectedMessages, Event},
};

/// The way of one processor or batch processor to the acknowledgers.
///
/// Messages are added as they end, and settled by [`flush`](Self::flush). Those that were added when it is dropped are not
/// settled.
pub(in crate::pipeline) struct Acker<A: Acknowledger> {
    context: Arc<PipelineContext<A>>,
    batches: Vec<AckBatch<A>>,
    /// The index of the batch that was used last. Messages of one producer come in runs, so the next mostly goes there too.
    last: usize,
    /// Pushed messages that have ended since the last flush.
    pushed: OutcomeCounts,
    /// Whether more than the token is recorded of each message.
    wants_more: bool,
}

impl<A: Acknowledger> Acker<A> {
    pub(in crate::pipeline) fn new(context: Arc<PipelineContext<A>>) -> Self {
        let wants_more = context.emitter.wants_latency() || context.cap.is_some();
        Self {
            context,
            batches: Vec::new(),
            last: 0,
            pushed: OutcomeCounts::default(),
            wants_more,
        }
    }

    /// Returns the entry of an acknowledger, which must have messages in flight.
    pub(in crate::pipeline) fn acknowledger(&mut self, number: u16) -> &Arc<AcknowledgerEntry<A>> {
        &self.batch(number).entry
    }

    /// Adds a message that succeeded, and leaves its acknowledgement settled. Reads no more than it needs, from where the message
    /// lies: this is the hot path.
    #[inline(always)]
    pub(in crate::pipeline) fn add_done<T>(
        &mut self,
        message: &mut Message<T>,
        pending: &mut PendingAck<A::Token>,
    ) {
        if message.has_extras() || !matches!(pending.target, AckTarget::Source(_)) {
            return self.add_other(pending.take(), Outcome::Done, message.take_ack_options());
        }
        let (ack_ref, received_ns) = (pending.ack_ref, pending.received_ns);
        let wants_more = self.wants_more;
        let target = mem::replace(&mut pending.target, AckTarget::Settled);
        let (AckTarget::Source(token), batch) = (target, self.batch(ack_ref.acknowledger())) else {
            return;
        };
        batch.push_done(token);
        if wants_more {
            batch.push_more(received_ns, ack_ref.size());
        }
    }

    /// Adds a message that has ended.
    #[inline(always)]
    pub(in crate::pipeline) fn add(
        &mut self,
        pending: PendingAck<A::Token>,
        outcome: Outcome,
        options: AckOptions,
    ) {
        let PendingAck {
            target,
            received_ns,
            ack_ref,
        } = pending;
        match (target, &outcome, &options) {
            (AckTarget::Source(token), Outcome::Done, None) => {
                let wants_more = self.wants_more;
                let batch = self.batch(ack_ref.acknowledger());
                batch.push_done(token);
                if wants_more {
                    batch.push_more(received_ns, ack_ref.size());
                }
            }
            (target, ..) => self.add_other(
                PendingAck {
                    target,
                    received_ns,
                    ack_ref,
                },
                outcome,
                options,
            ),
        }
    }

    /// Adds any message but one of the source that simply succeeded.
    #[cold]
    fn add_other(&mut self, pending: PendingAck<A::Token>, outcome: Outcome, options: AckOptions) {
        match pending.target {
            AckTarget::Source(token) => {
                let wants_more = self.wants_more;
                let batch = self.batch(pending.ack_ref.acknowledger());
                batch.push(token, outcome, options);
                if wants_more {
                    batch.push_more(pending.received_ns, pending.ack_ref.size());
                }
            }
            AckTarget::Pushed(receipt) => {
                self.pushed.add(&outcome);
                receipt.send(outcome);
            }
            AckTarget::AckedEarly | AckTarget::Settled => {}
        }
    }

    /// Adds a message that failed and that `handle_failed` has resolved: done for its source, and counted as resolved.
    #[cold]
    pub(in crate::pipeline) fn add_resolved(
        &mut self,
        pending: PendingAck<A::Token>,
        options: AckOptions,
    ) {
        match pending.target {
            AckTarget::Source(token) => {
                let wants_more = self.wants_more;
                let batch = self.batch(pending.ack_ref.acknowledger());
                batch.push_resolved(token, options);
                if wants_more {
                    batch.push_more(pending.received_ns, pending.ack_ref.size());
                }
            }
            AckTarget::Pushed(receipt) => {
                self.pushed.resolved += 1;
                receipt.send(Outcome::Done);
            }
            AckTarget::AckedEarly | AckTarget::Settled => {}
        }
    }

    /// Keeps [`fail_done`](Self::fail_done) from failing messages that were added before this.
    #[inline]
    pub(in crate::pipeline) fn keep_added(&mut self) {
        self.batches.iter_mut().for_each(AckBatch::keep_added);
    }

    /// Fails all messages of the source that were added as successful since the last flush, and after the last
    /// [`keep_added`](Self::keep_added). Calls `report` with each. Returns how many.
    #[cold]
    pub(in crate::pipeline) fn fail_done(
        &mut self,
        reason: &Reason,
        mut report: impl FnMut(AffectedMessages<'_>),
    ) -> usize {
        let batches = self.batches.iter_mut();
        batches
            .map(|batch| batch.fail_done(reason, &mut report))
            .sum()
    }

    #[inline(always)]
    fn batch(&mut self, number: u16) -> &mut AckBatch<A> {
        if !self
            .batches
            .get(self.last)
            .is_some_and(|batch| batch.is_of(number))
        {
            self.find_batch(number);
        }
        &mut self.batches[self.last]
    }

    #[cold]
    fn find_batch(&mut self, number: u16) {
        let known = self.batches.iter().position(|batch| batch.is_of(number));
        self.last = known.unwrap_or_else(|| {
            let entry = self.context.acknowledgers.get(number);
            self.batches
                .push(AckBatch::new(entry, self.context.emitter.wants_latency()));
            self.batches.len() - 1
        });
    }

    /// Hands over all messages that were added. Returns the first error; each error is reported as an event here.
    pub(in crate::pipeline) async fn flush(&mut self) -> Result<(), BoxError> {
        let pushed = mem::take(&mut self.pushed);
        if pushed.total() > 0 {
            self.context.counters.add_settled(&pushed);
            let settlement = pushed.settlement(&[]);
            let event = Event::PushedSettled { settlement };
            self.context.emitter.emit(&event);
        }
        let mut result = Ok(());
        for batch in self.batches.iter_mut().filter(|batch| !batch.is_empty()) {
            let flushed = batch.flush(&self.context).await;
            result = result.and(flushed.map_err(|reason| reason.to_string().into()));
        }
        self.drop_retired();
        result
    }

    /// Drops the batches of retired acknowledgers, all empty now: they would keep the clients of failed producers alive.
    fn drop_retired(&mut self) {
        if self.batches.iter().any(|batch| batch.entry.is_retired()) {
            self.batches.retain(|batch| !batch.entry.is_retired());
            self.last = 0;
        }
    }
}
