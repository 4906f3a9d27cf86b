//! How results come back: by partition, in runs, into the ledgers that commits are read from.

use std::{
    sync::{Arc, OnceLock, atomic::Ordering},
    time::{Duration, Instant},
};

use broadway_core::{Acknowledger, BoxError, Settled, telemetry::MessageInfo};

use crate::shared::Shared;

/// How many partitions of a chunk are told apart without writing to each more than once.
const SLOTS: usize = 16;

/// How long a drain handles what lies before a message that was begun.
const CATCH_UP: Duration = Duration::from_secs(1);

/// By the clock of the runtime.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Which message of which assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub(crate) slot: u32,
    pub(crate) epoch: u32,
    pub(crate) offset: i64,
}

/// Learns how the messages of one member ended. Settling only writes it down; commits follow by interval, at revocation
/// and at the end.
pub struct KafkaAcknowledger {
    shared: Arc<Shared>,
    /// When a drain first asked what is released.
    asked: OnceLock<Instant>,
}

impl KafkaAcknowledger {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            asked: OnceLock::new(),
        }
    }

    fn settle_all(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        let mut error = None;
        let mut rest = settled.drain(..).peekable();
        while let Some(next) = rest.peek() {
            let slot = next.token.slot;
            let partition = self
                .shared
                .with_partitions(|all| all[slot as usize].clone());
            let ending = partition.settle(&mut rest, self.shared.on_failure);
            for notice in ending.notices.into_iter().flatten() {
                self.shared.tell(&partition, notice);
            }
            if ending.late > 0 {
                let (part, late) = (&partition.origin.name, ending.late);
                tracing::debug!(target: "broadway_kafka", part, late, "results came after the partition was taken away");
            }
            if let Some(text) = ending.error {
                error.get_or_insert_with(|| format!("{}: {text}", partition.origin.name));
            }
        }
        error.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl Acknowledger for KafkaAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        self.settle_all(settled)
    }

    fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// What is released is not committed, and the group reads it again: also what was done behind it. So what lies before a
    /// message that was begun is handled, as at a revocation, unless that takes longer than a second.
    fn redelivers(&self, token: &Token) -> bool {
        let asked = *self.asked.get_or_init(now);
        let is_behind = self
            .shared
            .with_partitions(|all| all[token.slot as usize].is_behind_all_begun(token.offset));
        is_behind || now().saturating_duration_since(asked) >= CATCH_UP
    }

    fn describe(&self, token: &Token) -> MessageInfo {
        self.shared.with_partitions(|all| {
            let name = &all[token.slot as usize].origin.name;
            MessageInfo::new(format!("{name}@{}", token.offset))
        })
    }

    /// What was done behind a message that was not, or was not committed in time.
    fn repeats(&self) -> u64 {
        self.shared.repeats.load(Ordering::Relaxed)
    }

    const WANTS_BEGIN: bool = true;

    fn begin<'a>(&self, tokens: impl Iterator<Item = &'a Token>) {
        // Messages of several partitions alternate where keys are kept in order: one write for each partition, not each message.
        let mut highest: [Option<Token>; SLOTS] = [None; SLOTS];
        self.shared.with_partitions(|all| {
            let raise = |token: Token| all[token.slot as usize].begin(token.epoch, token.offset);
            for token in tokens {
                let place = &mut highest[token.slot as usize % SLOTS];
                match place {
                    Some(high) if high.slot == token.slot && high.epoch == token.epoch => {
                        high.offset = high.offset.max(token.offset);
                    }
                    _ => {
                        if let Some(other) = place.replace(*token) {
                            raise(other);
                        }
                    }
                }
            }
            highest.into_iter().flatten().for_each(raise);
        });
    }

    fn is_stale(&self, token: &Token) -> bool {
        self.shared
            .with_partitions(|all| all[token.slot as usize].is_stale(token))
    }
}

impl std::fmt::Debug for KafkaAcknowledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaAcknowledger")
            .field("producer", &self.shared.producer)
            .finish_non_exhaustive()
    }
}
