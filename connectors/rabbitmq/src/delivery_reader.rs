//! Reads the deliveries of an open consumer, and finds out when no more will arrive.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use broadway_core::Delivery;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{Error, options::BasicCancelOptions};
use tokio::time::Instant;

use crate::{
    consume::OpenConsumer,
    error::{consumer_timeout, reply_text},
    options::OnUnreadable,
    record::RabbitMqRecord,
    shared::SharedChannel,
    unsettled::{NewDelivery, Token},
};

/// Where deliveries for the pipeline are put.
pub(crate) type DeliveryBuffer = Vec<Delivery<RabbitMqRecord, Token>>;

/// An open consumer whose deliveries are read.
pub(crate) struct DeliveryReader {
    pub(crate) opened: OpenConsumer,
    /// The generation of the consumer's channel.
    pub(crate) generation: u64,
    pub(crate) since: Instant,
    halt: Option<Halt>,
}

/// The consumer is cancelled: because of an unreadable message, or because the source stops.
struct Halt {
    reason: String,
    /// `basic.cancel`. Deliveries that were on their way arrive until the broker confirms it.
    cancel: Option<BoxFuture<'static, Result<(), Error>>>,
    has_ended: bool,
}

/// The result of a read.
pub(crate) enum ReadOutcome {
    /// The buffer has deliveries.
    Deliveries,
    /// The source has halted, for this reason. All deliveries before the unreadable one were returned.
    Halted(String),
}

/// Why no more deliveries will arrive.
pub(crate) struct ConsumerLoss {
    pub(crate) reason: String,
    /// Set if the broker's `consumer_timeout` expired, with its value if the broker's text contains it.
    pub(crate) consumer_timeout: Option<Option<Duration>>,
}

impl ConsumerLoss {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            consumer_timeout: None,
        }
    }
}

impl From<&Error> for ConsumerLoss {
    fn from(error: &Error) -> Self {
        Self {
            reason: reply_text(error),
            consumer_timeout: consumer_timeout(error),
        }
    }
}

impl DeliveryReader {
    /// Makes the consumer's channel the one that is in use.
    pub(crate) fn start(opened: OpenConsumer, shared: &SharedChannel) -> Self {
        let generation = shared.use_channel_of(&opened);
        Self {
            opened,
            generation,
            since: Instant::now(),
            halt: None,
        }
    }

