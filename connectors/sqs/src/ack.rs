//! Acknowledging: results go into the shared state, and from there to the queue by the ack task.

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{Acknowledger, BoxError, Deadline, Settled, telemetry::MessageInfo};

use crate::{
    leases::Token,
    shared::{SqsShared, now},
};

/// Acknowledges the messages of one producer. `settle` only records results; deletes follow in requests of ten, within 50 ms.
///
/// In a FIFO queue it keeps the order of each message group, in whatever order results come: a message is deleted when all
/// earlier ones of its group are. When one is not deleted (it failed, was left, or its lease was lost), the later ones of its group
/// that were received become stale: they are returned to the queue, whatever their results, and are delivered again after it.
///
/// When it is dropped, messages without a result are returned to the queue, and the connector's background task ends when that is
/// done, at the latest after [`close_timeout`](crate::Sqs::close_timeout).
pub struct SqsAcknowledger {
    shared: Arc<SqsShared>,
}

impl SqsAcknowledger {
    pub(crate) fn new(shared: Arc<SqsShared>) -> Self {
        Self { shared }
    }
}

impl Acknowledger for SqsAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        self.shared.settle(settled);
        Ok(())
    }

    async fn settle_done(&self, done: &mut Vec<Token>) -> Result<(), BoxError> {
        self.shared.settle_done(done);
        Ok(())
    }

    fn generation(&self) -> u64 {
        self.shared.generation()
    }

    /// Released messages are visible to other consumers at once.
    fn redelivers(&self, _: &Token) -> bool {
        true
    }

    fn is_stale(&self, token: &Token) -> bool {
        self.shared.is_stale(*token)
    }

    /// Twelve hours, the limit of SQS, less the time since the message was received. SQS keeps a delayed message hidden, also when this
    /// program ends, and counts the next delivery.
    fn delay_max(&self, token: &Token) -> Option<Duration> {
        self.shared.delay_max(*token)
    }

    /// Messages that succeeded, behind one of their group that did not.
    fn repeats(&self) -> u64 {
        self.shared.repeats()
    }

    fn describe(&self, token: &Token) -> MessageInfo {
        MessageInfo::new(self.shared.describe(*token))
    }
}

impl Drop for SqsAcknowledger {
    fn drop(&mut self) {
        self.shared.release_all();
        let deadline = Deadline::since(now(), self.shared.source.close_timeout);
        self.shared.finish(deadline);
    }
}

impl fmt::Debug for SqsAcknowledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsAcknowledger")
            .field("producer", &self.shared.producer)
            .finish_non_exhaustive()
    }
}
