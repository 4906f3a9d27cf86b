//! How far partitions are behind. The broker is asked for the ends of all of them: what the client has last heard of a partition is
//! as old as its last fetch, and a partition that is halted, or whose queue is full, is not fetched.

use std::{
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::{Deadline, telemetry::Event};

use crate::{
    client::Client,
    ffi::{self, Bell, End, EndOffsets, Signal},
    partition::Partition,
    shared::Shared,
};

/// How long the broker may take to answer, at least and at most; between the two, the interval.
const ANSWER_WITHIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// The client ends a question itself when its time is over; this much later it is taken to have none.
const MARGIN: Duration = Duration::from_secs(1);

pub(super) struct LagWatch {
    client: Arc<Client>,
    shared: Arc<Shared>,
    interval: Duration,
    at: Deadline,
    asked: Option<Asked>,
}

/// A question that is not answered yet. With it go its queues, so no answer is taken for that to a later one.
struct Asked {
    until: Deadline,
    partitions: Vec<Arc<Partition>>,
    ends: [(EndOffsets, Option<Offsets>); 2],
}

/// Offsets by topic and partition.
type Offsets = HashMap<(String, i32), i64>;

impl LagWatch {
    pub(super) fn new(client: &Arc<Client>, shared: &Arc<Shared>, interval: Duration) -> Self {
        Self {
            client: Arc::clone(client),
            shared: Arc::clone(shared),
            interval,
            at: Deadline::after(interval),
            asked: None,
        }
    }

    /// When it wants to be served at the latest.
    pub(super) fn wake_at(&self) -> Deadline {
        self.asked.as_ref().map_or(self.at, |asked| asked.until)
    }

    /// Takes answers, tells what follows from them, and asks when it is time.
    pub(super) fn serve(&mut self) {
        if let Some(asked) = &mut self.asked
            && asked.is_over()
            && let Some(asked) = self.asked.take()
        {
            self.tell(&asked);
        }
        if self.asked.is_none() && self.at.is_over() {
            self.at = Deadline::after(self.interval);
            if self.shared.emitter.is_heard() {
                self.asked = self.ask();
            }
        }
    }

    fn ask(&self) -> Option<Asked> {
        let partitions = self.shared.assigned();
        if partitions.is_empty() {
            return None;
        }
        let timeout = self.interval.clamp(ANSWER_WITHIN.0, ANSWER_WITHIN.1);
        let question = |end| {
            let signal = Signal::new(Bell::Thread(thread::current()));
            let ends = EndOffsets::new(&self.client, signal, end)?;
            let names = partitions
                .iter()
                .map(|partition| (&*partition.origin.topic, partition.origin.partition));
            ends.ask(names, timeout);
            Some((ends, None))
        };
        Some(Asked {
            ends: [question(End::First)?, question(End::Last)?],
            until: Deadline::after(timeout + MARGIN),
            partitions,
        })
    }

    fn tell(&self, asked: &Asked) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let assigned = asked.partitions.iter();
        for partition in assigned.filter(|partition| partition.is_assigned()) {
            partition.catch_up();
            // The position first: what is settled after that counts as lag, rather than what is not settled as none.
            let position = partition.position();
            let oldest_ms = partition.oldest_ms();
            let messages = asked.ends_of(&self.client, partition).map(|(low, high)| {
                let position = position.unwrap_or(low).max(low);
                u64::try_from(high - position).unwrap_or(0)
            });
            let oldest = oldest_ms.filter(|_| messages != Some(0)).map(|ms| {
                let age = u64::try_from(now_ms.saturating_sub(ms)).unwrap_or(0);
                Duration::from_millis(age)
            });
            self.shared.emit(&Event::lag(
                self.shared.producer,
                partition.origin.name.as_str(),
                messages,
                oldest,
            ));
        }
    }
}

impl Asked {
    /// Whether both answers are there, or no longer waited for.
    fn is_over(&mut self) -> bool {
        for (ends, answer) in &mut self.ends {
            if answer.is_none() {
                *answer = ends.answer().map(|found| {
                    let each = found.into_iter();
                    each.map(|(topic, partition, offset)| ((topic, partition), offset))
                        .collect()
                });
            }
        }
        self.ends.iter().all(|(_, answer)| answer.is_some()) || self.until.is_over()
    }

    /// The first and the last offset + 1 of a partition, as of now.
    fn ends_of(&self, client: &Client, partition: &Partition) -> Option<(i64, i64)> {
        let origin = &partition.origin;
        let name = (origin.topic.to_string(), origin.partition);
        let told = |index: usize| self.ends[index].1.as_ref()?.get(&name).copied();
        let (low, high) = (told(0)?, told(1)?);
        // A fetch since then may have told more.
        let fetched = ffi::watermarks(client, origin).unwrap_or((low, high));
        Some((low.max(fetched.0), high.max(fetched.1)))
    }
}
