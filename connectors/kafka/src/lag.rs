//! How far partitions are behind: [`LagWatch`]. The broker is asked for the ends of all partitions, because the ends that the client knows
//! are as old as its last fetch, and it does not fetch a partition that is halted or whose queue is full.

use std::{
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::{Deadline, telemetry::Event};

use crate::{
    client::MemberClient,
    ffi::{self, LogEnd, LogEndOffsets, QueueSignal, WakeTarget},
    partition::Partition,
    shared::SharedMember,
};

/// The bounds of the time that the broker has to answer; between them it is the interval.
const ANSWER_WITHIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// The client ends a request at its timeout. After this margin it is considered unanswered.
const MARGIN: Duration = Duration::from_secs(1);

/// Reports the lag of each partition at an interval. Served by the member's thread, and never blocks it.
pub(crate) struct LagWatch {
    client: Arc<MemberClient>,
    shared: Arc<SharedMember>,
    interval: Duration,
    due: Deadline,
    request: Option<LagRequest>,
}

/// A request that is not answered yet. It owns its queues, so a late answer is dropped with it and never taken for the answer to a later
/// request.
struct LagRequest {
    until: Deadline,
    partitions: Vec<Arc<Partition>>,
    ends: [(LogEndOffsets, Option<OffsetsByPartition>); 2],
}

type OffsetsByPartition = HashMap<(String, i32), i64>;

impl LagWatch {
    pub(crate) fn new(
        client: &Arc<MemberClient>,
        shared: &Arc<SharedMember>,
        interval: Duration,
    ) -> Self {
        Self {
            client: Arc::clone(client),
            shared: Arc::clone(shared),
            interval,
            due: Deadline::after(interval),
            request: None,
        }
    }

    /// When it must be served next, at the latest.
    pub(crate) fn wake_at(&self) -> Deadline {
        self.request
            .as_ref()
            .map_or(self.due, |request| request.until)
    }

    /// Takes answers, reports them, and sends a request when one is due.
    pub(crate) fn serve(&mut self) {
        if let Some(request) = &mut self.request
            && request.is_over()
            && let Some(request) = self.request.take()
        {
            self.report(&request);
        }
        if self.request.is_none() && self.due.is_over() {
            self.due = Deadline::after(self.interval);
            if self.shared.emitter.is_heard() {
                self.request = self.send_request();
            }
        }
    }

    fn send_request(&self) -> Option<LagRequest> {
        let partitions = self.shared.assigned();
        if partitions.is_empty() {
            return None;
        }
        let timeout = self.interval.clamp(ANSWER_WITHIN.0, ANSWER_WITHIN.1);
        let request = |end| {
            let signal = QueueSignal::new(WakeTarget::Thread(thread::current()));
            let ends = LogEndOffsets::new(&self.client, signal, end)?;
            let names = partitions
                .iter()
                .map(|partition| (&*partition.id.topic, partition.id.partition));
            ends.request(names, timeout);
            Some((ends, None))
        };
        Some(LagRequest {
            ends: [request(LogEnd::First)?, request(LogEnd::Last)?],
            until: Deadline::after(timeout + MARGIN),
            partitions,
        })
    }

    fn report(&self, request: &LagRequest) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let assigned = request.partitions.iter();
        for partition in assigned.filter(|partition| partition.is_assigned()) {
            partition.catch_up();
            // The position is read before the ends. In the other order, messages that arrive and are settled in between would make the lag
            // look smaller than it is.
            let position = partition.position();
            let oldest_ms = partition.oldest_ms();
            let messages = request.ends_of(&self.client, partition).map(|(low, high)| {
                let position = position.unwrap_or(low).max(low);
                u64::try_from(high - position).unwrap_or(0)
            });
            let oldest = oldest_ms.filter(|_| messages != Some(0)).map(|ms| {
                let age = u64::try_from(now_ms.saturating_sub(ms)).unwrap_or(0);
                Duration::from_millis(age)
            });
            self.shared.emit(&Event::lag(
                self.shared.producer,
                partition.id.name.as_str(),
                messages,
                oldest,
            ));
        }
    }
}

impl LagRequest {
    /// Whether both answers have come, or the time for them is over.
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

    /// The oldest offset of a partition and the one after its newest; `None` if the broker did not return both.
    fn ends_of(&self, client: &MemberClient, partition: &Partition) -> Option<(i64, i64)> {
        let id = &partition.id;
        let name = (id.topic.to_string(), id.partition);
        let answered = |index: usize| self.ends[index].1.as_ref()?.get(&name).copied();
        let (low, high) = (answered(0)?, answered(1)?);
        // A fetch since the request may know newer ends.
        let fetched = ffi::watermarks(client, id).unwrap_or((low, high));
        Some((low.max(fetched.0), high.max(fetched.1)))
    }
}
