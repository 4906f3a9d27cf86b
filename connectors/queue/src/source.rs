//! What the engine holds: [`Queue`] opens producers, and [`QueueProducer`] delivers what the worker has read ahead.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use broadway_core::{
    BoxError, ConfigError, Deadline, Delivery, OpenContext, Problem, Produced, Source,
    SourceProducer,
    connector::{ConnectorError, DeliveryLimit},
    telemetry::MessageInfo,
};
use tokio::{task::JoinSet, time::timeout_at};

use crate::{
    ack::{QueueAcknowledger, Token},
    config::Queue,
    connect::{self, StoreHandle},
    error::storage_error,
    group::{Group, Member, Millis, Partition},
    lag,
    record::QueueRecord,
    store::commit::{AppendError, Done, Request},
    topics::Topic,
};

/// How long opening waits until the group is on disk.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

impl Source for Queue {
    type Producer = QueueProducer;

    /// Checks the options: names, values out of range.
    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    /// Opens the folder, unless it is open in this process, and joins the group.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] if options are invalid. Otherwise fails with a [`ConnectorError`]: another process has the folder open, it cannot be
    /// read, or its format is of another version.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no message was delivered.
    async fn open(&self, cx: &OpenContext) -> Result<QueueProducer, BoxError> {
        ConfigError::check("the queue source", self.problems())?;
        let store = connect::open(&self.folder).await?;
        if let Some(failure) = &*store.failure() {
            return Err(storage_error(&store.folder.path, failure).into());
        }
        let source = self.clone();
        let opened = store.clone();
        let holds_messages = cx.holds_messages();
        let open = move || source.open_groups(&opened, holds_messages);
        let groups = tokio::task::spawn_blocking(open).await;
        let groups = groups.map_err(|error| ConnectorError::permanent(error.to_string()))??;
        if let (Some(max), Some(dead)) = (self.deliveries_max, &self.dead_letter_topic) {
            let then = format!("moves it to the topic `{dead}`");
            let limit = DeliveryLimit::new(max, "`deliveries_max`", then);
            for topic in &self.topics {
                limit.report(cx, topic);
            }
        }
        let member = Arc::new(Member::new(cx.producer(), cx.emitter().clone()));
        for used in &groups {
            used.group.join(Arc::clone(&member), &store);
        }
        // Before anything is delivered the group is on disk: a process that ends at once leaves its deliveries counted, and where it began. On a full
        // device it goes on without.
        let (done, written) = Done::channel();
        store.inbox.push(Request::Flush(done));
        let _ = Deadline::after(OPEN_TIMEOUT).within(written).await;
        let acknowledger = QueueAcknowledger::new(store.clone(), Arc::clone(&member), self.policy);
        let mut lag = JoinSet::new();
        let reported = groups.iter().map(|used| Arc::clone(&used.group)).collect();
        lag.spawn(lag::report(
            reported,
            Arc::clone(&member),
            self.lag_interval,
        ));
        Ok(QueueProducer {
            source: self.clone(),
            acknowledger: Arc::new(acknowledger),
            groups,
            member,
            parts: Vec::new(),
            seen: 0,
            turn: 0,
            phase: Phase::Running,
            store,
            _lag: lag,
        })
    }
}

impl Queue {
    /// The groups of the topics, in the order of priority. Blocks.
    fn open_groups(
        &self,
        store: &StoreHandle,
        holds_messages: bool,
    ) -> Result<Vec<GroupUse>, ConnectorError> {
        let mut groups = Vec::new();
        for name in &self.topics {
            let topic = store.topic(name, self.create_with.as_ref())?;
            let settings = self.group_settings(holds_messages);
            let group = topic.begin_use(&self.group, |stored| {
                let (start, logs) = (self.start_offset, topic.logs());
                Group::new(&self.group, settings.clone(), start, stored, &logs)
            });
            let is_same = *group.settings == settings;
            // In any case, so that the use ends.
            let store = store.clone();
            groups.push(GroupUse {
                topic,
                group,
                store,
            });
            if !is_same {
                return Err(ConnectorError::permanent(format!(
                    "the group {:?} of the topic {name:?} is in use in this process with other options; give all its sources the same ones",
                    self.group
                )));
            }
        }
        if let Some(dead) = &self.dead_letter_topic {
            store.topic(dead, None)?;
        }
        Ok(groups)
    }
}

/// A group that a producer has.
struct GroupUse {
    topic: Arc<Topic>,
    group: Arc<Group>,
    store: StoreHandle,
}

