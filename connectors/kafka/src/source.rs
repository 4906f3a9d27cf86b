//! The two halves that the engine holds: [`Kafka`] opens members, [`KafkaProducer`] reads for one.

use std::{
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use broadway_core::{
    BoxError, ConfigError, Deadline, OpenContext, Problem, Produced, Source, SourceProducer,
    telemetry::MessageInfo,
};
use tokio::sync::oneshot;

use crate::{
    ack::KafkaAcknowledger,
    config::Kafka,
    member,
    partition::{Buffers, Out, Partition},
    record::KafkaRecord,
    shared::{Farewell, Order, Shared},
};

/// The most messages that one read takes out of a partition, so that a revocation never waits long for it.
const READ_MAX: usize = 1_000;
/// Below this many, a read isn't split between partitions for fairness; they take turns instead.
const SHARE_MIN: usize = 64;
/// Closing has its own deadline on the thread; this much later the thread itself is given up.
const CLOSE_MARGIN: Duration = Duration::from_secs(2);

impl Source for Kafka {
    type Producer = KafkaProducer;

    /// All options that cannot work: what is missing, out of range, or refused by name.
    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    /// Joins the group. Returns when this member has its partitions and knows where each begins.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for options that cannot work; otherwise a text that names the option: no broker answers within
    /// `connect_timeout`, a topic is unknown, authentication or authorization fails, the group lets nobody in within
    /// `join_timeout`.
    ///
    /// # Cancel safety
    ///
    /// Dropped half-way, the member leaves the group again by itself.
    async fn open(&self, cx: &OpenContext) -> Result<KafkaProducer, BoxError> {
        ConfigError::check("the Kafka source", self.problems())?;
        let emitter = cx.emitter().clone();
        let shared = Arc::new(Shared::new(
            cx.producer(),
            emitter,
            self.on_failure,
            self.uncommitted_max,
        ));
        self.control.enter(&shared);
        let (reply, opened) = oneshot::channel();
        let (source, config, member) = (self.clone(), self.client_config(cx), shared.clone());
        thread::Builder::new()
            .name(format!("kafka-{}", cx.producer()))
            .spawn(move || member::run(source, &config, member, reply))
            .map_err(|error| format!("no thread for the Kafka member: {error}"))?;
        opened
            .await
            .map_err(|_| "the thread of the Kafka member ended: a defect of this connector")??;
        Ok(KafkaProducer {
            shared,
            feed: Feed::default(),
            close_timeout: self.close_timeout,
            is_closed: false,
        })
    }
}

/// Reads the partitions of one group member, only as much as it is asked for.
///
/// Dropped without [`close`](SourceProducer::close), the member waits for messages in flight as at a revocation, commits and
/// leaves, on its own thread.
#[must_use = "a producer that is dropped without `close` leaves its messages to be delivered again"]
pub struct KafkaProducer {
    shared: Arc<Shared>,
    feed: Feed,
    close_timeout: Duration,
    is_closed: bool,
}

impl KafkaProducer {
    /// How many messages the client holds that were not asked for yet.
    #[must_use]
    pub fn prefetched(&self) -> usize {
        let assigned = self.shared.assigned();
        assigned.iter().map(|partition| partition.queued()).sum()
    }
}

impl SourceProducer for KafkaProducer {
    type Item = KafkaRecord;
    type Acknowledger = KafkaAcknowledger;

    fn acknowledger(&self) -> Arc<KafkaAcknowledger> {
        Arc::new(KafkaAcknowledger::new(self.shared.clone()))
    }

    /// Kafka counts no deliveries.
    fn describe(record: &KafkaRecord) -> MessageInfo {
        MessageInfo::of_record(record)
    }

    async fn produce(&mut self, demand: NonZeroUsize, out: &mut Out) -> Result<Produced, BoxError> {
        loop {
            // Cancel safe: the bell keeps a ring that nobody waited for, and nothing is awaited after a read.
            if let Some(error) = self.shared.take_failure() {
                return Err(error.into_error());
            }
            if self.feed.take(&self.shared, demand.get(), out) > 0 {
                return Ok(Produced::More);
            }
            self.shared.bell.notified().await;
        }
    }

    async fn stop(&mut self) {
        // What was prefetched stays unread, and is not committed.
        self.shared.stopped.store(true, Ordering::Release);
    }

    async fn close(mut self) -> Result<(), BoxError> {
        self.is_closed = true;
        let (committed, is_committed) = oneshot::channel();
        let (left, has_left) = oneshot::channel();
        self.shared
            .order(Order::Close(Farewell { committed, left }));
        let ended = "the thread of the Kafka member ended: a defect of this connector";
        let deadline = Deadline::after(self.close_timeout.saturating_add(CLOSE_MARGIN));
        let committed = deadline.within(is_committed).await;
        let left = deadline.within(has_left).await;
        // What was not committed says more than that the group did not let go.
        for result in [committed, left] {
            let Some(result) = result else {
                return Err(format!(
                    "the group did not let this member go within {:?} (`close_timeout`); it is left to itself",
                    self.close_timeout
                )
                .into());
            };
            result.map_err(|_| ended)??;
        }
        Ok(())
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        if !self.is_closed {
            self.shared.order(Order::Abandon);
        }
    }
}

impl std::fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaProducer")
            .field("producer", &self.shared.producer)
            .finish_non_exhaustive()
    }
}

/// Takes turns between the assigned partitions.
#[derive(Default)]
struct Feed {
    /// The assignment that `partitions` is of.
    seen: Option<u64>,
    partitions: Vec<Arc<Partition>>,
    /// Whose turn it is.
    next: usize,
    buffers: Buffers,
}

impl Feed {
    /// Takes at most `demand` messages without waiting, and says how many.
    fn take(&mut self, shared: &Shared, demand: usize, out: &mut Out) -> usize {
        if shared.stopped.load(Ordering::Acquire) {
            return 0;
        }
        let assignment = shared.assignment.load(Ordering::Acquire);
        if self.seen != Some(assignment) {
            self.partitions = shared.assigned();
            self.seen = Some(assignment);
        }
        let n = self.partitions.len();
        let share = demand.div_ceil(n.max(1)).clamp(SHARE_MIN, READ_MAX);
        let before = out.len();
        loop {
            let round = out.len();
            for _ in 0..n {
                let room = demand - (out.len() - before);
                if room == 0 {
                    return demand;
                }
                self.next = (self.next + 1) % n;
                let partition = &self.partitions[self.next];
                let notice = partition.read(
                    room.min(share),
                    shared.uncommitted_max,
                    &mut self.buffers,
                    out,
                );
                if let Some(notice) = notice {
                    shared.tell(partition, notice);
                }
            }
            if out.len() == round {
                return out.len() - before;
            }
        }
    }
}
