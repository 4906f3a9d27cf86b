//! A opened in use: takes what its consumer has, and knows when nothing more will come.

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
    error::{consumer_timeout, words},
    options::OnUnreadable,
    record::RabbitMqRecord,
    shared::SharedChannel,
    unsettled::{NewDelivery, Token},
};

pub(crate) type DeliveryBuffer = Vec<Delivery<RabbitMqRecord, Token>>;

/// A opened in use.
pub(crate) struct DeliveryReader {
    pub(crate) opened: OpenConsumer,
    pub(crate) generation: u64,
    pub(crate) since: Instant,
    halt: Option<Halt>,
}

/// Nothing more is to be read, because of a message.
struct Halt {
    why: String,
    /// Until the broker has confirmed it, messages come that were on their way.
    cancel: Option<BoxFuture<'static, Result<(), Error>>>,
    has_ended: bool,
}

/// What `poll_take` has found.
pub(crate) enum ReadOutcome {
    /// There are messages for the pipeline.
    Some,
    /// The source reads nothing more, and why. All that came before was taken.
    Halted(String),
}

/// Why nothing more will come.
pub(crate) struct ConsumerLoss {
    pub(crate) why: String,
    /// The broker's `consumer_timeout` was over, and how long that is, if it says so.
    pub(crate) impatient: Option<Option<Duration>>,
}

impl ConsumerLoss {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            impatient: None,
        }
    }
}

impl From<&Error> for ConsumerLoss {
    fn from(error: &Error) -> Self {
        Self {
            why: words(error),
            impatient: consumer_timeout(error),
        }
    }
}

impl DeliveryReader {
    pub(crate) fn begin(opened: OpenConsumer, shared: &SharedChannel) -> Self {
        let generation = shared.begin(&opened);
        Self {
            opened,
            generation,
            since: Instant::now(),
            halt: None,
        }
    }

    /// Takes what is there, or says why nothing more will come.
    pub(crate) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        shared: &SharedChannel,
        demand: usize,
        out: &mut DeliveryBuffer,
    ) -> Poll<Result<ReadOutcome, ConsumerLoss>> {
        let before = out.len();
        loop {
            let taken = self.poll_fill(cx, shared, before + demand, out);
            let found = match taken {
                Poll::Ready(Err(lost)) => {
                    // They come again by themselves.
                    out.truncate(before);
                    return Poll::Ready(Err(lost));
                }
                Poll::Ready(Ok(())) | Poll::Pending => out.len() > before,
            };
            if found {
                let is_stream = shared.is_stream;
                let arrivals = out[before..].iter().map(|taken| NewDelivery {
                    tag: taken.token.tag,
                    offset: is_stream.then(|| taken.item.stream_offset()).flatten(),
                    sent: taken.item.sent_secs(),
                });
                if !shared.deliver(self.generation, arrivals) {
                    out.truncate(before);
                    return Poll::Ready(Err(ConsumerLoss::new("the channel was lost")));
                }
                self.set_aside(shared, before, out);
                if out.len() > before {
                    return Poll::Ready(Ok(ReadOutcome::Some));
                }
                // All of them could not be read: so there may be more.
                continue;
            }
            ready!(taken.map(drop));
            let why = self.halt.as_ref().map(|halt| halt.why.clone());
            return Poll::Ready(Ok(ReadOutcome::Halted(why.unwrap_or_default())));
        }
    }

    /// Fills up to this length. Ready without an error when the consumer has ended as it was told to, or there is no more room.
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
                None => match &mut self.halt {
                    Some(halt) if shared.generation() == self.generation => {
                        halt.has_ended = true;
                        break;
                    }
                    _ => {
                        return Poll::Ready(Err(ConsumerLoss::new(
                            "the broker cancelled the consumer",
                        )));
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

    /// Takes out the messages that the client could not have read.
    fn set_aside(&mut self, shared: &SharedChannel, before: usize, out: &mut DeliveryBuffer) {
        if self.opened.mended.is_empty() || out.len() == before {
            return;
        }
        let (channel, generation) = (self.opened.channel.id(), self.generation);
        let mended = self.opened.mended.clone();
        let mut halt = None;
        let unreadable = out.extract_if(before.., |taken| {
            let Some(mark) = mended.take(channel, taken.token.tag) else {
                return false;
            };
            let queue = &self.opened.queue;
            let message = format!(
                "message {} of `queue` = {queue:?} (exchange {:?}, routing key {:?}) cannot be read by the client: {}",
                taken.token.tag,
                taken.item.exchange(),
                taken.item.routing_key(),
                mark.why
            );
            match shared.on_unreadable {
                OnUnreadable::Mend => {
                    shared.trouble(&format!("{message}; it is handled with `?` in place of such bytes"));
                    return false;
                }
                OnUnreadable::Reject => {
                    shared.trouble(&format!("{message}; it is rejected"));
                    shared.set_aside(generation, mark.tag, true);
                }
                OnUnreadable::Halt => {
                    shared.set_aside(generation, mark.tag, false);
                    let why = format!(
                        "{message}; remove it, or choose `on_unreadable` (Reject, Mend): the source reads nothing more"
                    );
                    shared.halted(queue, mark.tag, &why);
                    halt.get_or_insert(why);
                }
            }
            true
        });
        unreadable.for_each(drop);
        if let Some(why) = halt
            && self.halt.is_none()
        {
            self.halt = Some(self.cancelling(why));
        }
    }

    fn cancelling(&self, why: String) -> Halt {
        let (channel, tag) = (self.opened.channel.clone(), self.opened.consumer.tag());
        let cancel = async move {
            channel
                .basic_cancel(tag, BasicCancelOptions::default())
                .await
        };
        Halt {
            why,
            cancel: Some(Box::pin(cancel)),
            has_ended: false,
        }
    }

    /// Ends the consumer, and gives what was not delivered.
    pub(crate) async fn cancel(&mut self) -> lapin::Result<Vec<u64>> {
        if self.halt.is_none() {
            self.halt = Some(self.cancelling(String::new()));
        }
        let mut tags = Vec::new();
        let Some(halt) = &mut self.halt else {
            return Ok(tags);
        };
        if let Some(cancel) = &mut halt.cancel {
            cancel.await?;
            halt.cancel = None;
        }
        while !halt.has_ended {
            match self.opened.consumer.next().await {
                Some(delivery) => tags.push(delivery?.delivery_tag),
                None => halt.has_ended = true,
            }
        }
        Ok(tags)
    }
}