impl Drop for GroupUse {
    fn drop(&mut self) {
        self.topic.end_use(&self.group.name);
        // After the use has ended: the commit that follows releases the group.
        for partition in self.group.partitions() {
            self.store.mark_dirty(&partition);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Stopped,
    Left,
}

/// A partition that is read, its number in tokens, and the priority of its topic: 0 goes first.
struct Part {
    partition: Arc<Partition>,
    number: u32,
    priority: usize,
}

/// Delivers messages of the partitions that its group assigns to it.
///
/// If it is dropped without [`close`](SourceProducer::close), it leaves its group; unsettled messages are delivered again at once, and acknowledgements
/// are written within [`ack_interval`](crate::QueueFolder::ack_interval).
#[must_use = "a producer that is dropped without `close` does not wait until acknowledgements are written"]
pub struct QueueProducer {
    source: Queue,
    acknowledger: Arc<QueueAcknowledger>,
    groups: Vec<GroupUse>,
    member: Arc<Member>,
    parts: Vec<Part>,
    /// The assignment that `parts` is from.
    seen: u64,
    /// Which partition goes first, so that each has its turn.
    turn: usize,
    phase: Phase,
    store: StoreHandle,
    /// Aborted with the producer.
    _lag: JoinSet<()>,
}

impl SourceProducer for QueueProducer {
    type Item = QueueRecord;
    type Acknowledger = QueueAcknowledger;

    fn acknowledger(&self) -> Arc<QueueAcknowledger> {
        Arc::clone(&self.acknowledger)
    }

    fn describe(record: &QueueRecord) -> MessageInfo {
        MessageInfo::of_record(record)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<QueueRecord, Token>>,
    ) -> Result<Produced, BoxError> {
        loop {
            if self.phase != Phase::Running {
                return std::future::pending().await;
            }
            if let Some(failure) = &*self.store.failure()
                && !failure.is_passing()
            {
                return Err(storage_error(&self.store.folder.path, failure).into());
            }
            // Before anything is taken: what changes meanwhile wakes the wait below. Nothing is awaited after messages were taken.
            let (n, next_at) = self.take(demand.get(), out);
            if n > 0 {
                return Ok(Produced::More);
            }
            let changed = self.member.wakeup.notified();
            match next_at {
                None => changed.await,
                Some(at) => {
                    let at = self.store.clock.instant(at);
                    drop(timeout_at(at.into(), changed).await);
                }
            }
        }
    }

    /// Delivers no more messages. Messages that were read ahead stay on disk.
    async fn stop(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Stopped;
        }
    }

    async fn close(mut self) -> Result<(), BoxError> {
        let timeout = self.source.close_timeout;
        self.leave();
        let (done, flushed) = Done::channel();
        self.store.inbox.push(Request::Flush(done));
        let failed = match Deadline::after(timeout).within(flushed).await {
            Some(Ok(Ok(()))) => return Ok(()),
            Some(Ok(Err(AppendError::Failed(error)))) => error,
            Some(_) => "the queue closes".to_owned(),
            None => format!("they were not within {timeout:?} (`close_timeout`)"),
        };
        Err(ConnectorError::transient(format!(
            "the last acknowledgements could not be written, and their messages may be delivered again: {failed}"
        ))
        .into())
    }
}

impl QueueProducer {
    /// Appends messages that are read ahead, of the most urgent topics first. Returns how many, and when something is due.
    fn take(
        &mut self,
        demand: usize,
        out: &mut Vec<Delivery<QueueRecord, Token>>,
    ) -> (usize, Option<Millis>) {
        if let Some(assigned) = self.member.assignment(&mut self.seen) {
            self.take_over(assigned);
        }
        let (mut n, mut next_at) = (0, None::<Millis>);
        let len = self.parts.len();
        self.turn = self.turn.wrapping_add(1);
        let mut start = 0;
        while start < len && n < demand {
            // The partitions of one priority take turns.
            let priority = self.parts[start].priority;
            let same = self.parts[start..]
                .iter()
                .take_while(|part| part.priority == priority)
                .count();
            for step in 0..same {
                let part = &self.parts[start + (self.turn + step) % same];
                let taken = part.partition.take(
                    (self.member.id, part.number),
                    demand - n,
                    &self.store,
                    out,
                );
                n += taken.n;
                next_at = next_at.into_iter().chain(taken.next_at).min();
                if n == demand {
                    break;
                }
            }
            start += same;
        }
        (n, next_at)
    }

    fn take_over(&mut self, assigned: Vec<Arc<Partition>>) {
        let priority = |topic: &str| self.source.topics.iter().position(|own| own == topic);
        let mut parts: Vec<_> = assigned
            .into_iter()
            .map(|partition| Part {
                number: self.acknowledger.part(&partition),
                priority: priority(&partition.log.topic).unwrap_or_default(),
                partition,
            })
            .collect();
        parts.sort_by_key(|part| (part.priority, part.partition.log.partition));
        self.parts = parts;
    }

    fn leave(&mut self) {
        if self.phase == Phase::Left {
            return;
        }
        self.phase = Phase::Left;
        for used in self.groups.drain(..) {
            used.group.leave(self.member.id, &self.store);
        }
    }
}

impl Drop for QueueProducer {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for QueueProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueProducer")
            .field("producer", &self.member.producer)
            .finish_non_exhaustive()
    }
}
