//! Commits: one in flight at a time, its result awaited on a queue of its own.
//!
//! A commit counts when the broker has confirmed it, not when it was sent: an offset whose commit failed stays uncommitted and is sent with
//! the next commit. Only partitions of the current assignment are committed, each at the end of its settled prefix.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use broadway_core::{Deadline, connector::ConnectorError, telemetry::Event};
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer, error::RDKafkaErrorCode};

use crate::{
    client::MemberClient,
    error::{is_denial, kind_of},
    ffi::{ClientQueue, CommitResult, QueueSignal, WakeTarget},
    partition::Partition,
    shared::{SLEEP_MAX, SharedMember},
};

/// The pause before a failed commit is repeated while the thread waits for it.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Commits the settled offsets of a member's partitions.
pub(crate) struct Committer {
    queue: ClientQueue,
    client: Arc<MemberClient>,
    shared: Arc<SharedMember>,
    pending: Vec<PendingCommit>,
    failure: Option<CommitFailure>,
}

/// The last failure of a commit.
struct CommitFailure {
    text: String,
    code: RDKafkaErrorCode,
}

impl CommitFailure {
    /// Whether this member may not commit any more, now or later. An outdated generation is not final: the group may have moved on with this
    /// member in it, and the next commit carries the new generation.
    fn is_final(&self) -> bool {
        is_denial(self.code)
            || matches!(
                self.code,
                RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::FencedMemberEpoch
                    | RDKafkaErrorCode::AssignmentLost
            )
    }
}

/// An offset in the commit that is in flight.
struct PendingCommit {
    partition: Arc<Partition>,
    epoch: u32,
    offset: i64,
}

impl Committer {
    pub(crate) fn new(client: &Arc<MemberClient>, shared: Arc<SharedMember>) -> Option<Self> {
        let signal = QueueSignal::new(WakeTarget::Thread(thread::current()));
        let queue = ClientQueue::of_results(client, signal)?;
        Some(Self {
            queue,
            client: client.clone(),
            shared,
            pending: Vec::new(),
            failure: None,
        })
    }

    /// Sends a commit of all offsets that are due, unless one is in flight.
    ///
    /// With two in flight, the broker could answer them in either order, and a confirmation would not show which offset it has.
    pub(crate) fn send(&mut self) {
        if !self.pending.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for partition in self.shared.assigned() {
            let Some((epoch, offset)) = partition.to_commit() else {
                continue;
            };
            let id = &partition.id;
            if list
                .add_partition_offset(&id.topic, id.partition, Offset::Offset(offset))
                .is_ok()
            {
                self.pending.push(PendingCommit {
                    partition,
                    epoch,
                    offset,
                });
            }
        }
        if self.pending.is_empty() {
            return;
        }
        // The list has the order of `pending`: both were filled together.
        for (element, pending) in list.elements().iter_mut().zip(&self.pending) {
            // After the offset was taken: the progress is as new as the offset, or newer.
            if let Some(text) = pending.partition.metadata().text() {
                element.set_metadata(text);
            }
        }
        if let Err(code) = self.queue.commit(&list) {
            self.pending.clear();
            self.note_failure(code, None);
        }
    }

    /// Takes the results that have come.
    pub(crate) fn serve(&mut self) {
        while let Some(result) = self.queue.result() {
            self.take_result(&result);
        }
    }

    /// Commits all offsets that are due and waits until the broker has confirmed them. Repeats failed commits until `deadline`.
    pub(crate) fn flush(&mut self, deadline: Deadline) -> Result<(), ConnectorError> {
        // An earlier failure does not matter for this flush.
        self.failure = None;
        let mut send_at = Instant::now();
        loop {
            let was_pending = !self.pending.is_empty();
            self.serve();
            let now = Instant::now();
            if self.pending.is_empty() {
                if self.is_clean() {
                    return Ok(());
                }
                // The commit that was in flight failed: pause before the next one.
                if was_pending && self.failure.is_some() {
                    send_at = now + RETRY_PAUSE;
                }
            }
            // Once the group has taken the assignment away, a commit cannot succeed, and could overwrite the commit of the new owner.
            let gives_up = self.pending.is_empty()
                && self
                    .failure
                    .as_ref()
                    .is_some_and(|failure| failure.is_final() || self.client.assignment_lost());
            if deadline.is_over() || gives_up {
                return Err(self.failure.take().map_or_else(
                    || ConnectorError::transient("the broker did not answer a commit in time"),
                    |failure| ConnectorError::new(kind_of(failure.code), failure.text),
                ));
            }
            let mut pause = deadline.remaining();
            if self.pending.is_empty() {
                if now >= send_at {
                    self.failure = None;
                    self.send();
                    send_at = now + RETRY_PAUSE;
                } else {
                    pause = pause.min(send_at.saturating_duration_since(now));
                }
            }
            thread::park_timeout(pause.min(SLEEP_MAX));
        }
    }

    fn is_clean(&self) -> bool {
        self.shared
            .assigned()
            .iter()
            .all(|partition| partition.to_commit().is_none())
    }

    fn take_result(&mut self, result: &CommitResult) {
        // If the request failed as a whole and no partition has an error of its own, no partition was committed.
        let names_partitions = result.partitions.iter().any(|(.., result)| result.is_err());
        for pending in std::mem::take(&mut self.pending) {
            let id = &pending.partition.id;
            let own = result
                .partitions
                .iter()
                .find(|(topic, number, _)| *number == id.partition && **topic == *id.topic)
                .map_or(result.whole, |(.., own)| *own);
            match (own, result.whole) {
                (Err(code), _) => self.note_failure(code, Some(&id.name)),
                (Ok(()), Err(code)) if !names_partitions => {
                    self.note_failure(code, Some(&id.name));
                }
                (Ok(()), _) => self.confirm(&pending),
            }
        }
    }

    fn confirm(&self, pending: &PendingCommit) {
        let PendingCommit {
            partition,
            epoch,
            offset,
        } = pending;
        // The partition ignores this if the epoch of the commit is over.
        partition.confirm(*epoch, *offset);
        let part = partition.id.name.as_str();
        self.shared
            .emit(&Event::committed(self.shared.producer, part, *offset));
    }

    fn note_failure(&mut self, code: RDKafkaErrorCode, part: Option<&str>) {
        let text = match part {
            Some(part) => format!("the commit of {part} failed: {code}"),
            None => format!("the commit failed: {code}"),
        };
        tracing::warn!(target: "broadway_kafka", error = text, "the commit is repeated while the partition is assigned");
        self.shared
            .emit(&Event::commit_failed(self.shared.producer, &text));
        self.failure = Some(CommitFailure { text, code });
    }
}
