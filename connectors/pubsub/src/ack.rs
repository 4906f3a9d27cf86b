//! Acknowledging: results go, as a group, to the client's handlers of their messages.

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{
    Acknowledger, BoxError, Deadline, Outcome, Settled,
    connector::ClientRuntime,
    telemetry::{AffectedMessages, Emitter, Event, MessageInfo},
};
use google_cloud_pubsub::subscriber::ShutdownToken;

use crate::{
    confirm::Confirmer,
    options::PubSubAckPolicy,
    unsettled::{SettledMessage, Token, UnsettledMessages},
};

/// Acknowledges the messages of one stream.
///
/// `settle` only passes results on: the client sends acknowledgements every 100 ms, or a thousand at once. With exactly-once delivery
/// they are confirmed, and [`Event::AckFailed`] reports those that are not. Without it, it is not known whether an acknowledgement
/// arrived; if it did not, the message is delivered again.
///
/// Messages outlive their stream: the client opens another, and acknowledges by separate requests. They are
/// [stale](Acknowledger::is_stale) only after the connection was found dead, since their leases are lost then.
///
/// When it is dropped, messages without a result are nacked, and the last acknowledgements are sent in the background, for up to
/// [`close_timeout`](crate::PubSub::close_timeout).
pub struct PubSubAcknowledger {
    unsettled: Arc<UnsettledMessages>,
    policy: PubSubAckPolicy,
    producer: usize,
    emitter: Emitter,
    last_acks: LastAcks,
}

/// What the last acknowledgements need to arrive after the acknowledger is dropped: above all, the client's thread.
#[derive(Clone)]
pub(crate) struct LastAcks {
    pub(crate) runtime: ClientRuntime,
    pub(crate) confirmer: Confirmer,
    pub(crate) shutdown: ShutdownToken,
    pub(crate) close_timeout: Duration,
}

impl PubSubAcknowledger {
    pub(crate) fn new(
        unsettled: Arc<UnsettledMessages>,
        policy: PubSubAckPolicy,
        (producer, emitter): (usize, Emitter),
        last_acks: LastAcks,
    ) -> Self {
        Self {
            unsettled,
            policy,
            producer,
            emitter,
            last_acks,
        }
    }

    fn settle_all(&self, messages: impl Iterator<Item = SettledMessage>) {
        let report = self.unsettled.settle(messages);
        self.last_acks.confirmer.confirm(report.to_confirm);
        if report.late > 0 {
            let ids = &report.late_ids;
            self.emitter.emit(&Event::late_results(
                self.producer,
                report.late,
                AffectedMessages::new(ids.len(), &|index| MessageInfo::new(&*ids[index])),
            ));
        }
    }
}

impl Acknowledger for PubSubAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        let messages = settled.drain(..).map(|settled| {
            let action = self.policy.choose(&settled).into();
            let is_handled = !matches!(settled.outcome, Outcome::Released);
            SettledMessage {
                token: settled.token,
                action,
                is_handled,
            }
        });
        self.settle_all(messages);
        Ok(())
    }

    async fn settle_done(&self, done: &mut Vec<Token>) -> Result<(), BoxError> {
        let action = self.policy.on_success.into();
        self.settle_all(done.drain(..).map(|token| SettledMessage {
            token,
            action,
            is_handled: true,
        }));
        Ok(())
    }

    fn generation(&self) -> u64 {
        u64::from(self.unsettled.is_lost())
    }

    /// Released messages are nacked at once.
    fn redelivers(&self, _: &Token) -> bool {
        true
    }

    fn is_stale(&self, _: &Token) -> bool {
        self.unsettled.is_lost()
    }

    /// Nine tenths of [`lease_max`](crate::PubSub::lease_max), less the time since the message was received. `None` while the source closes.
    ///
    /// Pub/Sub cannot delay a single message: it stays under lease, counts as outstanding, and is nacked when its time is over; the
    /// subscription's retry policy, if it has one, adds its backoff. Closing nacks it at once.
    fn delay_max(&self, token: &Token) -> Option<Duration> {
        self.unsettled.delay_max(*token)
    }

    fn describe(&self, token: &Token) -> MessageInfo {
        MessageInfo::new(self.unsettled.describe(*token))
    }
}

impl Drop for PubSubAcknowledger {
    fn drop(&mut self) {
        self.unsettled.nack_all();
        let last_acks = self.last_acks.clone();
        // The task holds a clone of the runtime, so the thread lives until it ends.
        let task = self.last_acks.runtime.spawn(async move {
            let all_sent = async {
                // Confirmations first: the client's shutdown nacks what still waits for one.
                last_acks.confirmer.flush().await;
                last_acks.shutdown.shutdown().await;
            };
            let deadline = Deadline::after(last_acks.close_timeout);
            let _in_time: Option<()> = deadline.within(all_sent).await;
        });
        drop(task);
    }
}

impl fmt::Debug for PubSubAcknowledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubAcknowledger")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
