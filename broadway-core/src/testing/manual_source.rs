//! The source side of a feed: a [`Source`] whose producers deliver what a [`Feed`] was given.

use std::{
    collections::VecDeque,
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::watch;

use super::{
    feed::Feed,
    ledger::{Fed, Ledger, Step},
    plan::FaultPlan,
};
use crate::{
    ack::{Acknowledger, Settled},
    error::{BoxError, Callback},
    source::{Delivery, OpenContext, Produced, Source, SourceProducer},
    telemetry::MessageInfo,
};

/// A source and the [`Feed`] that fills it. With several producers, whichever is asked first delivers what comes next.
///
/// See the [module docs](super) for an example.
pub fn manual_source<T: Send + 'static>() -> (ManualSource<T>, Feed<T>) {
    let shared = Arc::new(Shared {
        queue: Mutex::new(Queue {
            entries: VecDeque::new(),
            pushed: 0,
            ended: false,
        }),
        ledger: Mutex::new(Ledger::default()),
        moved: watch::Sender::new(0),
        generation: AtomicU64::new(0),
        redelivers: AtomicBool::new(false),
        openings: AtomicUsize::new(0),
        faults: FaultPlan::new(),
    });
    let source = ManualSource {
        shared: Arc::clone(&shared),
    };
    (source, Feed::new(shared))
}

/// See [`manual_source`].
#[must_use = "a source delivers nothing until a pipeline reads it"]
pub struct ManualSource<T> {
    shared: Arc<Shared<T>>,
}

impl<T> ManualSource<T> {
    /// Says to the engine that it [delivers again](Acknowledger::redelivers) what a drain releases, as brokers do. It does not:
    /// a released message ends as such, and its receipt says so.
    pub fn redelivers(self) -> Self {
        self.shared.redelivers.store(true, Ordering::Release);
        self
    }
}

/// What a feed and its producers share.
pub(super) struct Shared<T> {
    pub(super) queue: Mutex<Queue<T>>,
    pub(super) ledger: Mutex<Ledger>,
    /// Moves with everything that happens, for those who wait.
    pub(super) moved: watch::Sender<u64>,
    pub(super) generation: AtomicU64,
    redelivers: AtomicBool,
    openings: AtomicUsize,
    pub(super) faults: FaultPlan,
}

/// What is still to be delivered.
pub(super) struct Queue<T> {
    pub(super) entries: VecDeque<Entry<T>>,
    pub(super) pushed: usize,
    pub(super) ended: bool,
}

pub(super) enum Entry<T> {
    /// Delivered together, as far as demand goes.
    Together(VecDeque<(usize, T)>),
    /// The producer that comes here fails.
    Failure(BoxError),
}

impl<T> Shared<T> {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn moved(&self) {
        self.moved.send_modify(|moved| *moved += 1);
    }

    fn step(&self, step: Step) {
        self.ledger().steps.push(step);
        self.moved();
    }

    /// Waits until `reached` answers.
    pub(super) async fn wait<R>(&self, mut reached: impl FnMut(&Self) -> Option<R>) -> R {
        let mut moved = self.moved.subscribe();
        loop {
            moved.borrow_and_update();
            if let Some(answer) = reached(self) {
                return answer;
            }
            moved.changed().await.expect("the sender is ours");
        }
    }
}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Source for ManualSource<T> {
    type Producer = ManualProducer<T>;

    async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        self.shared.faults.meet(Callback::Open).await?;
        let opening = self.shared.openings.fetch_add(1, Ordering::Relaxed);
        self.shared.step(Step::Opened(cx.producer()));
        let shared = Arc::clone(&self.shared);
        Ok(ManualProducer {
            index: cx.producer(),
            acknowledger: Arc::new(ManualAcknowledger { shared, opening }),
            closed: false,
        })
    }
}

/// The producer of [`manual_source`].
pub struct ManualProducer<T> {
    index: usize,
    acknowledger: Arc<ManualAcknowledger<T>>,
    closed: bool,
}

impl<T> ManualProducer<T> {
    fn shared(&self) -> &Arc<Shared<T>> {
        &self.acknowledger.shared
    }

