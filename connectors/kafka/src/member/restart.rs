//! Restarts a partition that stays assigned: its position no longer exists at the broker, its topic was recreated, or an operator resumes
//! it after it has halted. As at a revocation, messages in flight may end first, and settled offsets are committed.

use std::sync::Arc;

use broadway_core::{Deadline, connector::ConnectorError, telemetry::Event};
use rdkafka::{Offset, TopicPartitionList};

use super::{COMMIT_WAIT, Member};
use crate::{
    assignment,
    error::kind_of_error,
    ffi::PartitionId,
    partition::{Partition, ReleasedWork},
    shared::RestartCause,
    start_offsets::{self, FoundStart},
};

/// A partition that waits for its messages in flight before it restarts.
pub(super) struct PendingRestart {
    pub(super) partition: Arc<Partition>,
    cause: RestartCause,
    pub(super) deadline: Deadline,
}

impl Member {
    pub(super) fn serve_restarts(&mut self) {
        for (partition, cause) in self.shared.take_restarts() {
            self.begin_restart(partition, cause);
        }
        // A restart replaces assignments in the client, which must not happen in the middle of a revocation. Revoked partitions are no
        // longer in this list; the others wait.
        if self.revocation.is_some() {
            return;
        }
        let (due, rest): (Vec<_>, Vec<_>) =
            self.restarts.drain(..).partition(PendingRestart::is_due);
        self.restarts = rest;
        for restart in due {
            if let Err(error) = self.finish_restart(&restart) {
                self.shared.fail(error);
            }
        }
    }

    fn begin_restart(&mut self, partition: Arc<Partition>, cause: RestartCause) {
        let is_known = |known: &PendingRestart| Arc::ptr_eq(&known.partition, &partition);
        let is_leaving = self
            .revocation
            .as_ref()
            .is_some_and(|revocation| revocation.includes(&partition));
        if is_leaving || !partition.is_assigned() || self.restarts.iter().any(is_known) {
            return;
        }
        let deadline = match cause {
            // Delivered messages of a deleted log cannot be read again, so all of them are handled, however long that takes.
            RestartCause::PositionGone | RestartCause::TopicRecreated => {
                partition.drain();
                Deadline::never()
            }
            RestartCause::Resumed => {
                self.drain_partitions(std::slice::from_ref(&partition));
                Deadline::after(self.source.revoke_timeout)
            }
        };
        self.restarts.push(PendingRestart {
            partition,
            cause,
            deadline,
        });
    }

    fn finish_restart(&mut self, restart: &PendingRestart) -> Result<(), ConnectorError> {
        let PendingRestart {
            partition, cause, ..
        } = restart;
        // Before the position is read: settled offsets are committed in the epoch that delivered them.
        let _ = self.committer.flush(Deadline::after(COMMIT_WAIT));
        let (position, metadata) = (partition.position(), partition.metadata());
        let id = &partition.id;
        let mut found =
            start_offsets::find_restart(&self.client, &self.source, id, position, *cause)?;
        found.start.metadata = metadata;
        let ReleasedWork { in_flight, repeats } = partition.release();
        let part = id.name.as_str();
        tracing::info!(target: "broadway_kafka", part, ?cause, in_flight, repeats, "a partition restarts");
        let queue = self.partition_queue(partition)?;
        if !found.halts {
            self.restart_client_at(partition, found.start.position)?;
        }
        partition.open(queue, found.start);
        if found.moved.is_some() {
            self.topic_ids.starts_at_oldest(partition);
        }
        self.report_start(partition, &found);
        if let (RestartCause::Resumed, Some(position)) = (cause, found.start.position) {
            self.shared
                .emit(&Event::unhalted(self.shared.producer, part, position));
        }
        self.shared.assignment_changed();
        Ok(())
    }

    /// Makes the client read `partition` from `position` on, and all others from where they are.
    fn restart_client_at(
        &self,
        partition: &Partition,
        position: Option<i64>,
    ) -> Result<(), ConnectorError> {
        let assigned = self.shared.assigned();
        let (mut one, mut others) = (TopicPartitionList::new(), TopicPartitionList::new());
        let add = |list: &mut TopicPartitionList, of: &Partition, next: Option<i64>| {
            let offset = next.map_or(Offset::Beginning, Offset::Offset);
            list.add_partition_offset(&of.id.topic, of.id.partition, offset)
        };
        let mut added = add(&mut one, partition, position);
        // An eager protocol restarts the other partitions, too. They are not read until that is done: a message that was read after its
        // partition's next offset was taken would be delivered twice.
        let mut pauses = Vec::with_capacity(assigned.len());
        for other in &assigned {
            if other.id.name != partition.id.name {
                let pause = other.pause_reading();
                added = added.and(add(&mut others, other, pause.next));
                pauses.push(pause);
            }
        }
        added
            .and_then(|()| assignment::restart(&self.client, &one, &others))
            .map_err(|error| {
                let text = format!("cannot restart {}: {error}", partition.id.name);
                ConnectorError::new(kind_of_error(&error), text)
            })
    }

    /// Reports where a partition starts, if it is not where it stopped, and halts it if needed.
    pub(super) fn report_start(&self, partition: &Arc<Partition>, found: &FoundStart) {
        let (producer, part) = (self.shared.producer, partition.id.name.as_str());
        if let Some((from, to)) = found.lost {
            self.shared.emit(&Event::lost(producer, part, from..to));
            tracing::error!(
                target: "broadway_kafka", part, from, to,
                "messages were deleted before the group had read them: retention is too short, or the group too slow"
            );
        }
        if let (Some(reason), Some(position)) = (found.moved, found.start.position) {
            self.shared
                .emit(&Event::repositioned(producer, part, position, reason));
            tracing::warn!(target: "broadway_kafka", part, position, reason, "reading starts at the oldest message");
        }
        if found.halts
            && let Some((position, to)) = found.lost
        {
            partition.halt();
            let PartitionId {
                topic, partition, ..
            } = &*partition.id;
            let reason = format!(
                "the messages before offset {to} were deleted before they were read; `KafkaControl::resume({topic:?}, {partition})` accepts \
                 the loss and continues from there; without `on_lost(OnLost::Halt)` the source continues automatically"
            );
            self.shared.report_halt(part, position, &reason);
        }
    }
}

impl PendingRestart {
    fn is_due(&self) -> bool {
        self.deadline.is_over()
            || match self.cause {
                RestartCause::PositionGone | RestartCause::TopicRecreated => {
                    self.partition.is_idle()
                }
                RestartCause::Resumed => self.partition.is_drained(),
            }
    }
}
