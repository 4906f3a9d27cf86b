//! The parts that the engine holds: [`Kafka`] opens members, [`KafkaProducer`] reads for one.

use std::{
    num::NonZeroUsize,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use broadway_core::{
    BoxError, ConfigError, Deadline, OpenContext, Problem, Produced, Source, SourceProducer,
    connector::ConnectorError, telemetry::MessageInfo,
};
use tokio::sync::oneshot;

use crate::{
    ack::KafkaAcknowledger,
    config::Kafka,
    member,
    partition::{Deliveries, Partition},
    record::KafkaRecord,
    shared::{CloseReplies, MemberCommand, SharedMember},
};

/// The most messages that one read takes out of a partition, so that a revocation never waits long for the reader's lock.
const READ_MAX: usize = 1_000;
/// Reads of fewer messages than this are not split between partitions for fairness; the partitions take turns instead.
const SHARE_MIN: usize = 64;
/// The member's thread observes `close_timeout`; this much later the thread itself is given up.
const CLOSE_MARGIN: Duration = Duration::from_secs(2);

/// A future that runs once for each producer.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

impl Source for Kafka {
    type Producer = KafkaProducer;

    /// Validates the options without connecting.
    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    /// Joins the group. Returns when this member has its partitions and knows where each starts.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] for invalid options, and otherwise with a [`ConnectorError`] whose text names the option: no broker
    /// answers within `connect_timeout` (transient), a topic does not exist (permanent), authentication or authorization fails (auth),
    /// or the group does not admit this member within `join_timeout` (transient).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the member leaves the group in the background.
    async fn open(&self, cx: &OpenContext) -> Result<KafkaProducer, BoxError> {
        self.join_group(cx).await
    }
}

impl Kafka {
    // Boxed: an async function is compiled in the crate that awaits it, which would be the user's.
    fn join_group<'a>(&'a self, cx: &'a OpenContext) -> Boxed<'a, KafkaProducer> {
        Box::pin(async move {
            ConfigError::check("the Kafka source", self.problems())?;
            let emitter = cx.emitter().clone();
            let shared = Arc::new(SharedMember::new(
                cx.producer(),
                emitter,
                self.on_failure,
                self.uncommitted_max,
                !self.ignore_commits,
            ));
            self.control.add(&shared);
            let (reply, opened) = oneshot::channel();
            let (source, config, member) = (self.clone(), self.client_config(cx), shared.clone());
            thread::Builder::new()
                .name(format!("kafka-{}", cx.producer()))
                .spawn(move || member::run(source, &config, member, reply))
                .map_err(|error| {
                    ConnectorError::transient(format!(
                        "cannot start a thread for the Kafka member: {error}"
                    ))
                })?;
            opened.await.map_err(|_| thread_ended())??;
            Ok(KafkaProducer {
                shared,
                reader: FairReader::default(),
                close_timeout: self.close_timeout,
                is_closed: false,
            })
        })
    }
}

/// Reads the partitions of one group member, as much as is demanded.
///
/// If it is dropped without [`close`](SourceProducer::close), the member waits for messages in flight as at a revocation, commits and
/// leaves the group, in the background.
#[must_use = "a producer that is dropped without `close` leaves its messages to be delivered again"]
pub struct KafkaProducer {
    shared: Arc<SharedMember>,
    reader: FairReader,
    close_timeout: Duration,
    is_closed: bool,
}

impl KafkaProducer {
    /// How many messages the client has prefetched that were not delivered yet.
    #[must_use]
    pub fn prefetched(&self) -> usize {
        let assigned = self.shared.assigned();
        assigned.iter().map(|partition| partition.queued()).sum()
    }

    // Boxed, as `Kafka::join_group` is.
    fn leave_group(mut self) -> Boxed<'static, ()> {
        Box::pin(async move {
            self.is_closed = true;
            let (committed, is_committed) = oneshot::channel();
            let (left, has_left) = oneshot::channel();
            let replies = CloseReplies { committed, left };
            self.shared.send_command(MemberCommand::Close(replies));
            let deadline = Deadline::after(self.close_timeout.saturating_add(CLOSE_MARGIN));
            let committed = deadline.within(is_committed).await;
            let left = deadline.within(has_left).await;
            // A failed commit matters more than a group that was not left, so it is returned first.
            for result in [committed, left] {
                let Some(result) = result else {
                    return Err(ConnectorError::transient(format!(
                    "leaving the group timed out after {:?} (`close_timeout`); the member continues to leave in the background",
                    self.close_timeout
                ))
                .into());
                };
                result.map_err(|_| thread_ended())??;
            }
            Ok(())
        })
    }
}

impl SourceProducer for KafkaProducer {
    type Item = KafkaRecord;
    type Acknowledger = KafkaAcknowledger;

    fn acknowledger(&self) -> Arc<KafkaAcknowledger> {
        Arc::new(KafkaAcknowledger::new(self.shared.clone()))
    }

    /// Kafka does not count deliveries.
    fn describe(record: &KafkaRecord) -> MessageInfo {
        MessageInfo::of_record(record)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Deliveries,
    ) -> Result<Produced, BoxError> {
        loop {
            // Cancel safe: `Notify` keeps a notification that was not awaited, and nothing is awaited after a read.
            if let Some(failure) = self.shared.take_failure() {
                return Err(failure.into_error());
            }
            if self.reader.read(&self.shared, demand.get(), out) > 0 {
                return Ok(Produced::More);
            }
            self.shared.producer_wake.notified().await;
        }
    }

    async fn stop(&mut self) {
        // Prefetched messages stay unread and are not committed.
        self.shared.stopped.store(true, Ordering::Release);
    }

    async fn close(self) -> Result<(), BoxError> {
        self.leave_group().await
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        if !self.is_closed {
            self.shared.send_command(MemberCommand::Abandon);
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

/// Reads the assigned partitions in turn, a share of the demand from each.
#[derive(Default)]
struct FairReader {
    /// The number of the assignment that `partitions` was taken from.
    seen: Option<u64>,
    partitions: Vec<Arc<Partition>>,
    /// The partition that was read last.
    next: usize,
}

impl FairReader {
    /// Reads at most `demand` messages without waiting. Returns how many it read.
    fn read(&mut self, shared: &SharedMember, demand: usize, out: &mut Deliveries) -> usize {
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
        // Rounds over all partitions, until a round reads nothing or the demand is met.
        loop {
            let round = out.len();
            for _ in 0..n {
                let room = demand - (out.len() - before);
                if room == 0 {
                    return demand;
                }
                self.next = (self.next + 1) % n;
                let partition = &self.partitions[self.next];
                let notice = partition.read(room.min(share), shared.uncommitted_max, out);
                if let Some(notice) = notice {
                    shared.handle_notice(partition, notice);
                }
            }
            if out.len() == round {
                return out.len() - before;
            }
        }
    }
}

fn thread_ended() -> ConnectorError {
    ConnectorError::permanent(
        "the thread of the Kafka member ended unexpectedly: a bug in this connector",
    )
}
