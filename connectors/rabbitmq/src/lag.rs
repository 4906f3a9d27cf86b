//! How far the queue is behind, told every `lag_interval`.
//!
//! AMQP tells how many messages are ready, to a passive declaration. Those that were sent to this producer and are unsettled are
//! counted here: what the pipeline has, and what the client still holds. The broker is asked on a channel of its own, since a refusal
//! closes the channel: the lag is unknown from then until the next connection.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::Deadline;
use lapin::{Channel, options::QueueDeclareOptions, types::FieldTable};

use crate::{connect::Line, ledger::Ledger, shared::Shared, wire::Marks};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What is asked, and what has come from there.
#[derive(Clone)]
pub(crate) struct Gauge {
    /// `None` where the broker cannot be asked.
    channel: Option<Channel>,
    pub(crate) queue: Arc<str>,
    marks: Arc<Marks>,
}

impl Gauge {
    pub(crate) fn of(line: &Line) -> Self {
        Self {
            channel: line.gauge.clone(),
            queue: line.queue.clone(),
            marks: line.marks.clone(),
        }
    }

    /// How many messages of the queue are ready. `None`: the broker does not say.
    async fn ready(&self) -> Option<u64> {
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
    pub(crate) fn unsettled(&self, ledger: &Ledger) -> u64 {
        let held_by_client = self.marks.last_tag().saturating_sub(ledger.last_tag());
        held_by_client + ledger.unsettled() as u64
    }
}

/// When the oldest message that the pipeline has was sent, as its sender says.
pub(crate) fn oldest(ledger: &Ledger) -> Option<SystemTime> {
    let sent = Duration::from_secs(ledger.oldest_sent()?);
    UNIX_EPOCH.checked_add(sent)
}

/// Never ends.
pub(crate) async fn tell(shared: &Shared, interval: Duration) {
    loop {
        Deadline::after(interval).reached().await;
        let ready = match shared.gauge() {
            Some(gauge) => gauge.ready().await,
            None => None,
        };
        shared.tell_lag(ready);
    }
}
