//! Answers the group's rebalances.
//!
//! - *Assigned*: find the offset, separate the partition's queue from the main one, answer, read.
//! - *Revoked*: stop reading, let the engine release the messages after the last one that was begun, wait for all up to that one, commit,
//!   answer. The group waits for the answer, so the wait has a deadline; the next owner repeats the rest.
//! - *Lost* (the group has removed this member): wait for nothing, and do not commit, because a commit could overwrite the one of the new
//!   owner.

use std::sync::Arc;

use broadway_core::{
    Deadline,
    connector::{ConnectorError, ConnectorErrorKind},
    telemetry::Event,
};
use rdkafka::TopicPartitionList;

use super::{COMMIT_WAIT, Member, restart::PendingRestart};
use crate::{
    assignment::{assign, unassign},
    client_events::Rebalance,
    error::kind_of_error,
    ffi::{MessageQueue, QueueSignal, WakeTarget},
    partition::{Partition, ReleasedWork},
    start_offsets,
};

/// A revocation that waits for messages in flight.
pub(super) struct PendingRevocation {
    pub(super) list: TopicPartitionList,
    pub(super) deadline: Deadline,
    partitions: Vec<Arc<Partition>>,
    lost: bool,
}

impl PendingRevocation {
    pub(super) fn includes(&self, partition: &Arc<Partition>) -> bool {
        self.partitions
            .iter()
            .any(|revoked| Arc::ptr_eq(revoked, partition))
    }
}

impl Member {
    /// Handles queued rebalances in their order. One that waits for messages in flight holds up those behind it.
    pub(super) fn serve_rebalances(&mut self) {
        loop {
            if self
                .revocation
                .as_ref()
                .is_some_and(|revocation| !self.is_drained(revocation))
            {
                return;
            }
            if let Some(revocation) = self.revocation.take() {
                self.finish_revocation(&revocation);
            }
            match self.events.next_rebalance() {
                Some(Rebalance::Assign(list)) => self.assign(list),
                Some(Rebalance::Revoke(list)) => self.begin_revocation(list),
                None => return,
            }
        }
    }

    fn assign(&mut self, mut list: TopicPartitionList) {
        let outcome = self.try_assign(&mut list);
        if let Err(error) = outcome {
            self.shared.fail(error);
            // The group needs an answer all the same, or leaving it would hang. These partitions are not read.
            if let Err(error) = assign(&self.client, &list) {
                self.shared
                    .report_error(&format!("cannot answer an assignment: {error}"));
            }
            return;
        }
        self.answer_open(Ok(()));
    }

    fn try_assign(&mut self, list: &mut TopicPartitionList) -> Result<(), ConnectorError> {
        let found = start_offsets::find(&self.client, &self.source, &mut self.known, list)?;
        // All queues are separated from the main queue before the assignment is answered: from then on messages arrive.
        let mut opening = Vec::with_capacity(found.len());
        for (element, found) in list.elements().iter().zip(found) {
            let partition = self.shared.partition(element.topic(), element.partition());
            let queue = self.partition_queue(&partition)?;
            opening.push((partition, queue, found));
        }
        assign(&self.client, list).map_err(|error| {
            let text = format!("the Kafka client does not accept an assignment: {error}");
            ConnectorError::new(kind_of_error(&error), text)
        })?;
        let mut commit = false;
        for (partition, queue, found) in opening {
            let start = found.start;
            partition.open(queue, start);
            commit |= start.commit;
            let part = partition.id.name.as_str();
            tracing::debug!(target: "broadway_kafka", part, position = start.position, "assigned");
            self.shared
                .emit(&Event::assigned(self.shared.producer, part, start.position));
            if found.moved.is_some() {
                self.topic_ids.starts_at_oldest(&partition);
            }
            self.report_start(&partition, &found);
        }
        let n = self.shared.assigned().len();
        if n > self.known.partitions {
            tracing::warn!(
                target: "broadway_kafka", partitions = n, when_opened = self.known.partitions,
                "there are more partitions than when the source was opened: until it is opened again, its client may hold more \
                 than `prefetch_bytes_max`"
            );
        }
        self.topic_ids.request_now();
        self.shared.assignment_changed();
        if commit {
            // A failure was reported already, and the offsets are part of the next commit.
            let _ = self.committer.flush(Deadline::after(COMMIT_WAIT));
        }
        Ok(())
    }

    /// A queue for a partition that is about to be assigned. It wakes the producer.
    pub(super) fn partition_queue(
        &self,
        partition: &Partition,
    ) -> Result<MessageQueue, ConnectorError> {
        let wake = WakeTarget::Producer(self.shared.producer_wake.clone());
        let signal = QueueSignal::new(wake);
        MessageQueue::new(&self.client, &partition.id, signal, self.read_ahead).ok_or_else(|| {
            let text = format!("the Kafka client has no queue for {}", partition.id.name);
            ConnectorError::new(ConnectorErrorKind::Transient, text)
        })
    }

    fn begin_revocation(&mut self, list: TopicPartitionList) {
        let lost = self.assignment_is_lost();
        let partitions: Vec<_> = list
            .elements()
            .iter()
            .map(|element| self.shared.partition(element.topic(), element.partition()))
            .filter(|partition| partition.is_assigned())
            .collect();
        if !partitions.is_empty() {
            self.drain_partitions(&partitions);
        }
        // A partition that is taken away must not restart afterwards: it would be read without being assigned.
        let is_revoked = |pending: &PendingRestart| {
            partitions
                .iter()
                .any(|revoked| Arc::ptr_eq(revoked, &pending.partition))
        };
        self.restarts.retain(|pending| !is_revoked(pending));
        let deadline = Deadline::after(self.source.revoke_timeout);
        self.revocation = Some(PendingRevocation {
            list,
            deadline,
            partitions,
            lost,
        });
    }

    fn is_drained(&self, revocation: &PendingRevocation) -> bool {
        revocation.lost
            || revocation.deadline.is_over()
            || revocation
                .partitions
                .iter()
                .all(|partition| partition.is_drained())
            || self.assignment_is_lost()
    }

    fn finish_revocation(&mut self, revocation: &PendingRevocation) {
        // Commit, then end the epochs, then answer: after the answer the next owner reads from the committed offset, and a result that comes
        // after the end of its epoch is not counted as committed.
        let lost = revocation.lost || self.assignment_is_lost();
        if !lost {
            let _ = self.committer.flush(Deadline::after(COMMIT_WAIT));
        }
        for partition in &revocation.partitions {
            let is_committed = partition.to_commit().is_none();
            let ReleasedWork { in_flight, repeats } = partition.release();
            let part = partition.id.name.as_str();
            let settled = in_flight == 0 && repeats == 0 && is_committed;
            if !settled {
                tracing::warn!(
                    target: "broadway_kafka", part, in_flight, repeats, lost, timeout = ?self.source.revoke_timeout,
                    "a partition was given up with uncommitted work, which its next owner repeats"
                );
            }
            self.shared.emit(&Event::revoked(
                self.shared.producer,
                part,
                (!settled).then_some(repeats),
            ));
        }
        if let Err(error) = unassign(&self.client, &revocation.list) {
            self.shared
                .report_error(&format!("cannot answer a revocation: {error}"));
        }
        self.shared.assignment_changed();
    }
}
