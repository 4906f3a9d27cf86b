//! A partition begins anew while it stays assigned: its position is gone at the broker, or an operator resumes it after it has
//! halted. As at a move, what is in flight may end first, and what is done is committed.

use std::sync::Arc;

use broadway_core::{Deadline, telemetry::Event};
use rdkafka::{Offset, TopicPartitionList};

use super::{COMMIT_WAIT, Member};
use crate::{
    begin::{self, Found},
    events::begin_anew,
    ffi::{Bell, Queue, Signal},
    partition::{Origin, Partition, Rest},
    shared::Cause,
};

/// A partition that waits for its messages in flight, to begin anew then.
pub(super) struct Restarting {
    pub(super) partition: Arc<Partition>,
    cause: Cause,
    pub(super) deadline: Deadline,
}

impl Member {
    pub(super) fn serve_restarts(&mut self) {
        for (partition, cause) in self.shared.take_restarts() {
            self.begin_restart(partition, cause);
        }
        if self.revoking.is_some() {
            return; // What is being taken away is no longer in this list; the rest waits its turn.
        }
        let (due, rest): (Vec<_>, Vec<_>) = self.restarting.drain(..).partition(Restarting::is_due);
        self.restarting = rest;
        for restarting in due {
            if let Err(error) = self.finish_restart(&restarting) {
                self.shared.fail(error);
            }
        }
    }

    fn begin_restart(&mut self, partition: Arc<Partition>, cause: Cause) {
        let is_known = |known: &Restarting| Arc::ptr_eq(&known.partition, &partition);
        let is_leaving = self
            .revoking
            .as_ref()
            .is_some_and(|revoking| revoking.includes(&partition));
        if is_leaving || !partition.is_assigned() || self.restarting.iter().any(is_known) {
            return;
        }
        let deadline = match cause {
            // What was read of a log that is gone can not be read again: all of it is handled.
            Cause::Gone | Cause::MadeAnew => {
                partition.drain();
                Deadline::never()
            }
            Cause::Resumed => {
                self.drain_partitions(std::slice::from_ref(&partition));
                Deadline::after(self.source.revoke_timeout)
            }
        };
        self.restarting.push(Restarting {
            partition,
            cause,
            deadline,
        });
    }

    fn finish_restart(&mut self, restarting: &Restarting) -> Result<(), String> {
        let Restarting {
            partition, cause, ..
        } = restarting;
        let _ = self.commits.flush(Deadline::after(COMMIT_WAIT));
        let (position, marker) = (partition.position(), partition.marker());
        let origin = &partition.origin;
        let mut found = begin::again(&self.client, &self.source, origin, position, *cause)?;
        found.start.marker = marker;
        let Rest { in_flight, repeats } = partition.release();
        let part = origin.name.as_str();
        tracing::info!(target: "broadway_kafka", part, ?cause, in_flight, repeats, "a partition begins anew");
        let signal = Signal::new(Bell::Producer(self.shared.bell.clone()));
        let queue = Queue::of_partition(&self.client, origin, signal.clone())
            .ok_or_else(|| format!("the Kafka client has no queue for {part}"))?;
        if !found.halts {
            self.move_to(partition, found.start.position)?;
        }
        partition.open(queue, signal, found.start);
        if found.moved.is_some() {
            self.identities.begins(partition);
        }
        self.tell_found(partition, &found);
        if let (Cause::Resumed, Some(position)) = (cause, found.start.position) {
            self.shared.emit(&Event::Unhalted {
                producer: self.shared.producer,
                part,
                position,
            });
        }
        self.shared.assignment_changed();
        Ok(())
    }

    /// Makes the client read `partition` from `position` on, and all others from where they are.
    fn move_to(&self, partition: &Partition, position: Option<i64>) -> Result<(), String> {
        let assigned = self.shared.assigned();
        let (mut one, mut others) = (TopicPartitionList::new(), TopicPartitionList::new());
        let add = |list: &mut TopicPartitionList, of: &Partition, next: Option<i64>| {
            let offset = next.map_or(Offset::Beginning, Offset::Offset);
            list.add_partition_offset(&of.origin.topic, of.origin.partition, offset)
        };
        let mut added = add(&mut one, partition, position);
        let mut holds = Vec::with_capacity(assigned.len());
        for other in &assigned {
            if other.origin.name != partition.origin.name {
                let hold = other.hold();
                added = added.and(add(&mut others, other, hold.next));
                holds.push(hold);
            }
        }
        added
            .and_then(|()| begin_anew(&self.client, &one, &others))
            .map_err(|error| format!("{} cannot begin anew: {error}", partition.origin.name))
    }

    /// Tells how a partition begins, where that is not as it was left, and halts it if it has to.
    pub(super) fn tell_found(&self, partition: &Arc<Partition>, found: &Found) {
        let (producer, part) = (self.shared.producer, partition.origin.name.as_str());
        if let Some((from, to)) = found.lost {
            self.shared.emit(&Event::Lost {
                producer,
                part,
                from,
                to,
            });
            tracing::error!(
                target: "broadway_kafka", part, from, to,
                "messages were deleted before the group had read them: retention is too short, or the group too slow"
            );
        }
        if let (Some(reason), Some(position)) = (found.moved, found.start.position) {
            self.shared.emit(&Event::Repositioned {
                producer,
                part,
                position,
                reason,
            });
            tracing::warn!(target: "broadway_kafka", part, position, reason, "reading begins at the oldest message");
        }
        if found.halts
            && let Some((position, to)) = found.lost
        {
            partition.halt();
            let Origin {
                topic, partition, ..
            } = &*partition.origin;
            let reason = format!(
                "the messages before offset {to} were deleted before they were read; `KafkaControl::resume({topic:?}, {partition})` accepts \
                 that and reads on from there; without `on_lost(OnLost::Halt)` the source does so by itself"
            );
            self.shared.tell_halt(part, position, &reason);
        }
    }
}

impl Restarting {
    fn is_due(&self) -> bool {
        self.deadline.is_over()
            || match self.cause {
                Cause::Gone | Cause::MadeAnew => self.partition.is_idle(),
                Cause::Resumed => self.partition.is_drained(),
            }
    }
}
