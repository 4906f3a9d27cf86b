//! How many messages are ready in the queue, as the broker counts them.

use std::{sync::Arc, time::Duration};

use broadway_core::Deadline;
use lapin::{Channel, options::QueueDeclareOptions, types::FieldTable};

use crate::{consume::OpenConsumer, unsettled::Unsettled, wire::MendedDeliveries};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks for the depth of the queue of one consumer.
///
/// It has a channel of its own, since an error closes the channel: from then until the next connection the depth is unknown.
#[derive(Clone)]
pub(crate) struct QueueDepth {
    /// `None` if the depth is not asked for, or the broker refused a further channel.
    channel: Option<Channel>,
    pub(crate) queue: Arc<str>,
    mended: Arc<MendedDeliveries>,
}

impl QueueDepth {
    pub(crate) fn of(opened: &OpenConsumer) -> Self {
        Self {
            channel: opened.depth_channel.clone(),
            queue: opened.queue.clone(),
            mended: opened.mended.clone(),
        }
    }

    /// The number of ready messages; `None` if the broker does not answer. A passive declaration needs no permission.
    pub(crate) async fn ready(&self) -> Option<u64> {
        let channel = self.channel.as_ref()?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked = channel.queue_declare((&*self.queue).into(), options, FieldTable::default());
        match Deadline::after(ANSWER_TIMEOUT).within(asked).await {
            Some(Ok(queue)) => Some(u64::from(queue.message_count())),
            Some(Err(error)) => {
                tracing::debug!(target: "broadway_rabbitmq", queue = &*self.queue, %error, "the depth of the queue is unknown");
                None
            }
            None => None,
        }
    }

    /// The number of messages that were sent to this producer and are unsettled: in the pipeline, and in the client's buffer.
    pub(crate) fn unsettled(&self, unsettled: &Unsettled) -> u64 {
        // Tags count up by one, so the difference is what the socket has received and the pipeline has not.
        let buffered = self.mended.last_tag().saturating_sub(unsettled.last_tag());
        buffered + unsettled.len() as u64
    }
}
