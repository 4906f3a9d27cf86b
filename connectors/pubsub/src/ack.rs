//! How results come back: as one group, to the handlers that are held.

use std::{fmt, sync::Arc};

use broadway_core::{Acknowledger, BoxError, Settled};

use crate::{confirm::Confirmer, held::Held, options::Policy};

/// Which of the messages that are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub(crate) u32);

/// Learns how the messages of one stream ended.
///
/// Settling only hands over: the client sends acknowledgements every 100 ms, or a thousand at once. Those of a subscription
/// with exactly-once delivery are confirmed, and [`Event::AckFailed`](broadway_core::telemetry::Event::AckFailed) tells which were
/// not; those of others are not known to have arrived, and the message comes again if they did not.
///
/// Messages outlive their stream: the client opens another, and acknowledges by calls of their own. They are
/// [stale](Acknowledger::is_stale) only when the connection was found dead, and so their leases lost.
pub struct PubSubAcknowledger {
    held: Arc<Held>,
    confirmer: Confirmer,
    policy: Policy,
}

impl PubSubAcknowledger {
    pub(crate) fn new(held: Arc<Held>, confirmer: Confirmer, policy: Policy) -> Self {
        Self {
            held,
            confirmer,
            policy,
        }
    }
}

impl Acknowledger for PubSubAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        let ended = settled.drain(..).map(|settled| {
            let verdict = self.policy.verdict(&settled);
            (settled.token, verdict)
        });
        let settling = self.held.settle(ended);
        self.confirmer.confirm(settling.to_confirm);
        if settling.late > 0 {
            let late = settling.late;
            tracing::debug!(target: "broadway_pubsub", late, "results came after the source was closed");
        }
        Ok(())
    }

    fn generation(&self) -> u64 {
        u64::from(self.held.is_lost())
    }

    fn is_stale(&self, _: &Token) -> bool {
        self.held.is_lost()
    }
}

impl fmt::Debug for PubSubAcknowledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubAcknowledger")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
