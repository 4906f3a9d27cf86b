//! How results come back: into the ledger of their channel, and from there, grouped, to the broker.

use std::sync::Arc;

use broadway_core::{Acknowledger, BoxError, Settled, telemetry::MessageInfo};

use crate::{shared::SharedChannel, unsettled::Token};

/// Learns how the messages of one producer ended.
///
/// Messages that succeeded without a gap from the oldest on are acknowledged in one frame. Settling queues frames and waits for nothing:
/// AMQP does not confirm acknowledgements. [`close`](broadway_core::SourceProducer::close) waits until the broker has taken all of
/// them.
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

    /// Moves when a channel is lost.
    fn generation(&self) -> u64 {
        self.shared.generation()
    }

    /// A queue delivers again what is released. A stream does not: where it is read on is the reader's choice.
    fn redelivers(&self, _: &Token) -> bool {
        !self.shared.is_stream
    }

    fn is_stale(&self, token: &Token) -> bool {
        token.generation != self.shared.generation()
    }

    /// Where the record is at hand, its own id says more.
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
