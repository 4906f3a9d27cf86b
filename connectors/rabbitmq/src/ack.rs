//! The acknowledger: hands outcomes to the channel that delivered the messages.

use std::{sync::Arc, time::Duration};

use broadway_core::{Acknowledger, BoxError, Settled, telemetry::MessageInfo};

use crate::{shared::SharedChannel, unsettled::Token};

/// Acknowledges the messages of one producer.
///
/// Messages that succeeded without a gap from the oldest on are acknowledged with one frame. Settling queues frames and waits for
/// nothing: AMQP does not confirm acknowledgements. [`close`](broadway_core::SourceProducer::close) waits until the broker has received
/// all of them, and until a quorum queue has applied them.
pub struct RabbitMqAcknowledger {
    shared: Arc<SharedChannel>,
}

impl RabbitMqAcknowledger {
    pub(crate) fn new(shared: Arc<SharedChannel>) -> Self {
        Self { shared }
    }
}

impl Acknowledger for RabbitMqAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        self.shared.settle(settled);
        Ok(())
    }

    async fn settle_done(&self, done: &mut Vec<Token>) -> Result<(), BoxError> {
        self.shared.settle_done(done);
        Ok(())
    }

    /// Changes when a channel is lost.
    fn generation(&self) -> u64 {
        self.shared.generation()
    }

    /// A queue delivers a released message again. A stream does not: its readers choose where they read on.
    fn redelivers(&self, _: &Token) -> bool {
        !self.shared.is_stream
    }

    fn is_stale(&self, token: &Token) -> bool {
        token.generation != self.shared.generation()
    }

    /// Four fifths of the broker's [`consumer_timeout`](crate::RabbitMq::consumer_timeout), less the time since the message was delivered.
    /// `None` in a stream, and while the source closes.
    ///
    /// AMQP cannot delay a message: it stays unsettled at the broker, takes a place in the prefetch window, and is requeued when its time is
    /// over. Closing requeues it at once, as does the loss of the connection.
    fn delay_max(&self, token: &Token) -> Option<Duration> {
        self.shared.delay_max(token)
    }

    /// The queue and the delivery tag. The id of the record is more useful where the record is available.
    fn describe(&self, token: &Token) -> MessageInfo {
        self.shared.describe(token)
    }
}

impl std::fmt::Debug for RabbitMqAcknowledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RabbitMqAcknowledger")
            .field("generation", &self.shared.generation())
            .finish_non_exhaustive()
    }
}