    /// Appends up to `demand` deliveries to `out`, without waiting for more than the first.
    ///
    /// A delivery that is appended is registered as unsettled in the same poll. On an error nothing is appended: the broker delivers
    /// these messages again.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        shared: &SharedChannel,
        demand: usize,
        out: &mut DeliveryBuffer,
    ) -> Poll<Result<ReadOutcome, ConsumerLoss>> {
        let before = out.len();
        loop {
            let filled = self.poll_fill(cx, shared, before + demand, out);
            if let Poll::Ready(Err(loss)) = filled {
                out.truncate(before);
                return Poll::Ready(Err(loss));
            }
            if out.len() == before {
                ready!(filled.map(drop));
                let reason = self.halt.as_ref().map(|halt| halt.reason.clone());
                return Poll::Ready(Ok(ReadOutcome::Halted(reason.unwrap_or_default())));
            }
            let is_stream = shared.is_stream;
            let deliveries = out[before..].iter().map(|delivery| NewDelivery {
                tag: delivery.token.tag,
                offset: is_stream.then(|| delivery.item.stream_offset()).flatten(),
                sent_secs: delivery.item.sent_secs(),
            });
            if !shared.register(self.generation, deliveries) {
                // The channel was lost since these were read from the client's buffer: their tags mean nothing now.
                out.truncate(before);
                return Poll::Ready(Err(ConsumerLoss::new("the channel was lost")));
            }
            self.take_out_unreadable(shared, before, out);
            if out.len() > before {
                return Poll::Ready(Ok(ReadOutcome::Deliveries));
            }
            // All of them were unreadable. Polls again, as no waker may be registered with the consumer.
        }
    }

    /// Fills `out` up to this length. Ready without an error if `out` is full, or if the consumer has ended after a halt.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        shared: &SharedChannel,
        length: usize,
        out: &mut DeliveryBuffer,
    ) -> Poll<Result<(), ConsumerLoss>> {
        self.poll_cancel(cx)?;
        if self.halt.as_ref().is_some_and(|halt| halt.has_ended) {
            return Poll::Ready(Ok(()));
        }
        while out.len() < length {
            match ready!(self.opened.consumer.poll_next_unpin(cx)) {
                Some(Ok(delivery)) => {
                    let token = Token {
                        generation: self.generation,
                        tag: delivery.delivery_tag,
                        redelivered: delivery.redelivered,
                    };
                    let record = RabbitMqRecord::new(delivery, self.opened.queue.clone());
                    out.push(Delivery::new(record, token));
                }
                Some(Err(error)) => return Poll::Ready(Err(ConsumerLoss::from(&error))),
                // The end of the stream means `basic.cancel`: ours if the source has halted on a channel that still lives, the
                // broker's otherwise.
                None => match &mut self.halt {
                    Some(halt) if shared.generation() == self.generation => {
                        halt.has_ended = true;
                        break;
                    }
                    _ => {
                        let loss = ConsumerLoss::new("the broker cancelled the consumer");
                        return Poll::Ready(Err(loss));
                    }
                },
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_cancel(&mut self, cx: &mut Context<'_>) -> Result<(), ConsumerLoss> {
        if let Some(halt) = &mut self.halt
            && let Some(cancel) = &mut halt.cancel
            && let Poll::Ready(cancelled) = cancel.poll_unpin(cx)
        {
            halt.cancel = None;
            cancelled.map_err(|error| ConsumerLoss::from(&error))?;
        }
        Ok(())
    }

    /// Removes the deliveries that the client could not have parsed from `out`, and treats them as `on_unreadable` asks.
    fn take_out_unreadable(
        &mut self,
        shared: &SharedChannel,
        before: usize,
        out: &mut DeliveryBuffer,
    ) {
        if self.opened.mended.is_empty() {
            return;
        }
        let (channel, generation) = (self.opened.channel.id(), self.generation);
        let mended = self.opened.mended.clone();
        let mut halt_reason = None;
        let unreadable = out.extract_if(before.., |delivery| {
            let Some(found) = mended.take(channel, delivery.token.tag) else {
                return false;
            };
            let queue = &self.opened.queue;
            let message = format!(
                "message {} of `queue` = {queue:?} (exchange {:?}, routing key {:?}) cannot be read by the client: {}",
                found.tag,
                delivery.item.exchange(),
                delivery.item.routing_key(),
                found.flaw
            );
            match shared.on_unreadable {
                OnUnreadable::Mend => {
                    shared.report_source_error(&format!(
                        "{message}; it is handled with `?` in place of these bytes"
                    ));
                    return false;
                }
                OnUnreadable::Reject => {
                    shared.report_source_error(&format!("{message}; it is rejected"));
                    shared.reject_unreadable(generation, found.tag);
                }
                OnUnreadable::Halt => {
                    shared.keep_unreadable(generation, found.tag);
                    let reason = format!(
                        "{message}; the source stops reading: remove the message, or choose another `on_unreadable` (Reject, Mend)"
                    );
                    shared.report_halted(queue, found.tag, &reason);
                    halt_reason.get_or_insert(reason);
                }
            }
            true
        });
        unreadable.for_each(drop);
        if let Some(reason) = halt_reason
            && self.halt.is_none()
        {
            self.halt = Some(self.start_cancel(shared, reason));
        }
    }

    fn start_cancel(&self, shared: &SharedChannel, reason: String) -> Halt {
        // The client sends the frame only when the future is polled, so this comes before it.
        shared.cancelling();
        let (channel, tag) = (self.opened.channel.clone(), self.opened.consumer.tag());
        let cancel = async move {
            channel
                .basic_cancel(tag, BasicCancelOptions::default())
                .await
        };
        Halt {
            reason,
            cancel: Some(Box::pin(cancel)),
            has_ended: false,
        }
    }

    /// Cancels the consumer, and returns the tags of the deliveries that the pipeline did not get.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the tags that were collected are lost. The caller gives the channel up then.
    pub(crate) async fn cancel(&mut self, shared: &SharedChannel) -> lapin::Result<Vec<u64>> {
        if self.halt.is_none() {
            self.halt = Some(self.start_cancel(shared, String::new()));
        }
        let mut tags = Vec::new();
        let Some(halt) = &mut self.halt else {
            return Ok(tags);
        };
        if let Some(cancel) = &mut halt.cancel {
            cancel.await?;
            halt.cancel = None;
        }
        // After the confirmation the client still holds what it received before it.
        while !halt.has_ended {
            match self.opened.consumer.next().await {
                Some(delivery) => tags.push(delivery?.delivery_tag),
                None => halt.has_ended = true,
            }
        }
        Ok(tags)
    }
}
