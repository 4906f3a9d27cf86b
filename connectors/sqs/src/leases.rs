//! Leases: how long each message that is here is still ours.
//!
//! A message that was received is hidden from others until its visibility ends. A [`Leases`] knows when that is for each,
//! says which are due to be extended (at half of the time-out), which have been lost, and what may be said to the queue
//! when a message has ended. Nothing here waits, sends or looks at a clock.
//!
//! An extension that is on its way is awaited before the message is deleted or made visible: overtaken by its own
//! heartbeat, a message that was just returned would vanish again. So [`settle`](Leases::settle) keeps the ending and
//! [`extended`](Leases::extended) hands it out.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(test)]
mod tests;

/// Which message: a place among those that are here, and how often the place was taken before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    slot: u32,
    turn: u32,
}

impl Token {
    /// The place, which no other message has as long as this one is unsettled.
    pub(crate) fn place(self) -> usize {
        self.slot as usize
    }
}

/// What is said to the queue about a message that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Delete,
    /// Visible after so many seconds.
    Visible(u32),
    /// Nothing: it becomes visible when its time is over.
    Leave,
}

/// A message that leaves: what to say about it, and until when that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parting {
    pub(crate) handle: String,
    pub(crate) ending: Ending,
    pub(crate) expires: Instant,
}

/// What became of a settled message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settling {
    Now(Parting),
    /// When the extension that is on its way has been answered.
    Later,
    /// It was no longer ours.
    Late,
}

/// One extension to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) token: Token,
    pub(crate) handle: String,
    pub(crate) seconds: u32,
}

/// What the queue said to an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Extended,
    /// The message is not in our hands any more.
    Gone,
    /// No answer, or one that may be another the next time.
    Failed,
}

/// The messages that are here.
#[derive(Debug)]
pub(crate) struct Leases {
    visibility: Duration,
    hold_max: Duration,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// When to look at which lease again; those that are being extended or lost are not in it.
    due: BTreeSet<(Instant, u32)>,
    extending: usize,
}

#[derive(Debug, Default)]
struct Slot {
    turn: u32,
    lease: Option<Lease>,
}

#[derive(Debug)]
struct Lease {
    handle: String,
    group: Option<Arc<str>>,
    received: Instant,
    expires: Instant,
    due: Instant,
    state: State,
    /// Not to be begun: one before it in its group has failed.
    is_broken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    Extending { then: Option<Ending> },
    Lost,
}

impl Leases {
    /// No messages. `visibility` is in whole seconds, at least one.
    pub(crate) fn new(visibility: Duration, hold_max: Duration) -> Self {
        Self {
            visibility,
            hold_max,
            slots: Vec::new(),
            free: Vec::new(),
            due: BTreeSet::new(),
            extending: 0,
        }
    }

