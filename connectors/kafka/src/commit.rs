//! Commits: one in flight at a time, its result awaited on a queue of its own.
//!
//! A commit counts when the broker has confirmed it, not when it was sent: what failed is simply still to be committed, and
//! goes with the next one. Only partitions of the present assignment are committed, each at the end of what is settled
//! without a gap.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use broadway_core::{Deadline, telemetry::Event};
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer, error::RDKafkaErrorCode};

use crate::{
    client::Client,
    events::is_denial,
    ffi::{Bell, CommitResult, Queue, Signal},
    partition::Partition,
    shared::{SLEEP_MAX, Shared},
};

/// The pause before a commit that failed is tried again while somebody waits for it.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Commits {
    queue: Queue,
    client: Arc<Client>,
    shared: Arc<Shared>,
    pending: Vec<Pending>,
    error: Option<Failed>,
}

struct Failed {
    text: String,
    /// Trying again cannot help.
    is_final: bool,
}

struct Pending {
    partition: Arc<Partition>,
    epoch: u32,
    offset: i64,
}

impl Commits {
    pub(crate) fn new(client: &Arc<Client>, shared: Arc<Shared>) -> Option<Self> {
        let signal = Signal::new(Bell::Thread(thread::current()));
        let queue = Queue::of_results(client, signal)?;
        Some(Self {
            queue,
            client: client.clone(),
            shared,
            pending: Vec::new(),
            error: None,
        })
    }

    /// Sends what is to be committed, unless a commit is under way.
    pub(crate) fn send(&mut self) {
        if !self.pending.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for partition in self.shared.assigned() {
            let Some((epoch, offset)) = partition.to_commit() else {
                continue;
            };
            let origin = &partition.origin;
            if list
                .add_partition_offset(&origin.topic, origin.partition, Offset::Offset(offset))
                .is_ok()
            {
                self.pending.push(Pending {
                    partition,
                    epoch,
                    offset,
                });
            }
        }
        if self.pending.is_empty() {
            return;
        }
        // In the order of `pending`: that is the order in which they were added.
        for (element, pending) in list.elements().iter_mut().zip(&self.pending) {
            if let Some(marker) = pending.partition.marker() {
                element.set_metadata(marker.text());
            }
        }
        if let Err(code) = self.queue.commit(&list) {
            self.pending.clear();
            self.failed(code, None);
        }
    }

    /// Takes the results that have come.
    pub(crate) fn serve(&mut self) {
        while let Some(result) = self.queue.result() {
            self.take(&result);
        }
    }

    /// Commits all that is to be committed and waits for the broker to confirm it.
    pub(crate) fn flush(&mut self, deadline: Deadline) -> Result<(), String> {
        // A failure from before says nothing about now.
        self.error = None;
        let mut send_at = Instant::now();
        loop {
            let was_pending = !self.pending.is_empty();
            self.serve();
            let now = Instant::now();
            if self.pending.is_empty() {
                if self.is_clean() {
                    return Ok(());
                }
                if was_pending && self.error.is_some() {
                    send_at = now + RETRY_PAUSE;
                }
            }
            let gives_up = self.pending.is_empty()
                && self
                    .error
                    .as_ref()
                    .is_some_and(|error| error.is_final || self.client.assignment_lost());
            if deadline.is_over() || gives_up {
                let why = self.error.take().map(|error| error.text);
                return Err(
                    why.unwrap_or_else(|| "the broker did not answer a commit in time".to_owned())
                );
            }
            let mut pause = deadline.remaining();
            if self.pending.is_empty() {
                if now >= send_at {
                    self.error = None;
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

    fn take(&mut self, result: &CommitResult) {
        // Where the whole failed and no partition says why, none of them was committed.
        let spoke = result.partitions.iter().any(|(.., result)| result.is_err());
        for pending in std::mem::take(&mut self.pending) {
            let origin = &pending.partition.origin;
            let own = result
                .partitions
                .iter()
                .find(|(topic, number, _)| *number == origin.partition && **topic == *origin.topic)
                .map_or(result.whole, |(.., own)| *own);
            match (own, result.whole) {
                (Err(code), _) => self.failed(code, Some(&origin.name)),
                (Ok(()), Err(code)) if !spoke => self.failed(code, Some(&origin.name)),
                (Ok(()), _) => self.confirmed(&pending),
            }
        }
    }

    fn confirmed(&self, pending: &Pending) {
        let Pending {
            partition,
            epoch,
            offset,
        } = pending;
        partition.confirm(*epoch, *offset);
        let part = partition.origin.name.as_str();
        self.shared.emit(&Event::Committed {
            producer: self.shared.producer,
            part,
            position: *offset,
        });
    }

    fn failed(&mut self, code: RDKafkaErrorCode, part: Option<&str>) {
        let error = match part {
            Some(part) => format!("the commit of {part} failed: {code}"),
            None => format!("the commit failed: {code}"),
        };
        tracing::warn!(target: "broadway_kafka", error, "it is tried again while the partition is ours");
        self.shared.emit(&Event::CommitFailed {
            producer: self.shared.producer,
            error: &error,
        });
        self.error = Some(Failed {
            text: error,
            is_final: is_final(code),
        });
    }
}

/// Whether this member may not commit any more, now or ever. A generation that is over says no such thing: the group may have
/// just moved on, with this member in it, and the next commit carries the new one.
fn is_final(code: RDKafkaErrorCode) -> bool {
    is_denial(code)
        || matches!(
            code,
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::FencedMemberEpoch
                | RDKafkaErrorCode::AssignmentLost
        )
}
