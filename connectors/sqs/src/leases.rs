//! Leases: until when each received message is hidden from other consumers.
//!
//! [`Leases`] knows the expiry of each lease, which leases are due to be extended (at half of the visibility timeout), which have
//! expired, and which request a settled message needs. It is a pure value: it never waits, sends or reads a clock.
//!
//! A delete or a return waits until the message's extension request has been answered. Otherwise the extension could arrive after the
//! return and hide the message again. So [`settle`](Leases::settle) keeps the action, and [`extended`](Leases::extended) returns it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(test)]
mod tests;

/// Identifies an unsettled message: a slot, and how often the slot was reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    slot: u32,
    generation: u32,
}

impl Token {
    /// The slot, which no other message has while this one is unsettled.
    pub(crate) fn index(self) -> usize {
        self.slot as usize
    }
}

/// What to do at the queue with a settled message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckAction {
    Delete,
    /// Make it visible after this number of seconds.
    VisibleAfter(u32),
    /// Nothing: it becomes visible when its lease expires.
    Leave,
}

/// A settled message whose action has not been sent, or not been confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingAck {
    pub(crate) handle: String,
    pub(crate) action: AckAction,
    /// The expiry of the lease, after which the action has no effect.
    pub(crate) expires: Instant,
}

/// The result of settling a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SettleResult {
    Ready(PendingAck),
    /// The action follows when the extension that is in flight has been answered.
    Deferred,
    /// The lease had expired.
    Late,
}

/// An extension to request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseExtension {
    pub(crate) token: Token,
    pub(crate) handle: String,
    pub(crate) seconds: u32,
}

/// The result of an extension request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExtensionOutcome {
    Extended,
    /// The queue rejects the receipt handle: the lease is lost.
    NotOwned,
    /// No answer, or an error that a later attempt may not meet.
    Failed,
}

/// The leases of all unsettled messages.
#[derive(Debug)]
pub(crate) struct Leases {
    visibility: Duration,
    lease_max: Duration,
    slots: Vec<LeaseSlot>,
    free: Vec<u32>,
    /// When to check which lease next. Leases that are being extended, and lost ones, are not in it.
    due: BTreeSet<(Instant, u32)>,
    extending: usize,
}

#[derive(Debug, Default)]
struct LeaseSlot {
    generation: u32,
    lease: Option<Lease>,
}

#[derive(Debug)]
struct Lease {
    handle: String,
    group: Option<Arc<str>>,
    received: Instant,
    expires: Instant,
    due: Instant,
    state: LeaseState,
    /// Whether an earlier message of its group was not deleted, so that no handler may start on this one.
    is_invalidated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaseState {
    Held,
    /// An extension is in flight. `then` is the action of a message that was settled meanwhile.
    Extending {
        then: Option<AckAction>,
    },
    /// Expired, and not settled yet.
    Lost,
}

impl Leases {
    /// `visibility` must be in whole seconds, at least one.
    pub(crate) fn new(visibility: Duration, lease_max: Duration) -> Self {
        Self {
            visibility,
            lease_max,
            slots: Vec::new(),
            free: Vec::new(),
            due: BTreeSet::new(),
            extending: 0,
        }
    }

