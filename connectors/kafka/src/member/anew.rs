//! Watches for topics that were deleted and made again under their names. Reading would go on at the old position, beyond which
//! the new topic may have messages already, and what lies before it would be skipped.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    thread,
    time::Duration,
};

use broadway_core::Deadline;

use crate::{
    client::Client,
    ffi::{Bell, Signal, TopicIds},
    partition::Partition,
    shared::{Cause, Shared},
};

/// How often the ids of the assigned topics are looked at, besides when a partition brings an error.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Identities {
    ids: TopicIds,
    known: HashMap<String, u128>,
    /// Partitions that begin at their start since the last answer: they need not do so again.
    begun: HashSet<String>,
    look_at: Deadline,
}

impl Identities {
    pub(super) fn new(client: &Arc<Client>) -> Option<Self> {
        let signal = Signal::new(Bell::Thread(thread::current()));
        Some(Self {
            ids: TopicIds::new(client, signal)?,
            known: HashMap::new(),
            begun: HashSet::new(),
            look_at: Deadline::never(),
        })
    }

    /// This partition begins at its start now.
    pub(super) fn begins(&mut self, partition: &Partition) {
        self.begun.insert(partition.origin.name.clone());
    }

    /// Looks as soon as the thread comes round: partitions came, or one of them has an error.
    pub(super) fn look_now(&mut self) {
        self.look_at = Deadline::after(Duration::ZERO);
    }

    pub(super) const fn look_at(&self) -> Deadline {
        self.look_at
    }

    /// Takes answers, and asks when it is time.
    pub(super) fn serve(&mut self, shared: &Shared) {
        while let Some(answer) = self.ids.answer() {
            for (topic, id) in answer {
                self.learn(topic, id, shared);
            }
            self.begun.clear();
        }
        if !self.look_at.is_over() {
            return;
        }
        self.look_at = Deadline::after(LOOK_EVERY);
        let assigned = shared.assigned();
        let mut topics: Vec<&str> = assigned
            .iter()
            .map(|partition| &*partition.origin.topic)
            .collect();
        topics.sort_unstable();
        topics.dedup();
        if !topics.is_empty() {
            self.ids.ask(&topics);
        }
    }

    fn learn(&mut self, topic: String, id: u128, shared: &Shared) {
        let before = self.known.get(&topic).copied();
        // Old brokers have no ids: all are zero there.
        if before.is_some_and(|before| before != id && before != 0) {
            let of_topic = shared.assigned().into_iter();
            for partition in of_topic.filter(|partition| *partition.origin.topic == *topic) {
                if !self.begun.contains(&partition.origin.name) {
                    shared.restart(partition, Cause::MadeAnew);
                }
            }
        }
        self.known.insert(topic, id);
    }
}
