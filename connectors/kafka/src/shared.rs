//! The state that a producer, its acknowledger and the member's thread share: [`SharedMember`].

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use broadway_core::{
    BoxError, Fatal,
    connector::ConnectorError,
    telemetry::{Emitter, Event},
};
use tokio::sync::{Notify, oneshot};

use crate::{
    error::permission_help,
    ffi::PartitionId,
    options::OnFailure,
    partition::{Partition, PartitionNotice},
    settings::ClientRole,
    sync::lock,
};

/// The longest sleep of the member's thread: the bound on what a lost wakeup could cost.
pub(crate) const SLEEP_MAX: Duration = Duration::from_millis(250);

/// One member of the consumer group.
pub(crate) struct SharedMember {
    /// The number of the producer in the pipeline, for events.
    pub(crate) producer: usize,
    pub(crate) emitter: Emitter,
    pub(crate) on_failure: OnFailure,
    pub(crate) uncommitted_max: usize,
    /// Each assignment goes on from the commit that it finds.
    pub(crate) reads_commits: bool,
    /// Every partition that was ever assigned, by slot. Only grows, so a slot in a token stays valid.
    partitions: RwLock<Vec<Arc<Partition>>>,
    /// Incremented when partitions are taken away: the engine then asks which messages are stale.
    pub(crate) generation: AtomicU64,
    /// Incremented when partitions come or go: the producer then lists them again.
    pub(crate) assignment: AtomicU64,
    /// Notified when the producer may have something to do.
    pub(crate) producer_wake: Arc<Notify>,
    /// Nothing is read any more.
    pub(crate) stopped: AtomicBool,
    failure: Mutex<Option<MemberFailure>>,
    thread: OnceLock<Thread>,
    command: Mutex<Option<MemberCommand>>,
    restarts: Mutex<Vec<(Arc<Partition>, RestartCause)>>,
    /// A partition reported an error: its topic may have been recreated.
    pub(crate) should_check_topics: AtomicBool,
    /// How many messages were done and not committed when the member gave up its partitions.
    pub(crate) repeats: AtomicU64,
}

/// Why the producer fails.
pub(crate) struct MemberFailure {
    pub(crate) error: ConnectorError,
    /// The source must not be opened again.
    pub(crate) is_final: bool,
}

impl MemberFailure {
    pub(crate) fn into_error(self) -> BoxError {
        match self.is_final {
            true => Fatal::new(self.error).into(),
            false => self.error.into(),
        }
    }
}

/// Why a partition restarts while it stays assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestartCause {
    /// Its position no longer exists at the broker.
    PositionGone,
    /// Its topic was deleted and recreated.
    TopicRecreated,
    /// An operator resumes it.
    Resumed,
}

/// What the member's thread is asked to do.
pub(crate) enum MemberCommand {
    /// Commit and leave, and report the result of each.
    Close(CloseReplies),
    /// The producer was dropped: wait for messages in flight as at a revocation, then commit and leave.
    Abandon,
}

/// Where a closing member reports its results.
pub(crate) struct CloseReplies {
    pub(crate) committed: oneshot::Sender<Result<(), ConnectorError>>,
    pub(crate) left: oneshot::Sender<Result<(), ConnectorError>>,
}

impl CloseReplies {
    /// Replies without a receiver.
    pub(crate) fn discarded() -> Self {
        Self {
            committed: oneshot::channel().0,
            left: oneshot::channel().0,
        }
    }
}

impl SharedMember {
    pub(crate) fn new(
        producer: usize,
        emitter: Emitter,
        on_failure: OnFailure,
        uncommitted_max: usize,
        reads_commits: bool,
    ) -> Self {
        Self {
            producer,
            emitter,
            on_failure,
            uncommitted_max,
            reads_commits,
            partitions: RwLock::default(),
            generation: AtomicU64::new(0),
            assignment: AtomicU64::new(0),
            producer_wake: Arc::new(Notify::new()),
            stopped: AtomicBool::new(false),
            failure: Mutex::new(None),
            thread: OnceLock::new(),
            command: Mutex::new(None),
            restarts: Mutex::default(),
            should_check_topics: AtomicBool::new(false),
            repeats: AtomicU64::new(0),
        }
    }

