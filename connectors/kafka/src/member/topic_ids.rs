//! Detects topics that were deleted and recreated under the same name. Without it, reading would continue at the old position, and
//! messages of the new topic below that position would be skipped.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    thread,
    time::Duration,
};

use broadway_core::Deadline;

use crate::{
    client::MemberClient,
    ffi::{QueueSignal, TopicIds, WakeTarget},
    partition::Partition,
    shared::{RestartCause, SharedMember},
};

/// How often the IDs of the assigned topics are requested. They are also requested when a partition reports an error.
const REQUEST_EVERY: Duration = Duration::from_secs(5);

pub(super) struct TopicIdWatch {
    ids: TopicIds,
    known: HashMap<String, u128>,
    /// Partitions that started at their oldest message since the last answer: they need not restart there.
    at_oldest: HashSet<String>,
    request_at: Deadline,
}

impl TopicIdWatch {
    pub(super) fn new(client: &Arc<MemberClient>) -> Option<Self> {
        let signal = QueueSignal::new(WakeTarget::Thread(thread::current()));
        Some(Self {
            ids: TopicIds::new(client, signal)?,
            known: HashMap::new(),
            at_oldest: HashSet::new(),
            request_at: Deadline::never(),
        })
    }

    /// Records that this partition starts at its oldest message now.
    pub(super) fn starts_at_oldest(&mut self, partition: &Partition) {
        self.at_oldest.insert(partition.id.name.clone());
    }

    /// Requests the IDs at the next turn of the thread, because partitions came, or one of them has an error.
    pub(super) fn request_now(&mut self) {
        self.request_at = Deadline::after(Duration::ZERO);
    }

    pub(super) const fn wake_at(&self) -> Deadline {
        self.request_at
    }

    /// Takes answers, and sends a request when one is due.
    pub(super) fn serve(&mut self, shared: &SharedMember) {
        while let Some(answer) = self.ids.answer() {
            for (topic, id) in answer {
                self.compare(topic, id, shared);
            }
            self.at_oldest.clear();
        }
        if !self.request_at.is_over() {
            return;
        }
        self.request_at = Deadline::after(REQUEST_EVERY);
        let assigned = shared.assigned();
        let mut topics: Vec<&str> = assigned
            .iter()
            .map(|partition| &*partition.id.topic)
            .collect();
        topics.sort_unstable();
        topics.dedup();
        if !topics.is_empty() {
            self.ids.request(&topics);
        }
    }

    fn compare(&mut self, topic: String, id: u128, shared: &SharedMember) {
        let before = self.known.get(&topic).copied();
        // Old brokers have no topic IDs: all are zero.
        if before.is_some_and(|before| before != id && before != 0) {
            let of_topic = shared.assigned().into_iter();
            for partition in of_topic.filter(|partition| *partition.id.topic == *topic) {
                if !self.at_oldest.contains(&partition.id.name) {
                    shared.restart(partition, RestartCause::TopicRecreated);
                }
            }
        }
        self.known.insert(topic, id);
    }
}