    /// What the queue has for a producer now. `None`: nothing yet.
    fn deliver(
        &self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<T, Fed>>,
    ) -> Option<Result<Produced, BoxError>> {
        let mut queue = self.shared().queue();
        let Some(entry) = queue.entries.front_mut() else {
            return queue.ended.then_some(Ok(Produced::End));
        };
        if let Entry::Together(items) = entry {
            let mut ledger = self.shared().ledger();
            let generation = self.shared().generation.load(Ordering::Acquire);
            let opening = self.acknowledger.opening;
            let n = items.len().min(demand.get());
            for (number, item) in items.drain(..n) {
                let fed = Fed {
                    number,
                    opening,
                    generation,
                };
                ledger.delivered(fed);
                out.push(Delivery::new(item, fed));
            }
            if items.is_empty() {
                queue.entries.pop_front();
            }
            return Some(Ok(Produced::More));
        }
        match queue.entries.pop_front() {
            Some(Entry::Failure(error)) => Some(Err(error)),
            _ => None,
        }
    }
}

impl<T: Send + 'static> SourceProducer for ManualProducer<T> {
    type Item = T;
    type Acknowledger = ManualAcknowledger<T>;

    fn acknowledger(&self) -> Arc<ManualAcknowledger<T>> {
        Arc::clone(&self.acknowledger)
    }

    // Cancel safe: nothing is taken before it is in `out`, and then there is no await.
    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<T, Fed>>,
    ) -> Result<Produced, BoxError> {
        self.shared().faults.meet(Callback::Produce).await?;
        let shared = Arc::clone(self.shared());
        let produced = shared.wait(|_| self.deliver(demand, out)).await;
        shared.moved();
        produced
    }

    async fn stop(&mut self) {
        let met = self.shared().faults.meet(Callback::Stop).await;
        self.shared().step(Step::Stopped(self.index));
        if let Err(error) = met {
            panic!("{error}");
        }
    }

    async fn close(mut self) -> Result<(), BoxError> {
        self.closed = true;
        let (opening, index) = (self.acknowledger.opening, self.index);
        self.shared().ledger().closed(opening, index);
        self.shared().moved();
        self.shared().faults.meet(Callback::Close).await
    }
}

impl<T> Drop for ManualProducer<T> {
    fn drop(&mut self) {
        if !self.closed {
            self.shared().step(Step::Dropped(self.index));
        }
    }
}

/// The acknowledger of [`manual_source`]: one for each opening of a producer.
pub struct ManualAcknowledger<T> {
    shared: Arc<Shared<T>>,
    opening: usize,
}

impl<T: Send + 'static> Acknowledger for ManualAcknowledger<T> {
    type Token = Fed;

    fn describe(&self, fed: &Fed) -> MessageInfo {
        MessageInfo::new(format!("message {}", fed.number))
    }

    async fn settle(&self, settled: &mut Vec<Settled<Fed>>) -> Result<(), BoxError> {
        // Entered first, whatever happens then: the engine has handed it over. One that hangs is entered afterwards.
        let entered = Entered {
            acknowledger: self,
            group: Some(std::mem::take(settled)),
        };
        let met = self.shared.faults.meet(Callback::Settle).await;
        drop(entered);
        met
    }

    fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    fn redelivers(&self, _: &Fed) -> bool {
        self.shared.redelivers.load(Ordering::Acquire)
    }

    fn is_stale(&self, token: &Fed) -> bool {
        token.generation < self.generation()
    }
}

/// A group that is entered when its settling ends, also by a panic.
struct Entered<'a, T> {
    acknowledger: &'a ManualAcknowledger<T>,
    group: Option<Vec<Settled<Fed>>>,
}

impl<T> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        let ManualAcknowledger { shared, opening } = self.acknowledger;
        if let Some(group) = self.group.take() {
            shared.ledger().settled(*opening, group);
            shared.moved();
        }
    }
}

impl<T> fmt::Debug for ManualSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualSource").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ManualProducer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualProducer")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ManualAcknowledger<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualAcknowledger")
            .field("opening", &self.opening)
            .finish_non_exhaustive()
    }
}
