//! All messages that were received and not settled: their leases, and the groups of a FIFO queue above them.

use std::time::{Duration, Instant};

use crate::{
    groups::{GroupEffects, Groups},
    leases::{
        AckAction, ExtensionOutcome, LeaseExtension, Leases, PendingAck, SettleResult, Token,
    },
};

/// Leases and groups as one: results come in, pending acks come out.
#[derive(Debug)]
pub(crate) struct UnsettledMessages {
    leases: Leases,
    groups: Groups,
    /// Increases whenever an unsettled message becomes stale.
    generation: u64,
    /// Results that came after the lease had expired.
    late: u64,
    /// Messages whose leases were lost.
    lost: u64,
}

impl UnsettledMessages {
    pub(crate) fn new(visibility: Duration, lease_max: Duration) -> Self {
        Self {
            leases: Leases::new(visibility, lease_max),
            groups: Groups::default(),
            generation: 0,
            late: 0,
            lost: 0,
        }
    }

    /// Adds a message that was received at `now`. Pass the group for a FIFO queue only.
    pub(crate) fn admit(&mut self, handle: String, group: Option<&str>, now: Instant) -> Token {
        let Some(group) = group else {
            return self.leases.admit(handle, None, now);
        };
        let group = self.groups.name(group);
        let token = self.leases.admit(handle, Some(group.clone()), now);
        self.groups.admit(group, token);
        token
    }

    /// Settles a message, and appends the acks that can be sent now to `acks`.
    pub(crate) fn settle(
        &mut self,
        token: Token,
        action: AckAction,
        now: Instant,
        acks: &mut Vec<PendingAck>,
    ) {
        let Some(group) = self.leases.group(token).cloned() else {
            return self.settle_lease(token, action, now, acks);
        };
        let effects = self.groups.settle(&group, token, Some(action));
        self.apply(effects, now, acks);
    }

    /// Returns a message to the queue that has no result. Never counts as late.
    pub(crate) fn release(&mut self, token: Token, now: Instant, acks: &mut Vec<PendingAck>) {
        let late = self.late;
        self.settle(token, AckAction::VisibleAfter(0), now, acks);
        // The lease may have expired, but a release has no result that could be late.
        self.late = late;
    }

    /// Handles leases that are due at `now`: returns at most `max` extensions to request, and gives up leases that expired.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        max: usize,
        acks: &mut Vec<PendingAck>,
    ) -> Vec<LeaseExtension> {
        let (mut extensions, mut lost) = (Vec::new(), Vec::new());
        self.leases.due(now, max, &mut extensions, &mut lost);
        for token in lost {
            self.lose(token, now, acks);
        }
        extensions
    }

    /// Applies the outcome of an extension.
    pub(crate) fn extended(
        &mut self,
        extension: &LeaseExtension,
        outcome: ExtensionOutcome,
        (sent, now): (Instant, Instant),
        acks: &mut Vec<PendingAck>,
    ) {
        let (ack, is_lost) = self.leases.extended(extension, outcome, sent, now);
        acks.extend(ack);
        if is_lost {
            self.lose(extension.token, now, acks);
        }
    }

    /// Releases all messages without a result.
    pub(crate) fn release_all(&mut self, now: Instant, acks: &mut Vec<PendingAck>) {
        for token in self.leases.unsettled_tokens() {
            self.release(token, now, acks);
        }
    }

    /// All messages without a result.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        self.leases.unsettled_tokens()
    }

    /// Total number of messages that succeeded and were returned all the same.
    pub(crate) fn repeats(&self) -> u64 {
        self.groups.repeats()
    }

    /// The number of extensions in flight.
    pub(crate) fn extending(&self) -> usize {
        self.leases.extending()
    }

    /// When to call [`due`](Self::due) next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.leases.next_due()
    }

    /// Whether no handler may start on this message.
    pub(crate) fn is_stale(&self, token: Token) -> bool {
        self.leases.is_stale(token)
    }

    /// As [`Leases::delay_max`].
    pub(crate) fn delay_max(
        &self,
        token: Token,
        total: Duration,
        now: Instant,
    ) -> Option<Duration> {
        self.leases.delay_max(token, total, now)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Total number of late results.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    /// Total number of lost messages.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    fn lose(&mut self, token: Token, now: Instant, acks: &mut Vec<PendingAck>) {
        self.lost += 1;
        self.generation += 1;
        if let Some(group) = self.leases.group(token).cloned() {
            let effects = self.groups.settle(&group, token, None);
            self.apply(effects, now, acks);
        }
    }

    fn apply(&mut self, effects: GroupEffects, now: Instant, acks: &mut Vec<PendingAck>) {
        for (token, action) in effects.actions {
            self.settle_lease(token, action, now, acks);
        }
        // A new generation makes the engine check which of its messages are stale.
        self.generation += u64::from(!effects.invalidated.is_empty());
        for token in effects.invalidated {
            self.leases.invalidate(token);
        }
    }

    fn settle_lease(
        &mut self,
        token: Token,
        action: AckAction,
        now: Instant,
        acks: &mut Vec<PendingAck>,
    ) {
        match self.leases.settle(token, action, now) {
            SettleResult::Ready(ack) => acks.push(ack),
            SettleResult::Deferred => {}
            SettleResult::Late => self.late += 1,
        }
    }
}
