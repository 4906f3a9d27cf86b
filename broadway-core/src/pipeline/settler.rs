//! Hands ended messages to their acknowledgers, in groups: one call per acknowledger, per chunk and per batch.

use std::{sync::Arc, time::Instant};

use super::{
    envelope::{Creditor, Debt},
    group::{Group, Tally},
    registry::{Entry, Registry},
    totals::Counters,
};
use crate::{
    ack::{Acknowledger, Outcome},
    error::{BoxError, Reason},
    message::{AckOptions, Message},
    telemetry::{Affected, Emitter, Event},
};

/// What all settlers of a topology share.
pub(super) struct Ledger<A> {
    pub(super) registry: Registry<A>,
    pub(super) counters: Counters,
    pub(super) emitter: Emitter,
    pub(super) started: Instant,
}

impl<A> Ledger<A> {
    /// Nanoseconds since the topology started.
    pub(super) fn elapsed_ns(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// One processor's or batch processor's way to the acknowledgers.
pub(super) struct Settler<A: Acknowledger> {
    ledger: Arc<Ledger<A>>,
    groups: Vec<Group<A>>,
    /// The group used last: messages come in runs.
    last: usize,
    pushed: Tally,
    wants_latency: bool,
}

impl<A: Acknowledger> Settler<A> {
    pub(super) fn new(ledger: Arc<Ledger<A>>) -> Self {
        let wants_latency = ledger.emitter.wants_latency();
        Self {
            ledger,
            groups: Vec::new(),
            last: 0,
            pushed: Tally::default(),
            wants_latency,
        }
    }

    /// The entry of an acknowledger that has messages in flight.
    pub(super) fn entry(&mut self, number: u16) -> &Arc<Entry<A>> {
        &self.group(number).entry
    }

    /// Enters a message that succeeded, and leaves its debt settled. Only what is needed is read, where it lies: this is the
    /// hot path.
    #[inline(always)]
    pub(super) fn done<T>(&mut self, message: &mut Message<T>, debt: &mut Debt<A::Token>) {
        if message.has_ack_options() || !matches!(debt.to, Creditor::Source(_)) {
            return self.add_other(debt.take(), Outcome::Done, message.take_ack_options());
        }
        let (number, received_ns) = (debt.origin.acknowledger(), debt.received_ns);
        let wants_latency = self.wants_latency;
        let to = std::mem::replace(&mut debt.to, Creditor::Settled);
        let (Creditor::Source(token), group) = (to, self.group(number)) else {
            return;
        };
        group.push_done(token);
        if wants_latency {
            group.push_received(received_ns);
        }
    }

    /// Enters one ended message, to be handed over by the next [`flush`](Self::flush).
    #[inline(always)]
    pub(super) fn add(&mut self, debt: Debt<A::Token>, outcome: Outcome, options: AckOptions) {
        let Debt {
            to,
            received_ns,
            origin,
        } = debt;
        match (to, &outcome, &options) {
            (Creditor::Source(token), Outcome::Done, None) => {
                let wants_latency = self.wants_latency;
                let group = self.group(origin.acknowledger());
                group.push_done(token);
                if wants_latency {
                    group.push_received(received_ns);
                }
            }
            (to, ..) => self.add_other(
                Debt {
                    to,
                    received_ns,
                    origin,
                },
                outcome,
                options,
            ),
        }
    }

    /// Everything but a message of the source that simply succeeded.
    #[cold]
    fn add_other(&mut self, debt: Debt<A::Token>, outcome: Outcome, options: AckOptions) {
        match debt.to {
            Creditor::Source(token) => {
                let wants_latency = self.wants_latency;
                let group = self.group(debt.origin.acknowledger());
                group.push(token, outcome, options);
                if wants_latency {
                    group.push_received(debt.received_ns);
                }
            }
            Creditor::Pushed(ticket) => {
                self.pushed.add(&outcome);
                ticket.settle(outcome);
            }
            Creditor::Early | Creditor::Settled => {}
        }
    }

    /// Enters a message that failed, and that `handle_failed` has taken care of: done for its source, and counted apart.
    #[cold]
    pub(super) fn resolve(&mut self, debt: Debt<A::Token>, options: AckOptions) {
        match debt.to {
            Creditor::Source(token) => {
                let wants_latency = self.wants_latency;
                let group = self.group(debt.origin.acknowledger());
                group.push_resolved(token, options);
                if wants_latency {
                    group.push_received(debt.received_ns);
                }
            }
            Creditor::Pushed(ticket) => {
                self.pushed.resolved += 1;
                ticket.settle(Outcome::Done);
            }
            Creditor::Early | Creditor::Settled => {}
        }
    }

    /// Fails all messages that were entered as succeeded since the last flush, and calls `tell` with each. Returns how many.
    #[cold]
    pub(super) fn fail_done(
        &mut self,
        reason: &Reason,
        mut tell: impl FnMut(Affected<'_>),
    ) -> usize {
        let groups = self.groups.iter_mut();
        groups.map(|group| group.fail_done(reason, &mut tell)).sum()
    }

    #[inline(always)]
    fn group(&mut self, number: u16) -> &mut Group<A> {
        if !self
            .groups
            .get(self.last)
            .is_some_and(|group| group.is_of(number))
        {
            self.find_group(number);
        }
        &mut self.groups[self.last]
    }

    #[cold]
    fn find_group(&mut self, number: u16) {
        let known = self.groups.iter().position(|group| group.is_of(number));
        self.last = known.unwrap_or_else(|| {
            self.groups
                .push(Group::new(self.ledger.registry.get(number)));
            self.groups.len() - 1
        });
    }

    /// Hands over everything that was entered. Returns the first error; each has been reported as an event.
    pub(super) async fn flush(&mut self) -> Result<(), BoxError> {
        let pushed = std::mem::take(&mut self.pushed);
        if pushed.total() > 0 {
            self.ledger.counters.settled(&pushed);
            let settlement = pushed.settlement(&[]);
            let event = Event::PushedSettled { settlement };
            self.ledger.emitter.emit(&event);
        }
        let mut result = Ok(());
        for group in self.groups.iter_mut().filter(|group| !group.is_empty()) {
            let flushed = group.flush(&self.ledger).await;
            result = result.and(flushed.map_err(|reason| reason.to_string().into()));
        }
        self.forget_retired();
        result
    }

    /// Acknowledgers of producers that failed are not kept alive by us.
    fn forget_retired(&mut self) {
        if self.groups.iter().any(|group| group.entry.is_retired()) {
            self.groups.retain(|group| !group.entry.is_retired());
            self.last = 0;
        }
    }
}
