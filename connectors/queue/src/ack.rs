//! Acknowledging: results go to the partitions' machines, and from there to disk with the next commit that is due.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use broadway_core::{
    Acknowledger, BoxError, Outcome, Reason, Settled,
    connector::AckChoice,
    telemetry::{AffectedMessages, Event, MessageInfo},
};

use crate::{
    clock::millis,
    connect::StoreHandle,
    coordinator::Epoch,
    group::{Ended, Lease, Member, Partition},
    options::{OnFailure, OnSuccess, QueueAckPolicy},
};

/// The longest delay. The due time is kept on disk.
const DELAY_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Identifies a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The number of the partition among those that the producer was ever assigned.
    pub(crate) part: u32,
    pub(crate) epoch: Epoch,
    pub(crate) lease: Lease,
}

/// Acknowledges the messages of one producer. `settle` only records results: they are written within
/// [`ack_interval`](crate::QueueFolder::ack_interval), and by [`close`](broadway_core::SourceProducer::close).
///
/// Each message is settled for itself, in whatever order results come. When it is dropped, messages without a result are delivered again at once.
pub struct QueueAcknowledger {
    pub(crate) store: StoreHandle,
    pub(crate) member: Arc<Member>,
    policy: QueueAckPolicy,
    /// Every partition that the producer was assigned, by the numbers in tokens.
    parts: RwLock<Vec<Arc<Partition>>>,
}

impl QueueAcknowledger {
    pub(crate) fn new(store: StoreHandle, member: Arc<Member>, policy: QueueAckPolicy) -> Self {
        Self {
            store,
            member,
            policy,
            parts: RwLock::default(),
        }
    }

    /// The number of a partition in tokens.
    pub(crate) fn part(&self, partition: &Arc<Partition>) -> u32 {
        let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        let known = parts.iter().position(|part| Arc::ptr_eq(part, partition));
        let index = known.unwrap_or_else(|| {
            parts.push(Arc::clone(partition));
            parts.len() - 1
        });
        u32::try_from(index).expect("fewer than u32::MAX partitions")
    }

    fn partition(&self, token: &Token) -> Option<Arc<Partition>> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.get(token.part as usize).cloned()
    }

    /// Settles runs of tokens of one partition.
    fn settle_runs<T>(
        &self,
        all: &[T],
        token: impl Fn(&T) -> Token,
        settle: impl Fn(&Arc<Partition>, Epoch, &[T]) -> usize,
    ) {
        let mut late = 0;
        let is_same = |a: &T, b: &T| {
            let (a, b) = (token(a), token(b));
            (a.part, a.epoch) == (b.part, b.epoch)
        };
        for run in all.chunk_by(is_same) {
            let first = token(&run[0]);
            if let Some(partition) = self.partition(&first) {
                late += settle(&partition, first.epoch, run);
            }
        }
        if late > 0 {
            let affected = AffectedMessages::unknown();
            let event = Event::late_results(self.member.producer, late, affected);
            self.member.emitter.emit(&event);
        }
    }

    fn ended(&self, settled: &Settled<Token>) -> (Lease, Ended, Option<Reason>) {
        let ended = match self.policy.choose(settled) {
            AckChoice::Success(OnSuccess::Ack) | AckChoice::Failure(OnFailure::Ack) => Ended::Done,
            AckChoice::Success(OnSuccess::RedeliverAfter(after)) | AckChoice::Delay(after) => {
                Ended::Returned {
                    after: millis(after),
                }
            }
            AckChoice::Failure(OnFailure::RedeliverAfter(after)) => Ended::Failed {
                after: millis(after),
            },
            AckChoice::Release => Ended::Returned { after: 0 },
            AckChoice::Park { pause, attempts } => Ended::Parked {
                after: millis(pause),
                attempts,
            },
        };
        let reason = match (&settled.outcome, ended) {
            (Outcome::Failed(reason), Ended::Failed { .. }) => Some(reason.clone()),
            _ => None,
        };
        (settled.token.lease, ended, reason)
    }
}

impl Acknowledger for QueueAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        self.settle_runs(
            settled,
            |settled| settled.token,
            |partition, epoch, run| {
                let ended = run.iter().map(|settled| self.ended(settled));
                partition.settle(epoch, ended, &self.store)
            },
        );
        settled.clear();
        Ok(())
    }

    async fn settle_done(&self, done: &mut Vec<Token>) -> Result<(), BoxError> {
        self.settle_runs(
            done,
            |token| *token,
            |partition, epoch, run| {
                let ended = run.iter().map(|token| (token.lease, Ended::Done, None));
                partition.settle(epoch, ended, &self.store)
            },
        );
        done.clear();
        Ok(())
    }

    fn generation(&self) -> u64 {
        self.member.generation()
    }

    fn is_stale(&self, token: &Token) -> bool {
        self.partition(token)
            .is_none_or(|partition| partition.is_stale(token.epoch, token.lease))
    }

    /// Released messages go to other members at once, or to this program when it starts again.
    fn redelivers(&self, _: &Token) -> bool {
        true
    }

    /// A year. The due time is on disk, so it holds across a restart.
    fn delay_max(&self, token: &Token) -> Option<Duration> {
        (!self.is_stale(token)).then_some(DELAY_MAX)
    }

    /// Retries that wait here are on disk, and keep their place in the order of their key.
    fn parks(&self, token: &Token, pause: Duration) -> bool {
        self.delay_max(token).is_some_and(|max| pause <= max)
    }

    fn attempts(&self, token: &Token) -> u32 {
        self.partition(token)
            .map_or(0, |partition| partition.attempts(token.lease))
    }

    /// In the state of the group, in one write with the acknowledgements.
    fn keeps_progress(&self) -> bool {
        true
    }

    fn progress(&self, token: &Token) -> Option<i64> {
        self.partition(token)?.progress(token.epoch)
    }

    fn set_progress(&self, token: &Token, progress: i64) {
        if let Some(partition) = self.partition(token) {
            partition.set_progress(token.epoch, progress);
        }
    }

    fn describe(&self, token: &Token) -> MessageInfo {
        let partition = self.partition(token);
        let id =
            partition.map(|partition| format!("{}@{}", partition.log.name(), token.lease.offset));
        MessageInfo::new(id.unwrap_or_default())
    }
}

impl fmt::Debug for QueueAcknowledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueAcknowledger")
            .field("producer", &self.member.producer)
            .finish_non_exhaustive()
    }
}
