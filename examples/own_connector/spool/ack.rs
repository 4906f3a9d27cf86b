//! How messages end: deleted, later once more, put aside, or given back.

use std::sync::Arc;

use broadway::{Acknowledger, BoxError, Outcome, Settled, telemetry::MessageInfo};

use super::{blocking::blocking, leases::Leases};

/// What becomes of a failed message; for a single one, `message.configure_ack(OnFailure::Aside)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It comes again after the pause.
    Again,
    /// It is moved to `failed/`, and comes again when somebody moves it back to `new/`.
    Aside,
}

/// Names one delivery, not one message: delivered again, a message has another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub(super) u64);

/// What is to be done to a message that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Delete,
    Again,
    Aside,
    GiveBack,
}

/// Learns how the messages of one producer ended.
pub struct SpoolAcknowledger {
    leases: Arc<Leases>,
    on_failure: OnFailure,
}

impl SpoolAcknowledger {
    pub(super) fn new(leases: Arc<Leases>, on_failure: OnFailure) -> Self {
        Self { leases, on_failure }
    }

    fn ending(&self, settled: &Settled<Token>) -> Ending {
        match settled.outcome {
            Outcome::Done => Ending::Delete,
            Outcome::Failed(_) => match settled.options().unwrap_or(&self.on_failure) {
                OnFailure::Again => Ending::Again,
                OnFailure::Aside => Ending::Aside,
            },
            // Released, and what a later version may add: nobody has handled it.
            _ => Ending::GiveBack,
        }
    }
}

impl Acknowledger for SpoolAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        let endings: Vec<_> = settled
            .drain(..)
            .map(|settled| (settled.token, self.ending(&settled)))
            .collect();
        let leases = Arc::clone(&self.leases);
        blocking(move || leases.end(&endings)).await?
    }

    fn generation(&self) -> u64 {
        self.leases.generation()
    }

    /// What is released is back in `new/` at once.
    fn redelivers(&self, _: &Token) -> bool {
        true
    }

    fn is_stale(&self, token: &Token) -> bool {
        !self.leases.is_held(*token)
    }

    fn describe(&self, token: &Token) -> MessageInfo {
        let name = self.leases.name(*token);
        name.map(|name| MessageInfo::new(format!("spool@{name}")))
            .unwrap_or_default()
    }
}
