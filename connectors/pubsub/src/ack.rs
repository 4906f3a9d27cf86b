//! How results come back: as one group, to the handlers that are held.

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{
    Acknowledger, BoxError, Deadline, Settled,
    connector::ClientRuntime,
    telemetry::{Affected, Emitter, Event, MessageInfo},
};
use google_cloud_pubsub::subscriber::ShutdownToken;

use crate::{
    confirm::Confirmer,
    held::{Ended, Held},
    options::Policy,
};

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
    policy: Policy,
    producer: usize,
    emitter: Emitter,
    farewell: Farewell,
}

/// What the last acknowledgements need to arrive after the acknowledger is dropped: above all, the thread of the client.
#[derive(Clone)]
pub(crate) struct Farewell {
    pub(crate) runtime: ClientRuntime,
    pub(crate) confirmer: Confirmer,
    pub(crate) shutdown: ShutdownToken,
    pub(crate) close_timeout: Duration,
}

impl PubSubAcknowledger {
    pub(crate) fn new(
        held: Arc<Held>,
        policy: Policy,
        (producer, emitter): (usize, Emitter),
        farewell: Farewell,
    ) -> Self {
        Self {
            held,
            policy,
            producer,
            emitter,
            farewell,
        }
    }
}

impl Acknowledger for PubSubAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        let ended = settled.drain(..).map(|settled| {
            let verdict = self.policy.verdict(&settled);
            let is_result = settled.outcome.is_done() || settled.outcome.is_failed();
            Ended {
                token: settled.token,
                verdict,
                is_result,
            }
        });
        let settling = self.held.settle(ended);
        self.farewell.confirmer.confirm(settling.to_confirm);
        if settling.late > 0 {
            let ids = &settling.late_ids;
            self.emitter.emit(&Event::LateResults {
                producer: self.producer,
                count: settling.late,
                affected: Affected::new(ids.len(), &|index| MessageInfo::new(&*ids[index])),
            });
        }
        Ok(())
    }

    fn generation(&self) -> u64 {
        u64::from(self.held.is_lost())
    }

    /// What is released is given back to the service at once.
    fn redelivers(&self, _: &Token) -> bool {
        true
    }

    fn is_stale(&self, _: &Token) -> bool {
        self.held.is_lost()
    }

    fn describe(&self, token: &Token) -> MessageInfo {
        MessageInfo::new(self.held.describe(*token))
    }
}

/// Gives back every message that is not settled. Acknowledgements that are on their way may still arrive.
impl Drop for PubSubAcknowledger {
    fn drop(&mut self) {
        self.held.let_go();
        let farewell = self.farewell.clone();
        let said = self.farewell.runtime.spawn(async move {
            let all_said = async {
                farewell.confirmer.flush().await;
                farewell.shutdown.shutdown().await;
            };
            let deadline = Deadline::after(farewell.close_timeout);
            let _in_time: Option<()> = deadline.within(all_said).await;
        });
        drop(said);
    }
}

impl fmt::Debug for PubSubAcknowledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubAcknowledger")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
