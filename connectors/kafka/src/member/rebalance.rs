//! Partitions come and go.
//!
//! - *Assigned*: find the position, cut the partition's queue off from the main one, answer, read.
//! - *Revoked*: stop reading, let the engine release what lies beyond the last message that it has begun, wait for all up to
//!   that one, commit, answer. The group waits for the answer, so the wait has a deadline; what is left then is repeated by the
//!   next owner.
//! - *Lost* (the group threw this member out): nothing to wait for, and a commit could overwrite somebody else's.

use std::sync::Arc;

use broadway_core::{Deadline, telemetry::Event};
use rdkafka::TopicPartitionList;

use super::{COMMIT_WAIT, Member, restart::Restarting};
use crate::{
    begin,
    events::{Rebalance, give_up, take_up},
    ffi::{Bell, Queue, Signal},
    partition::{Partition, Rest},
};

/// A revocation that waits for messages in flight.
pub(super) struct Revoking {
    pub(super) list: TopicPartitionList,
    pub(super) deadline: Deadline,
    partitions: Vec<Arc<Partition>>,
    lost: bool,
}

impl Revoking {
    pub(super) fn includes(&self, partition: &Arc<Partition>) -> bool {
        self.partitions
            .iter()
            .any(|revoked| Arc::ptr_eq(revoked, partition))
    }
}

impl Member {
    pub(super) fn serve_rebalances(&mut self) {
        loop {
            if self
                .revoking
                .as_ref()
                .is_some_and(|revoking| !self.is_drained(revoking))
            {
                return;
            }
            if let Some(revoking) = self.revoking.take() {
                self.finish_revoke(&revoking);
            }
            match self.mailbox.next_rebalance() {
                Some(Rebalance::Assign(list)) => self.assign(list),
                Some(Rebalance::Revoke(list)) => self.begin_revoke(list),
                None => return,
            }
        }
    }

    fn assign(&mut self, mut list: TopicPartitionList) {
        let outcome = self.try_assign(&mut list);
        if let Err(error) = outcome {
            self.shared.fail(error);
            // The group wants an answer all the same, or leaving it would hang. Nothing is read of these.
            if let Err(error) = take_up(&self.client, &list) {
                self.shared
                    .trouble(&format!("an assignment could not be answered: {error}"));
            }
            return;
        }
        self.opened(Ok(()));
    }

    fn try_assign(&mut self, list: &mut TopicPartitionList) -> Result<(), String> {
        let found = begin::find(&self.client, &self.source, &mut self.known, list)?;
        let mut opening = Vec::with_capacity(found.len());
        for (element, found) in list.elements().iter().zip(found) {
            let partition = self.shared.partition(element.topic(), element.partition());
            let signal = Signal::new(Bell::Producer(self.shared.bell.clone()));
            let queue = Queue::of_partition(&self.client, &partition.origin, signal.clone())
                .ok_or_else(|| {
                    format!(
                        "the Kafka client has no queue for {}",
                        partition.origin.name
                    )
                })?;
            opening.push((partition, queue, signal, found));
        }
        take_up(&self.client, list)
            .map_err(|error| format!("an assignment was not accepted: {error}"))?;
        let mut commit = false;
        for (partition, queue, signal, found) in opening {
            let start = found.start;
            partition.open(queue, signal, start);
            commit |= start.commit;
            let part = partition.origin.name.as_str();
            tracing::debug!(target: "broadway_kafka", part, position = start.position, "assigned");
            self.shared.emit(&Event::Assigned {
                producer: self.shared.producer,
                part,
                position: start.position,
            });
            if found.moved.is_some() {
                self.identities.begins(&partition);
            }
            self.tell_found(&partition, &found);
        }
        let n = self.shared.assigned().len();
        if n > self.known.partitions {
            tracing::warn!(
                target: "broadway_kafka", partitions = n, when_opened = self.known.partitions,
                "there are more partitions than when the source was opened: until it is opened again its client may hold more \
                 than `prefetch_bytes_max`"
            );
        }
        self.identities.look_now();
        self.shared.assignment_changed();
        if commit {
            // If it fails, that has been told, and it goes with the next one.
            let _ = self.commits.flush(Deadline::after(COMMIT_WAIT));
        }
        Ok(())
    }

    fn begin_revoke(&mut self, list: TopicPartitionList) {
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
        let is_here = |known: &Restarting| {
            partitions
                .iter()
                .any(|one| Arc::ptr_eq(one, &known.partition))
        };
        self.restarting.retain(|known| !is_here(known));
        let deadline = Deadline::after(self.source.revoke_timeout);
        self.revoking = Some(Revoking {
            list,
            deadline,
            partitions,
            lost,
        });
    }

    fn is_drained(&self, revoking: &Revoking) -> bool {
        revoking.lost
            || revoking.deadline.is_over()
            || revoking
                .partitions
                .iter()
                .all(|partition| partition.is_drained())
            || self.assignment_is_lost()
    }

    fn finish_revoke(&mut self, revoking: &Revoking) {
        let lost = revoking.lost || self.assignment_is_lost();
        if !lost {
            let _ = self.commits.flush(Deadline::after(COMMIT_WAIT));
        }
        for partition in &revoking.partitions {
            let is_committed = partition.to_commit().is_none();
            let Rest { in_flight, repeats } = partition.release();
            let part = partition.origin.name.as_str();
            let settled = in_flight == 0 && repeats == 0 && is_committed;
            if !settled {
                tracing::warn!(
                    target: "broadway_kafka", part, in_flight, repeats, lost, timeout = ?self.source.revoke_timeout,
                    "a partition was given up with work that is not committed: its next owner repeats it"
                );
            }
            self.shared.emit(&Event::Revoked {
                producer: self.shared.producer,
                part,
                settled,
                repeats,
            });
        }
        if let Err(error) = give_up(&self.client, &revoking.list) {
            self.shared
                .trouble(&format!("a revocation could not be answered: {error}"));
        }
        self.shared.assignment_changed();
    }
}
