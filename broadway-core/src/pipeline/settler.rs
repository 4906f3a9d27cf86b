//! Hands ended messages to their acknowledgers, in groups: one call per acknowledger, per chunk and per batch.

use std::{sync::Arc, time::Duration};

use super::{
    callbacks,
    envelope::{Creditor, Debt},
    registry::{Entry, Registry},
    totals::Counters,
};
use crate::{
    ack::{Acknowledger, Outcome, Settled},
    error::{BoxError, Callback, Reason},
    message::AckOptions,
    stage::timer,
    telemetry::{Emitter, Event, Settlement},
};

/// What all settlers of a topology share.
pub(super) struct Ledger<A> {
    pub(super) registry: Registry<A>,
    pub(super) counters: Counters,
    pub(super) emitter: Emitter,
    pub(super) started: std::time::Instant,
}

impl<A> Ledger<A> {
    /// Nanoseconds since the topology started.
    pub(super) fn elapsed_ns(&self, now: std::time::Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// One processor's or batch processor's way to the acknowledgers. Its memory is used again for each chunk.
pub(super) struct Settler<A: Acknowledger> {
    ledger: Arc<Ledger<A>>,
    groups: Vec<Group<A>>,
    /// The group used last: messages come in runs.
    last: usize,
    pushed: Tally,
}

/// What goes to one acknowledger.
struct Group<A: Acknowledger> {
    entry: Arc<Entry<A>>,
    settled: Vec<Settled<A::Token>>,
    tally: Tally,
    /// When they were received; filled only if an observer wants latencies.
    received_ns: Vec<u64>,
}

#[derive(Default, Clone, Copy)]
struct Tally {
    done: usize,
    failed: usize,
    released: usize,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Released => self.released += 1,
        }
    }

    fn total(&self) -> usize {
        self.done + self.failed + self.released
    }
}

impl<A: Acknowledger> Settler<A> {
    pub(super) fn new(ledger: Arc<Ledger<A>>) -> Self {
        Self {
            ledger,
            groups: Vec::new(),
            last: 0,
            pushed: Tally::default(),
        }
    }

    /// The entry of an acknowledger that has messages in flight.
    pub(super) fn entry(&mut self, number: u16) -> &Arc<Entry<A>> {
        let index = self.group(number);
        &self.groups[index].entry
    }

    /// Enters one ended message, to be handed over by the next [`flush`](Self::flush).
    pub(super) fn add(&mut self, debt: Debt<A::Token>, outcome: Outcome, options: AckOptions) {
        match debt.to {
            Creditor::Source(token) => {
                let wants_latency = self.ledger.emitter.wants_latency();
                let index = self.group(debt.acknowledger);
                let group = &mut self.groups[index];
                group.tally.add(&outcome);
                if wants_latency {
                    group.received_ns.push(debt.received_ns);
                }
                group.settled.push(Settled::new(token, outcome, options));
            }
            Creditor::Pushed(ticket) => {
                self.pushed.add(&outcome);
                ticket.settle(outcome);
            }
            Creditor::Settled => {}
        }
    }

    fn group(&mut self, number: u16) -> usize {
        // The number of a retired acknowledger may have a new owner, unless we still owe it something.
        let is_it = |group: &Group<A>| {
            group.entry.number == number && (!group.settled.is_empty() || !group.entry.is_retired())
        };
        if self.groups.get(self.last).is_some_and(is_it) {
            return self.last;
        }
        self.last = self.groups.iter().position(is_it).unwrap_or_else(|| {
            let entry = self.ledger.registry.get(number);
            let (settled, received_ns) = (Vec::new(), Vec::new());
            self.groups.push(Group {
                entry,
                settled,
                tally: Tally::default(),
                received_ns,
            });
            self.groups.len() - 1
        });
        self.last
    }

    /// Hands over everything that was entered. Returns the first error, which has been reported as an event.
    pub(super) async fn flush(&mut self) -> Result<(), BoxError> {
        let mut first_error = Ok(());
        let pushed = std::mem::take(&mut self.pushed);
        if pushed.total() > 0 {
            self.ledger
                .counters
                .settled(pushed.done, pushed.failed, pushed.released);
        }
        for group in &mut self.groups {
            if group.settled.is_empty() {
                continue;
            }
            if let Err(reason) = group.hand_over().await {
                let (producer, count) = (group.entry.producer, group.tally.total());
                self.ledger.emitter.emit(&Event::AckFailed {
                    producer,
                    count,
                    reason: &reason,
                });
                first_error = first_error.and(Err(reason.to_string().into()));
            }
            group.account(&self.ledger);
        }
        self.forget_retired();
        first_error
    }

    /// Acknowledgers of producers that failed are not kept alive by us. A number may have a new owner once its last
    /// message is settled.
    fn forget_retired(&mut self) {
        if self.groups.iter().any(|group| group.entry.is_retired()) {
            self.groups.retain(|group| !group.entry.is_retired());
            self.last = 0;
        }
    }
}

impl<A: Acknowledger> Group<A> {
    async fn hand_over(&mut self) -> Result<(), Reason> {
        let settled = &mut self.settled;
        let acknowledger = &self.entry.acknowledger;
        let called = callbacks::caught(async { acknowledger.settle(settled).await }).await;
        self.settled.clear();
        called.map_err(|failure| failure.reason(Callback::Settle))
    }

    fn account(&mut self, ledger: &Ledger<A>) {
        let Tally {
            done,
            failed,
            released,
        } = self.tally;
        ledger.counters.settled(done, failed, released);
        if ledger.emitter.is_heard() {
            let now_ns = if self.received_ns.is_empty() {
                0
            } else {
                ledger.elapsed_ns(timer::now())
            };
            let latency = |received: u64| Duration::from_nanos(now_ns.saturating_sub(received));
            let latencies: Vec<Duration> = self.received_ns.drain(..).map(latency).collect();
            let settlement = Settlement {
                done,
                failed,
                released,
                latencies: &latencies,
            };
            ledger.emitter.emit(&Event::Settled {
                producer: self.entry.producer,
                settlement,
            });
        }
        ledger.registry.settled(&self.entry, self.tally.total());
        self.tally = Tally::default();
    }
}