    /// The partition of this name; created the first time that it is asked for.
    pub(crate) fn partition(&self, topic: &str, number: i32) -> Arc<Partition> {
        let mut partitions = self
            .partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let known = partitions
            .iter()
            .find(|known| known.id.partition == number && &*known.id.topic == topic);
        if let Some(known) = known {
            return known.clone();
        }
        let slot = u32::try_from(partitions.len()).expect("fewer than 2^32 partitions");
        let partition = Arc::new(Partition::new(slot, topic, number));
        partitions.push(partition.clone());
        partition
    }

    /// Calls `read` with all partitions by slot. `read` must be short: an assignment waits for the lock.
    pub(crate) fn with_partitions<R>(&self, read: impl FnOnce(&[Arc<Partition>]) -> R) -> R {
        read(
            &self
                .partitions
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The partitions that are assigned now, draining ones included.
    pub(crate) fn assigned(&self) -> Vec<Arc<Partition>> {
        self.with_partitions(|all| {
            all.iter()
                .filter(|partition| partition.is_assigned())
                .cloned()
                .collect()
        })
    }

    pub(crate) fn assignment_changed(&self) {
        self.assignment.fetch_add(1, Ordering::Release);
        self.producer_wake.notify_one();
    }

    /// Makes the producer fail with this error. The first failure wins.
    pub(crate) fn fail(&self, error: ConnectorError) {
        self.end(MemberFailure {
            error,
            is_final: false,
        });
    }

    pub(crate) fn end(&self, failure: MemberFailure) {
        lock(&self.failure).get_or_insert(failure);
        self.producer_wake.notify_one();
    }

    pub(crate) fn take_failure(&self) -> Option<MemberFailure> {
        lock(&self.failure).take()
    }

    /// Registers the member's thread. Called once, by the thread itself.
    pub(crate) fn runs_on(&self, thread: Thread) {
        let _ = self.thread.set(thread);
    }

    pub(crate) fn wake_thread(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn send_command(&self, command: MemberCommand) {
        *lock(&self.command) = Some(command);
        self.wake_thread();
    }

    pub(crate) fn take_command(&self) -> Option<MemberCommand> {
        lock(&self.command).take()
    }

    /// Asks the thread to restart a partition.
    pub(crate) fn restart(&self, partition: Arc<Partition>, cause: RestartCause) {
        lock(&self.restarts).push((partition, cause));
        self.wake_thread();
    }

    pub(crate) fn take_restarts(&self) -> Vec<(Arc<Partition>, RestartCause)> {
        std::mem::take(&mut lock(&self.restarts))
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.emitter.emit(event);
    }

    /// Reports an error that does not end the source.
    pub(crate) fn report_error(&self, error: &str) {
        tracing::warn!(target: "broadway_kafka", error, "the source met an error and continues");
        self.emit(&Event::source_error(self.producer, error));
    }

    pub(crate) fn report_halt(&self, part: &str, position: i64, reason: &str) {
        self.emit(&Event::halted(self.producer, part, position, reason));
    }

    /// Reports a notice of a partition, and starts what follows from it.
    pub(crate) fn handle_notice(&self, partition: &Arc<Partition>, notice: PartitionNotice) {
        let part = partition.id.name.as_str();
        match notice {
            PartitionNotice::Halted { offset, reason } => {
                let reason = format!("{reason}; {}", ways_to_continue(&partition.id));
                self.report_halt(part, offset, &reason);
            }
            PartitionNotice::Drained => self.wake_thread(),
            PartitionNotice::Error(text) => {
                self.should_check_topics.store(true, Ordering::Release);
                self.wake_thread();
                let help = permission_help(&text, ClientRole::Source);
                self.report_error(&format!("{part}: {text}{help}"));
            }
            PartitionNotice::PositionGone => {
                self.restart(Arc::clone(partition), RestartCause::PositionGone);
            }
            PartitionNotice::Rewound { offset } => self.fail(ConnectorError::transient(format!(
                "the log of {part} went back to offset {offset}: it was truncated, or the topic was recreated"
            ))),
        }
    }
}

/// What an operator can do about a partition that a failed message has halted.
fn ways_to_continue(id: &PartitionId) -> String {
    let PartitionId {
        topic, partition, ..
    } = id;
    format!(
        "once the cause is fixed, `KafkaControl::resume({topic:?}, {partition})` or a restart continues from this message; to lose such \
         messages instead, set `on_failure(OnFailure::Skip)`; to keep them elsewhere, wrap the handler in `DeadLetters`"
    )
}