    /// Adds a message that was received at `now`.
    pub(crate) fn admit(&mut self, handle: String, group: Option<Arc<str>>, now: Instant) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(LeaseSlot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer than four billion unsettled messages")
        });
        let lease = Lease {
            handle,
            group,
            received: now,
            expires: now + self.visibility,
            // The other half of the timeout is left for retries.
            due: now + self.visibility / 2,
            state: LeaseState::Held,
            is_invalidated: false,
        };
        self.due.insert((lease.due, slot));
        let entry = &mut self.slots[slot as usize];
        entry.lease = Some(lease);
        Token {
            slot,
            generation: entry.generation,
        }
    }

    /// The number of extensions in flight.
    pub(crate) fn extending(&self) -> usize {
        self.extending
    }

    /// When to call [`due`](Self::due) next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Appends leases that are due: at most `max` to extend to `extensions`, and those that expired to `lost`.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        max: usize,
        extensions: &mut Vec<LeaseExtension>,
        lost: &mut Vec<Token>,
    ) {
        let before = extensions.len();
        while let Some(&(due, slot)) = self.due.first() {
            if due > now || extensions.len() - before == max {
                return;
            }
            // It comes back with the outcome of its extension.
            self.due.pop_first();
            let token = self.token_at(slot);
            let lease = self.slots[slot as usize]
                .lease
                .as_mut()
                .expect("leases that are due exist");
            if now >= lease.expires {
                lease.state = LeaseState::Lost;
                lost.push(token);
                continue;
            }
            let limit = (lease.received + self.lease_max).saturating_duration_since(now);
            let seconds = limit.min(self.visibility).as_secs();
            if now + Duration::from_secs(seconds) <= lease.expires {
                // `lease_max` leaves no room to extend: check again at expiry.
                lease.due = lease.expires;
                self.due.insert((lease.due, slot));
                continue;
            }
            lease.state = LeaseState::Extending { then: None };
            self.extending += 1;
            extensions.push(LeaseExtension {
                token,
                handle: lease.handle.clone(),
                seconds: u32::try_from(seconds).expect("12 hours at most"),
            });
        }
    }

    /// Applies the outcome of an extension that was sent at `sent`. Returns the action of a message that was settled meanwhile, and
    /// whether the lease was lost.
    pub(crate) fn extended(
        &mut self,
        extension: &LeaseExtension,
        outcome: ExtensionOutcome,
        sent: Instant,
        now: Instant,
    ) -> (Option<PendingAck>, bool) {
        let token = extension.token;
        let (visibility, slot) = (self.visibility, token.slot);
        let lease = self
            .get_mut(token)
            .expect("a lease stays while it is extended");
        let LeaseState::Extending { then } = lease.state else {
            unreachable!("a lease has one extension in flight at a time");
        };
        // Expiry counts from sending, not from the answer: the queue may have applied the request at any moment in between, and the
        // earliest is the safe one.
        match outcome {
            ExtensionOutcome::Extended => {
                let length = Duration::from_secs(extension.seconds.into());
                lease.expires = sent + length;
                lease.due = sent + length / 2;
            }
            // Due again soon, so that there are several attempts before the lease expires.
            ExtensionOutcome::Failed => lease.due = (now + visibility / 8).min(lease.expires),
            ExtensionOutcome::NotOwned => lease.expires = sent.min(now),
        }
        let is_expired = now >= lease.expires;
        lease.state = if is_expired {
            LeaseState::Lost
        } else {
            LeaseState::Held
        };
        let due = lease.due;
        self.extending -= 1;
        match then {
            Some(action) if !is_expired => (Some(self.remove(token, action)), false),
            Some(_) => {
                self.forget(token);
                (None, true)
            }
            None => {
                if !is_expired {
                    self.due.insert((due, slot));
                }
                (None, is_expired)
            }
        }
    }

    /// Settles a message. The first action of a message counts.
    pub(crate) fn settle(&mut self, token: Token, action: AckAction, now: Instant) -> SettleResult {
        let Some(lease) = self.get_mut(token) else {
            return SettleResult::Late;
        };
        match &mut lease.state {
            LeaseState::Held if now < lease.expires => {
                SettleResult::Ready(self.remove(token, action))
            }
            // `due` may not have noticed yet that a held lease expired.
            LeaseState::Held | LeaseState::Lost => {
                self.forget(token);
                SettleResult::Late
            }
            LeaseState::Extending { then } => {
                then.get_or_insert(action);
                SettleResult::Deferred
            }
        }
    }

    /// How long this message can stay hidden from now on, in whole seconds, if `total` is the most since it was received. `None` if
    /// that is less than a second, or if the message goes back to the queue anyway.
    pub(crate) fn delay_max(
        &self,
        token: Token,
        total: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let lease = self.get(token).filter(|_| !self.is_stale(token))?;
        let left = (lease.received + total).saturating_duration_since(now);
        let left = Duration::from_secs(left.as_secs());
        (now < lease.expires && !left.is_zero()).then_some(left)
    }

    /// The group of a message, if it has one.
    pub(crate) fn group(&self, token: Token) -> Option<&Arc<str>> {
        self.get(token)?.group.as_ref()
    }

    /// Marks a message as stale: an earlier one of its group was not deleted.
    pub(crate) fn invalidate(&mut self, token: Token) {
        if let Some(lease) = self.get_mut(token) {
            lease.is_invalidated = true;
        }
    }

    /// Whether no handler may start on this message.
    pub(crate) fn is_stale(&self, token: Token) -> bool {
        self.get(token)
            .is_none_or(|lease| lease.is_invalidated || lease.state == LeaseState::Lost)
    }

    /// All messages without a result.
    pub(crate) fn unsettled_tokens(&self) -> Vec<Token> {
        let slots = (0..).zip(&self.slots);
        slots
            .filter(|(_, slot)| {
                slot.lease.as_ref().is_some_and(|lease| {
                    !matches!(lease.state, LeaseState::Extending { then: Some(_) })
                })
            })
            .map(|(slot, entry)| Token {
                slot,
                generation: entry.generation,
            })
            .collect()
    }

    fn get(&self, token: Token) -> Option<&Lease> {
        let slot = self.slots.get(token.slot as usize)?;
        slot.lease
            .as_ref()
            .filter(|_| slot.generation == token.generation)
    }

    fn get_mut(&mut self, token: Token) -> Option<&mut Lease> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        let is_same = slot.generation == token.generation;
        slot.lease.as_mut().filter(|_| is_same)
    }

    fn token_at(&self, slot: u32) -> Token {
        Token {
            slot,
            generation: self.slots[slot as usize].generation,
        }
    }

    fn remove(&mut self, token: Token, action: AckAction) -> PendingAck {
        let lease = self.forget(token);
        PendingAck {
            handle: lease.handle,
            action,
            expires: lease.expires,
        }
    }

    fn forget(&mut self, token: Token) -> Lease {
        let slot = &mut self.slots[token.slot as usize];
        let lease = slot.lease.take().expect("the caller checked the token");
        // Tokens of the message that had this slot match no longer.
        slot.generation = slot.generation.wrapping_add(1);
        self.due.remove(&(lease.due, token.slot));
        self.free.push(token.slot);
        lease
    }
}
