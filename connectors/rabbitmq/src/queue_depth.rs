//! How many messages of the queue are ready, as the broker counts them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::Deadline;
use lapin::{Channel, options::QueueDeclareOptions, types::FieldTable};

use crate::{consume::OpenConsumer, unsettled::Unsettled, wire::MendedDeliveries};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What is asked, and what has come from there.
#[derive(Clone)]
pub(crate) struct QueueDepth {
    /// `None` where the broker cannot be asked.
    channel: Option<Channel>,
    pub(crate) queue: Arc<str>,
    mended: Arc<MendedDeliveries>,
}

impl QueueDepth {
    pub(crate) fn of(opened: &OpenConsumer) -> Self {
        Self {
            channel: opened.queue_depth.clone(),
            queue: opened.queue.clone(),
            mended: opened.mended.clone(),
        }
    }

    /// How many messages of the queue are ready. `None`: the broker does not say.
    pub(crate) async fn ready(&self) -> Option<u64> {
        let channel = self.channel.as_ref()?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked = channel.queue_declare((&*self.queue).into(), options, FieldTable::default());
        match Deadline::after(ANSWER_MAX).within(asked).await {
            Some(Ok(queue)) => Some(u64::from(queue.message_count())),
            Some(Err(error)) => {
                tracing::debug!(target: "broadway_rabbitmq", queue = &*self.queue, %error, "the depth of the queue is unknown");
                None
            }
            None => None,
        }
    }

    /// How many messages were sent to this producer and are unsettled.
    pub(crate) fn unsettled(&self, ledger: &Unsettled) -> u64 {
        let held_by_client = self.mended.last_tag().saturating_sub(ledger.last_tag());
        held_by_client + ledger.unsettled() as u64
    }
}

/// When the oldest message that the pipeline has was sent, as its sender says.
pub(crate) fn oldest(ledger: &Unsettled) -> Option<SystemTime> {
    let sent = Duration::from_secs(ledger.oldest_sent()?);
    UNIX_EPOCH.checked_add(sent)
}
