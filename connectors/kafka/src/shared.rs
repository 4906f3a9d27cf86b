//! What the producer, its acknowledger and the member's thread share.

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
    telemetry::{Emitter, Event},
};
use tokio::sync::{Notify, oneshot};

use crate::{
    config::OnFailure,
    events::lock,
    hint::grant,
    partition::{Generation, Notice, Origin, Partition},
    settings::Side,
};

pub(crate) struct Shared {
    /// Which producer of the pipeline this is, for events.
    pub(crate) producer: usize,
    pub(crate) emitter: Emitter,
    pub(crate) on_failure: OnFailure,
    pub(crate) uncommitted_max: usize,
    /// Every partition that was ever assigned, by slot. Only grows.
    partitions: RwLock<Vec<Arc<Partition>>>,
    /// Moves when partitions are taken away: the engine then asks which messages are stale.
    pub(crate) generation: Generation,
    /// Moves when partitions come or go: the producer then looks again which ones there are.
    pub(crate) assignment: AtomicU64,
    /// Rung when there may be something for the producer.
    pub(crate) bell: Arc<Notify>,
    /// Nothing is read any more.
    pub(crate) stopped: AtomicBool,
    failure: Mutex<Option<Failure>>,
    thread: OnceLock<Thread>,
    order: Mutex<Option<Order>>,
    restarts: Mutex<Vec<(Arc<Partition>, Cause)>>,
    /// A partition brought an error: perhaps its topic is another one now.
    pub(crate) is_doubtful: AtomicBool,
    /// What was done and not committed when the member left its partitions.
    pub(crate) repeats: AtomicU64,
}

/// Why the producer ends.
pub(crate) struct Failure {
    pub(crate) text: String,
    /// It is not to be opened again.
    pub(crate) is_final: bool,
}

impl Failure {
    pub(crate) fn into_error(self) -> BoxError {
        if self.is_final {
            return Fatal::new(self.text).into();
        }
        self.text.into()
    }
}

/// Why a partition begins anew while it stays assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The broker has no such position any more.
    Gone,
    /// Its topic was deleted and made again.
    MadeAnew,
    /// An operator resumes it.
    Resumed,
}

/// What the member's thread is told to do.
pub(crate) enum Order {
    /// Commit, leave, and say how each of the two went.
    Close(Farewell),
    /// The producer was dropped. Wait for what is in flight as at a revocation, then commit and leave.
    Abandon,
}

/// Whom a closing member tells.
pub(crate) struct Farewell {
    pub(crate) committed: oneshot::Sender<Result<(), BoxError>>,
    pub(crate) left: oneshot::Sender<Result<(), BoxError>>,
}

impl Farewell {
    /// To nobody.
    pub(crate) fn unheard() -> Self {
        Self {
            committed: oneshot::channel().0,
            left: oneshot::channel().0,
        }
    }
}

impl Shared {
    pub(crate) fn new(
        producer: usize,
        emitter: Emitter,
        on_failure: OnFailure,
        uncommitted_max: usize,
    ) -> Self {
        Self {
            producer,
            emitter,
            on_failure,
            uncommitted_max,
            partitions: RwLock::default(),
            generation: AtomicU64::new(0),
            assignment: AtomicU64::new(0),
            bell: Arc::new(Notify::new()),
            stopped: AtomicBool::new(false),
            failure: Mutex::new(None),
            thread: OnceLock::new(),
            order: Mutex::new(None),
            restarts: Mutex::default(),
            is_doubtful: AtomicBool::new(false),
            repeats: AtomicU64::new(0),
        }
    }

    /// The partition of this name; made when it is seen for the first time.
    pub(crate) fn partition(&self, topic: &str, number: i32) -> Arc<Partition> {
        let mut partitions = self
            .partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let known = partitions
            .iter()
            .find(|known| known.origin.partition == number && &*known.origin.topic == topic);
        if let Some(known) = known {
            return known.clone();
        }
        let slot = u32::try_from(partitions.len()).expect("fewer than 2^32 partitions");
        let partition = Arc::new(Partition::new(slot, topic, number));
        partitions.push(partition.clone());
        partition
    }

    /// Calls `look` with all partitions by slot. Short: an assignment waits for it.
    pub(crate) fn with_partitions<R>(&self, look: impl FnOnce(&[Arc<Partition>]) -> R) -> R {
        look(
            &self
                .partitions
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Those that are assigned now, draining ones included.
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
        self.bell.notify_one();
    }

    /// The producer is to end with this error.
    pub(crate) fn fail(&self, error: String) {
        self.end(Failure {
            text: error,
            is_final: false,
        });
    }

    pub(crate) fn end(&self, failure: Failure) {
        lock(&self.failure).get_or_insert(failure);
        self.bell.notify_one();
    }

    pub(crate) fn take_failure(&self) -> Option<Failure> {
        lock(&self.failure).take()
    }

    pub(crate) fn runs_on(&self, thread: Thread) {
        // Set once, by the thread itself.
        let _ = self.thread.set(thread);
    }

    pub(crate) fn wake_thread(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn order(&self, order: Order) {
        *lock(&self.order) = Some(order);
        self.wake_thread();
    }

    pub(crate) fn take_order(&self) -> Option<Order> {
        lock(&self.order).take()
    }

    /// The thread is to let a partition begin anew.
    pub(crate) fn restart(&self, partition: Arc<Partition>, cause: Cause) {
        lock(&self.restarts).push((partition, cause));
        self.wake_thread();
    }

    pub(crate) fn take_restarts(&self) -> Vec<(Arc<Partition>, Cause)> {
        std::mem::take(&mut lock(&self.restarts))
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        self.emitter.emit(event);
    }

    pub(crate) fn trouble(&self, error: &str) {
        tracing::warn!(target: "broadway_kafka", error, "trouble");
        self.emit(&Event::SourceTrouble {
            producer: self.producer,
            error,
        });
    }

    pub(crate) fn tell_halt(&self, part: &str, position: i64, reason: &str) {
        self.emit(&Event::Halted {
            producer: self.producer,
            part,
            position,
            reason,
        });
    }

    /// Tells what became of a partition, and has done what follows from it.
    pub(crate) fn tell(&self, partition: &Arc<Partition>, notice: Notice) {
        let part = partition.origin.name.as_str();
        match notice {
            Notice::Halted { offset, reason } => {
                let reason = format!("{reason}; {}", ways_out(&partition.origin));
                self.tell_halt(part, offset, &reason);
            }
            Notice::Drained => self.wake_thread(),
            Notice::Trouble(text) => {
                self.is_doubtful.store(true, Ordering::Release);
                self.wake_thread();
                self.trouble(&format!("{part}: {text}{}", grant(&text, Side::Source)));
            }
            Notice::Gone => self.restart(Arc::clone(partition), Cause::Gone),
            Notice::Rewound { offset } => self.fail(format!(
                "the log of {part} went back to offset {offset}: it was truncated, or the topic was made anew"
            )),
        }
    }
}

/// What can be done about a partition that a failed message has halted.
fn ways_out(origin: &Origin) -> String {
    let Origin {
        topic, partition, ..
    } = origin;
    format!(
        "when the cause is mended, `KafkaControl::resume({topic:?}, {partition})` or a restart reads on from this message; to lose such \
         messages instead, set `on_failure(OnFailure::Skip)`; to keep them elsewhere, wrap the handler in `DeadLetters`"
    )
}

/// How long the thread sleeps at most when nobody wakes it: the bound on what a lost wake-up could cost.
pub(crate) const SLEEP_MAX: Duration = Duration::from_millis(250);
