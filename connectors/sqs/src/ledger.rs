//! The book of what is here: leases, and the groups of a FIFO queue above them. Results come in, partings come out.

use std::time::{Duration, Instant};

use crate::{
    groups::{Consequences, Groups},
    leases::{Answer, Ending, Extension, Leases, Parting, Settling, Token},
};

/// Leases and groups as one.
#[derive(Debug)]
pub(crate) struct Ledger {
    leases: Leases,
    groups: Groups,
    /// Moves whenever a message that is here has become stale.
    generation: u64,
    /// Results that came when the message was no longer ours.
    late: u64,
    /// Messages that were given up or taken away.
    lost: u64,
}

impl Ledger {
    pub(crate) fn new(visibility: Duration, hold_max: Duration) -> Self {
        Self {
            leases: Leases::new(visibility, hold_max),
            groups: Groups::default(),
            generation: 0,
            late: 0,
            lost: 0,
        }
    }

    /// A message was received; `group`: of a FIFO queue.
    pub(crate) fn admit(&mut self, handle: String, group: Option<&str>, now: Instant) -> Token {
        let Some(group) = group else {
            return self.leases.admit(handle, None, now);
        };
        let group = self.groups.name(group);
        let token = self.leases.admit(handle, Some(group.clone()), now);
        self.groups.admit(group, token);
        token
    }

    /// A message has ended; what is to be said to the queue now is appended to `partings`.
    pub(crate) fn settle(
        &mut self,
        token: Token,
        ending: Ending,
        now: Instant,
        partings: &mut Vec<Parting>,
    ) {
        let Some(group) = self.leases.group(token).cloned() else {
            return self.part(token, ending, now, partings);
        };
        let consequences = self.groups.settle(&group, token, Some(ending));
        self.follow(consequences, now, partings);
    }

    /// A message goes back that nobody has seen, or nobody has settled.
    pub(crate) fn release(&mut self, token: Token, now: Instant, partings: &mut Vec<Parting>) {
        let late = self.late;
        self.settle(token, Ending::Visible(0), now, partings);
        // There was no result to be late.
        self.late = late;
    }

    /// What is due at `now`: extensions (at most `max`), and the end of leases.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        max: usize,
        partings: &mut Vec<Parting>,
    ) -> Vec<Extension> {
        let (mut extensions, mut lost) = (Vec::new(), Vec::new());
        self.leases.due(now, max, &mut extensions, &mut lost);
        for token in lost {
            self.lose(token, now, partings);
        }
        extensions
    }

    /// An extension was answered.
    pub(crate) fn extended(
        &mut self,
        extension: &Extension,
        answer: Answer,
        (sent, now): (Instant, Instant),
        partings: &mut Vec<Parting>,
    ) {
        let (parting, is_lost) = self.leases.extended(extension, answer, sent, now);
        partings.extend(parting);
        if is_lost {
            self.lose(extension.token, now, partings);
        }
    }

    /// Ends all that nobody has settled: it goes back to the queue.
    pub(crate) fn abandon(&mut self, now: Instant, partings: &mut Vec<Parting>) {
        for token in self.leases.unsettled() {
            self.release(token, now, partings);
        }
    }

    /// Every message that nobody has settled.
    pub(crate) fn unsettled(&self) -> Vec<Token> {
        self.leases.unsettled()
    }

    /// How many messages were done and went back all the same, all in all.
    pub(crate) fn repeats(&self) -> u64 {
        self.groups.repeats()
    }

    pub(crate) fn extending(&self) -> usize {
        self.leases.extending()
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.leases.next_due()
    }

    pub(crate) fn is_stale(&self, token: Token) -> bool {
        self.leases.is_stale(token)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// How many results came late, all in all.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    /// How many messages were lost, all in all.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    fn lose(&mut self, token: Token, now: Instant, partings: &mut Vec<Parting>) {
        self.lost += 1;
        self.generation += 1;
        if let Some(group) = self.leases.group(token).cloned() {
            let consequences = self.groups.settle(&group, token, None);
            self.follow(consequences, now, partings);
        }
    }

    fn follow(&mut self, consequences: Consequences, now: Instant, partings: &mut Vec<Parting>) {
        for (token, ending) in consequences.ended {
            self.part(token, ending, now, partings);
        }
        self.generation += u64::from(!consequences.broken.is_empty());
        for token in consequences.broken {
            self.leases.break_off(token);
        }
    }

    fn part(&mut self, token: Token, ending: Ending, now: Instant, partings: &mut Vec<Parting>) {
        match self.leases.settle(token, ending, now) {
            Settling::Now(parting) => partings.push(parting),
            Settling::Later => {}
            Settling::Late => self.late += 1,
        }
    }
}
