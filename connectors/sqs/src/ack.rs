//! How results come back: into the ledger, and from there by the keeper to the queue.

use std::sync::Arc;

use broadway_core::{Acknowledger, BoxError, Deadline, Settled, telemetry::MessageInfo};

use crate::{
    leases::Token,
    shared::{Shared, now},
};

/// Learns how the messages of one producer ended. Settling only writes it down; deletes follow in tens, within 50 ms.
///
/// In a FIFO queue it keeps the order of each message group, in whatever order results come: a message is deleted when all
/// before it in its group are, and one that is not deleted (it failed, was left, or was lost) breaks off those after it which
/// are here. They are stale, go back to the queue whatever becomes of them, and come again after it.
pub struct SqsAcknowledger {
    shared: Arc<Shared>,
}

impl SqsAcknowledger {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Acknowledger for SqsAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        self.shared.settle(settled);
        Ok(())
    }

    fn generation(&self) -> u64 {
        self.shared.generation()
    }

    /// What is released becomes visible to others at once.
    fn redelivers(&self, _: &Token) -> bool {
        true
    }

    fn is_stale(&self, token: &Token) -> bool {
        self.shared.is_stale(*token)
    }

    /// What was done behind a message of its group that was not.
    fn repeats(&self) -> u64 {
        self.shared.repeats()
    }

    fn describe(&self, token: &Token) -> MessageInfo {
        MessageInfo::new(self.shared.describe(*token))
    }
}

/// Nobody is left to settle: what has not been goes back, and the keeper ends.
impl Drop for SqsAcknowledger {
    fn drop(&mut self) {
        self.shared.abandon();
        let deadline = Deadline::since(now(), self.shared.source.close_timeout);
        self.shared.end(deadline);
    }
}

impl std::fmt::Debug for SqsAcknowledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqsAcknowledger")
            .field("producer", &self.shared.producer)
            .finish_non_exhaustive()
    }
}