    /// A message was received just now.
    pub(crate) fn admit(&mut self, handle: String, group: Option<Arc<str>>, now: Instant) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer than four billion messages are here")
        });
        let lease = Lease {
            handle,
            group,
            received: now,
            expires: now + self.visibility,
            due: now + self.visibility / 2,
            state: State::Held,
            is_broken: false,
        };
        self.due.insert((lease.due, slot));
        let place = &mut self.slots[slot as usize];
        place.lease = Some(lease);
        Token {
            slot,
            turn: place.turn,
        }
    }

    /// How many extensions are on their way.
    pub(crate) fn extending(&self) -> usize {
        self.extending
    }

    /// When to ask for [`due`](Self::due) again.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes what is due: at most `max` leases to extend into `extensions`, and all that are over into `lost`.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        max: usize,
        extensions: &mut Vec<Extension>,
        lost: &mut Vec<Token>,
    ) {
        let before = extensions.len();
        while let Some(&(due, slot)) = self.due.first() {
            if due > now || extensions.len() - before == max {
                return;
            }
            self.due.pop_first();
            let token = self.token_at(slot);
            let lease = self.slots[slot as usize]
                .lease
                .as_mut()
                .expect("what is due is here");
            if now >= lease.expires {
                lease.state = State::Lost;
                lost.push(token);
                continue;
            }
            let limit = (lease.received + self.hold_max).saturating_duration_since(now);
            let seconds = limit.min(self.visibility).as_secs();
            if now + Duration::from_secs(seconds) <= lease.expires {
                // Nothing to gain any more: the end is near.
                lease.due = lease.expires;
                self.due.insert((lease.due, slot));
                continue;
            }
            lease.state = State::Extending { then: None };
            self.extending += 1;
            extensions.push(Extension {
                token,
                handle: lease.handle.clone(),
                seconds: u32::try_from(seconds).expect("12 hours at most"),
            });
        }
    }

    /// An extension that was `sent` then has been answered. Gives what was kept for a message that ended meanwhile;
    /// `true` beside it: the message has been lost.
    pub(crate) fn extended(
        &mut self,
        extension: &Extension,
        answer: Answer,
        sent: Instant,
        now: Instant,
    ) -> (Option<Parting>, bool) {
        let token = extension.token;
        let (visibility, slot) = (self.visibility, token.slot);
        let lease = self
            .get_mut(token)
            .expect("a lease stays while it is extended");
        let State::Extending { then } = lease.state else {
            unreachable!("a lease is extended once at a time");
        };
        match answer {
            Answer::Extended => {
                let length = Duration::from_secs(extension.seconds.into());
                lease.expires = sent + length;
                lease.due = sent + length / 2;
            }
            // Soon again, while there is time.
            Answer::Failed => lease.due = (now + visibility / 8).min(lease.expires),
            Answer::Gone => lease.expires = sent.min(now),
        }
        let is_over = now >= lease.expires;
        lease.state = if is_over { State::Lost } else { State::Held };
        let due = lease.due;
        self.extending -= 1;
        match then {
            Some(ending) if !is_over => (Some(self.remove(token, ending)), false),
            Some(_) => {
                self.forget(token);
                (None, true)
            }
            None => {
                if !is_over {
                    self.due.insert((due, slot));
                }
                (None, is_over)
            }
        }
    }

    /// A message has ended.
    pub(crate) fn settle(&mut self, token: Token, ending: Ending, now: Instant) -> Settling {
        let Some(lease) = self.get_mut(token) else {
            return Settling::Late;
        };
        match &mut lease.state {
            State::Held if now < lease.expires => Settling::Now(self.remove(token, ending)),
            State::Held | State::Lost => {
                self.forget(token);
                Settling::Late
            }
            State::Extending { then } => {
                then.get_or_insert(ending);
                Settling::Later
            }
        }
    }

    /// The group of a message, where it has one.
    pub(crate) fn group(&self, token: Token) -> Option<&Arc<str>> {
        self.get(token)?.group.as_ref()
    }

    /// A message is not to be begun, as one before it in its group has failed.
    pub(crate) fn break_off(&mut self, token: Token) {
        if let Some(lease) = self.get_mut(token) {
            lease.is_broken = true;
        }
    }

    /// Whether nobody should begin this message any more.
    pub(crate) fn is_stale(&self, token: Token) -> bool {
        self.get(token)
            .is_none_or(|lease| lease.is_broken || lease.state == State::Lost)
    }

    /// Every message that nobody has settled.
    pub(crate) fn unsettled(&self) -> Vec<Token> {
        let slots = (0..).zip(&self.slots);
        slots
            .filter(|(_, slot)| {
                slot.lease
                    .as_ref()
                    .is_some_and(|lease| !matches!(lease.state, State::Extending { then: Some(_) }))
            })
            .map(|(slot, place)| Token {
                slot,
                turn: place.turn,
            })
            .collect()
    }

    fn get(&self, token: Token) -> Option<&Lease> {
        let place = self.slots.get(token.slot as usize)?;
        place.lease.as_ref().filter(|_| place.turn == token.turn)
    }

    fn get_mut(&mut self, token: Token) -> Option<&mut Lease> {
        let place = self.slots.get_mut(token.slot as usize)?;
        let is_same = place.turn == token.turn;
        place.lease.as_mut().filter(|_| is_same)
    }

    fn token_at(&self, slot: u32) -> Token {
        Token {
            slot,
            turn: self.slots[slot as usize].turn,
        }
    }

    fn remove(&mut self, token: Token, ending: Ending) -> Parting {
        let lease = self.forget(token);
        Parting {
            handle: lease.handle,
            ending,
            expires: lease.expires,
        }
    }

    fn forget(&mut self, token: Token) -> Lease {
        let place = &mut self.slots[token.slot as usize];
        let lease = place.lease.take().expect("it was looked at just now");
        place.turn = place.turn.wrapping_add(1);
        self.due.remove(&(lease.due, token.slot));
        self.free.push(token.slot);
        lease
    }
}
