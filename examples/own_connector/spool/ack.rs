//! How messages are acknowledged: deleted, returned after a pause, put aside, or given back at once.

use std::sync::Arc;

use broadway::{
    BoxError,
    connector::{self, AckChoice, AckPolicy},
    source::{Acknowledger, Settled},
    telemetry::MessageInfo,
};

use super::{blocking::blocking, leases::Leases};

/// What happens to a message that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It is delivered again after the pause.
    Retry,
    /// It is moved to `failed/`, and delivered again if an operator moves it back to `new/`.
    PutAside,
}

/// How one message is acknowledged: `message.configure_ack(AckOptions::new().on_failure(OnFailure::PutAside))`. A message that
/// succeeded is always deleted.
pub type AckOptions = connector::AckOptions<(), OnFailure>;

/// Identifies one delivery. A message that is delivered again has another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub(super) u64);

/// What the acknowledger does with a message that this producer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckAction {
    Delete,
    Retry,
    PutAside,
    GiveBack,
}

/// Acknowledges the messages of one producer.
pub struct SpoolAcknowledger {
    leases: Arc<Leases>,
    policy: AckPolicy<(), OnFailure>,
}

impl SpoolAcknowledger {
    pub(super) fn new(leases: Arc<Leases>, on_failure: OnFailure) -> Self {
        let policy = AckPolicy {
            on_success: (),
            on_failure,
        };
        Self { leases, policy }
    }

    fn action(&self, settled: &Settled<Token>) -> AckAction {
        match self.policy.choose(settled) {
            AckChoice::Success(()) => AckAction::Delete,
            AckChoice::Failure(OnFailure::Retry) => AckAction::Retry,
            AckChoice::Failure(OnFailure::PutAside) => AckAction::PutAside,
            // It never comes as `Delay` or `Park`: `delay_max` and `parks` are not implemented.
            AckChoice::Release | AckChoice::Delay(_) | AckChoice::Park { .. } => {
                AckAction::GiveBack
            }
        }
    }
}

impl Acknowledger for SpoolAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        let actions: Vec<_> = settled
            .drain(..)
            .map(|settled| (settled.token, self.action(&settled)))
            .collect();
        let leases = Arc::clone(&self.leases);
        blocking(move || leases.acknowledge(&actions)).await?
    }

    fn generation(&self) -> u64 {
        self.leases.generation()
    }

    /// A released message is back in `new/` at once.
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
