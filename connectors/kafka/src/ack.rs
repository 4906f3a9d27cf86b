//! How results come back: [`KafkaAcknowledger`] records them by partition, in runs. Commits read from there.

use std::{
    iter::Peekable,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::{Duration, Instant},
    vec::Drain,
};

use broadway_core::{
    Acknowledger, BoxError, Settled, connector::ConnectorError, telemetry::MessageInfo,
};

pub use crate::partition::Token;
use crate::{
    partition::{Partition, SettleReport},
    shared::SharedMember,
};

/// How many partitions `begin` keeps apart in one chunk. With more, it may write to a partition twice.
const SLOTS: usize = 16;

/// How long a drain handles messages before the last one that was begun.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The time by the clock of the runtime.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Acknowledges the messages of one member. Settling only records results; commits follow at an interval, at revocation and when the source
/// closes.
pub struct KafkaAcknowledger {
    shared: Arc<SharedMember>,
    /// When a drain first asked which messages it may release.
    drain_began: OnceLock<Instant>,
}

impl KafkaAcknowledger {
    pub(crate) fn new(shared: Arc<SharedMember>) -> Self {
        Self {
            shared,
            drain_began: OnceLock::new(),
        }
    }

    /// Settles results with `settle`, which takes the run at the head that belongs to one partition, with one lock for all of it.
    fn settle_runs<R>(
        &self,
        results: &mut Vec<R>,
        token: impl Fn(&R) -> Token,
        settle: impl Fn(&Partition, &mut Peekable<Drain<'_, R>>) -> SettleReport,
    ) -> Result<(), BoxError> {
        let mut error = None;
        let mut rest = results.drain(..).peekable();
        while let Some(next) = rest.peek() {
            let slot = token(next).slot;
            let partition = self
                .shared
                .with_partitions(|all| all[slot as usize].clone());
            let report = settle(&partition, &mut rest);
            for notice in report.notices.into_iter().flatten() {
                self.shared.handle_notice(&partition, notice);
            }
            if report.late > 0 {
                let (part, late) = (&partition.id.name, report.late);
                tracing::debug!(target: "broadway_kafka", part, late, "results came after the partition was taken away");
            }
            if let Some(text) = report.error {
                error.get_or_insert_with(|| format!("{}: {text}", partition.id.name));
            }
        }
        error.map_or(Ok(()), |error| Err(ConnectorError::permanent(error).into()))
    }
}

impl Acknowledger for KafkaAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        let policy = self.shared.on_failure;
        self.settle_runs(
            settled,
            |settled| settled.token,
            |partition, results| partition.settle(results, policy),
        )
    }

    async fn settle_done(&self, done: &mut Vec<Token>) -> Result<(), BoxError> {
        self.settle_runs(done, |token| *token, Partition::settle_done)
    }

    fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// Released messages are not committed, so the group reads them again, together with later messages that were done. A drain therefore
    /// handles the messages before the last one that was begun, as a revocation does, unless that takes longer than 1 s.
    fn redelivers(&self, token: &Token) -> bool {
        let drain_began = *self.drain_began.get_or_init(now);
        let is_behind = self
            .shared
            .with_partitions(|all| all[token.slot as usize].is_behind_all_begun(token.offset));
        is_behind || now().saturating_duration_since(drain_began) >= CATCH_UP
    }

    /// In the metadata of the commit. `false` with [`ignore_commits`](crate::Kafka::ignore_commits): such a member does not read the notes.
    fn keeps_progress(&self) -> bool {
        self.shared.reads_commits
    }

    fn progress(&self, token: &Token) -> Option<i64> {
        self.shared
            .with_partitions(|all| all[token.slot as usize].progress(token))
    }

    fn set_progress(&self, token: &Token, progress: i64) {
        self.shared
            .with_partitions(|all| all[token.slot as usize].set_progress(token, progress));
    }

    fn describe(&self, token: &Token) -> MessageInfo {
        self.shared.with_partitions(|all| {
            let name = &all[token.slot as usize].id.name;
            MessageInfo::new(format!("{name}@{}", token.offset))
        })
    }

    /// How many messages were done after an unfinished one, or could not be committed in time.
    fn repeats(&self) -> u64 {
        self.shared.repeats.load(Ordering::Relaxed)
    }

    const WANTS_BEGIN: bool = true;

    fn begin<'a>(&self, tokens: impl Iterator<Item = &'a Token>) {
        // Messages of several partitions alternate where keys are kept in order. This collects the highest offset of each partition, so that
        // there is one atomic write for each partition instead of each message. Two partitions that share an entry only cost more writes.
        let mut highest: [Option<Token>; SLOTS] = [None; SLOTS];
        self.shared.with_partitions(|all| {
            let raise = |token: Token| all[token.slot as usize].begin(token.epoch, token.offset);
            for token in tokens {
                let entry = &mut highest[token.slot as usize % SLOTS];
                match entry {
                    Some(high) if high.slot == token.slot && high.epoch == token.epoch => {
                        high.offset = high.offset.max(token.offset);
                    }
                    _ => {
                        if let Some(other) = entry.replace(*token) {
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
