//! [`MemoryQueue`]: an in-memory queue that treats records as a broker does.

mod source;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

use super::{Collector, Feed, ManualSource, manual_source};
use crate::{ack::Outcome, engine::spawn, message::Record};

pub use source::{MemoryQueueAcknowledger, MemoryQueueProducer, MemoryQueueSource};

/// The default number of deliveries of a message.
const DELIVERIES_MAX: u32 = 5;

/// Makes a record for each of its deliveries. Implemented by the record builders of the connectors
/// (`broadway::kafka::testing` and so on), and by functions of the number of the delivery, from 1.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not make records",
    label = "not a record builder",
    note = "publish a builder, as `broadway::kafka::testing::record(…)` returns it (without `build`), or a function `|delivery: u32| record`"
)]
pub trait MakeRecord: Send + Sync + 'static {
    /// The type of the record.
    type Record: Record;

    /// Makes the record of this delivery, counted from 1. A builder sets the number where its broker would: the receive
    /// count of SQS, the redelivered flag of RabbitMQ, the delivery attempt of Pub/Sub.
    fn make(&self, delivery: u32) -> Self::Record;
}

#[diagnostic::do_not_recommend]
impl<F, R> MakeRecord for F
where
    F: Fn(u32) -> R + Send + Sync + 'static,
    R: Record,
{
    type Record = R;

    fn make(&self, delivery: u32) -> R {
        self(delivery)
    }
}

/// An in-memory queue, to run a handler with records as they come from a broker. Clones are the same queue.
///
/// Messages are delivered in the order of publication. A message that fails or is released is delivered again, behind
/// the waiting messages, until it was delivered [`deliveries_max`](Self::deliveries_max) times; then it is given up, as
/// with a redrive policy. A [delayed](Outcome::Delayed) message is delivered again after its delay, which tests that pause the clock of
/// tokio do not wait for; that delivery counts as well. A [parked](Outcome::Parked) message is delivered again after its pause, also to
/// another pipeline, and keeps its count of attempts until it fails; a delivery that ended in this way does not count, since the
/// pipeline limits the attempts. With [`ordered`](Self::ordered), a message is delivered only when all earlier messages of its
/// key have ended, as in a FIFO queue.
///
/// A message that [`DeadLetters`](crate::DeadLetters) has sent counts as acknowledged, as at a broker; the dead letter
/// is in the [`RecordingPublisher`](super::RecordingPublisher). Nothing else here waits for time to pass.
///
/// ```
/// use broadway_core::{Message, NoAckOptions, Pipeline, Record, handler_fn, testing::{QueueEnd, MemoryQueue}};
///
/// struct Order { text: &'static str, delivery: u32 }
///
/// impl Record for Order {
///     type AckOptions = NoAckOptions;
///
///     fn payload(&self) -> &[u8] {
///         self.text.as_bytes()
///     }
/// }
///
/// # async fn run() -> Result<(), broadway_core::BoxError> {
/// let queue = MemoryQueue::new();
/// queue.publish(|delivery| Order { text: "fails once", delivery });
/// queue.publish(|delivery| Order { text: "fails always", delivery });
/// queue.end();
///
/// let handler = handler_fn(|order: &mut Message<Order>| match order.data() {
///     Order { text: "fails always", .. } | Order { delivery: 1, .. } => Err("not today".into()),
///     _ => Ok(()),
/// });
/// Pipeline::new(queue.source(), handler).start().await?.wait().await?;
///
/// assert_eq!(queue.end_of(0), Some(QueueEnd::Acknowledged));
/// assert_eq!((queue.deliveries_of(0), queue.deliveries_of(1)), (2, 5));
/// assert_eq!(queue.given_up(), [1]);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub struct MemoryQueue<R: Record> {
    shared: Arc<QueueShared<R>>,
}

/// How a message of a [`MemoryQueue`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueEnd {
    /// It was done, or its dead letter was confirmed.
    Acknowledged,
    /// It was delivered as often as the queue allows, and was never done.
    GivenUp,
}

struct QueueShared<R: Record> {
    source: ManualSource<R>,
    feed: Feed<R>,
    state: Mutex<QueueState<R>>,
    /// The messages that have ended, in order.
    ended: Collector<usize>,
}

type RecordMaker<R> = Arc<dyn MakeRecord<Record = R>>;

struct QueueState<R> {
    messages: Vec<QueuedMessage<R>>,
    /// The message behind each delivery, by the delivery's number in the feed.
    out: HashMap<usize, usize>,
    /// The messages of each key that have not ended; the first one is delivered. Only with order.
    lines: HashMap<Vec<u8>, VecDeque<usize>>,
    deliveries_max: u32,
    ordered: bool,
    is_closed: bool,
}

struct QueuedMessage<R> {
    make: RecordMaker<R>,
    key: Option<Vec<u8>>,
    outcomes: Vec<Outcome>,
    deliveries: u32,
    /// How many of the deliveries were parked.
    parked: u32,
    /// With how many attempts it was parked last, until it fails.
    attempts: u32,
    end: Option<QueueEnd>,
}

impl<R: Record> MemoryQueue<R> {
    /// Creates an empty queue.
    #[must_use]
    pub fn new() -> Self {
        let (source, feed) = manual_source();
        let state = QueueState {
            messages: Vec::new(),
            out: HashMap::new(),
            lines: HashMap::new(),
            deliveries_max: DELIVERIES_MAX,
            ordered: false,
            is_closed: false,
        };
        Self {
            shared: Arc::new(QueueShared {
                source,
                feed,
                state: Mutex::new(state),
                ended: Collector::new(),
            }),
        }
    }

    /// Sets how often a message is delivered before it is given up. Defaults to 5; 0 counts as 1. Deliveries that were
    /// [parked](Outcome::Parked) do not count.
    #[must_use]
    pub fn deliveries_max(self, deliveries: u32) -> Self {
        self.shared.lock().deliveries_max = deliveries.max(1);
        self
    }

    /// Delivers one message of a [key](Record::key) at a time, and the next one when it has ended. Records without a
    /// key have no order.
    ///
    /// # Panics
    ///
    /// Panics if a message was published already.
    #[must_use]
    #[track_caller]
    pub fn ordered(self) -> Self {
        {
            let mut state = self.shared.lock();
            assert!(
                state.messages.is_empty(),
                "`ordered` is for an empty queue: call it before `publish`"
            );
            state.ordered = true;
        }
        self
    }

    /// Returns the source, for a pipeline. Several pipelines, and several producers of one, share the messages.
    pub fn source(&self) -> MemoryQueueSource<R> {
        MemoryQueueSource {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Adds a message and returns its number: 0 for the first one.
    ///
    /// # Panics
    ///
    /// Panics after [`end`](Self::end).
    #[track_caller]
    pub fn publish(&self, record: impl MakeRecord<Record = R>) -> usize {
        let mut state = self.shared.lock();
        assert!(!state.is_closed, "cannot publish: the queue was ended");
        let number = state.messages.len();
        let first = record.make(1);
        let key = first.key().map(<[u8]>::to_vec);
        state.messages.push(QueuedMessage {
            make: Arc::new(record),
            key: key.clone(),
            outcomes: Vec::new(),
            deliveries: 0,
            parked: 0,
            attempts: 0,
            end: None,
        });
        if let Some(key) = key.filter(|_| state.ordered) {
            let line = state.lines.entry(key).or_default();
            line.push_back(number);
            if line.len() > 1 {
                return number;
            }
        }
        self.shared.deliver(&mut state, number, Some(first));
        number
    }

    /// Delivers unsettled messages again, as a broker does when a consumer has died. Returns how many they are.
    ///
    /// Call it when the pipeline has ended, after an abort: later settlements of the earlier deliveries are ignored. The messages come
    /// behind the waiting ones, and are not given up, however often they were delivered.
    pub fn redeliver_unsettled(&self) -> usize {
        let mut state = self.shared.lock();
        let unsettled = self.shared.feed.unsettled().into_iter();
        let numbers: Vec<_> = unsettled
            .filter_map(|delivery| state.out.remove(&delivery))
            .collect();
        for number in &numbers {
            self.shared.deliver(&mut state, *number, None);
        }
        numbers.len()
    }

    /// Makes producers report the end of the source once every message has ended; then the pipeline ends.
    pub fn end(&self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        self.shared.end_if_over(&state);
    }

    /// Waits until every message published before this call has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is removed.
    pub async fn wait_ended(&self) {
        let count = self.shared.lock().messages.len();
        self.shared.ended.wait_len(count).await;
    }

    /// Returns how the message with this number ended; `None` if it has not.
    ///
    /// # Panics
    ///
    /// Panics if no message has this number.
    #[must_use]
    #[track_caller]
    pub fn end_of(&self, number: usize) -> Option<QueueEnd> {
        self.shared.lock().message(number).end
    }

    /// Returns how often the message with this number was delivered, or queued for delivery.
    ///
    /// # Panics
    ///
    /// Panics if no message has this number.
    #[must_use]
    #[track_caller]
    pub fn deliveries_of(&self, number: usize) -> u32 {
        self.shared.lock().message(number).deliveries
    }

    /// Returns how each delivery of this message ended, in order.
    ///
    /// # Panics
    ///
    /// Panics if no message has this number.
    #[must_use]
    #[track_caller]
    pub fn outcomes_of(&self, number: usize) -> Vec<Outcome> {
        self.shared.lock().message(number).outcomes.clone()
    }

    /// Returns the numbers of the acknowledged messages, in ascending order.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<usize> {
        self.shared.lock().ended(Some(QueueEnd::Acknowledged))
    }

    /// Returns the numbers of the messages that were given up, in ascending order.
    #[must_use]
    pub fn given_up(&self) -> Vec<usize> {
        self.shared.lock().ended(Some(QueueEnd::GivenUp))
    }

    /// Returns the numbers of the messages that have not ended, in ascending order.
    #[must_use]
    pub fn left(&self) -> Vec<usize> {
        self.shared.lock().ended(None)
    }

    /// Returns the underlying feed: faults, the calls to producers, the groups in which messages were settled with
    /// their [options](crate::Settled::options), and the check that each delivery was settled once. Do not push to it
    /// or end it.
    #[must_use]
    pub fn feed(&self) -> &Feed<R> {
        &self.shared.feed
    }
}

impl<R: Record> QueueShared<R> {
    fn lock(&self) -> MutexGuard<'_, QueueState<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the message for delivery.
    fn deliver(&self, state: &mut QueueState<R>, number: usize, record: Option<R>) {
        let message = &mut state.messages[number];
        message.deliveries += 1;
        let record = record.unwrap_or_else(|| message.make.make(message.deliveries));
        // Under the lock: the delivery must be recorded before it can be settled.
        state.out.insert(self.feed.pushed(), number);
        drop(self.feed.push(record));
    }

    /// Queues the message for delivery after this time.
    fn deliver_after(self: &Arc<Self>, number: usize, delay: Duration) {
        // Weak: a delay may outlast all that use the queue.
        let shared = Arc::downgrade(self);
        spawn::detach(Box::pin(async move {
            sleep(delay).await;
            if let Some(shared) = shared.upgrade() {
                shared.deliver(&mut shared.lock(), number, None);
            }
        }));
    }

    /// Records how a delivery ended.
    fn settled(self: &Arc<Self>, delivery: usize, outcome: Outcome) {
        let mut state = self.lock();
        // A delivery that was settled twice, or pushed to the feed directly, is in the feed's log.
        let Some(number) = state.out.remove(&delivery) else {
            return;
        };
        let deliveries_max = state.deliveries_max;
        let message = &mut state.messages[number];
        let is_done = outcome.is_done();
        let delay = message.pause_after(&outcome);
        message.outcomes.push(outcome);
        if !is_done && message.deliveries - message.parked < deliveries_max {
            return match delay {
                Some(delay) => self.deliver_after(number, delay),
                None => self.deliver(&mut state, number, None),
            };
        }
        message.end = Some(match is_done {
            true => QueueEnd::Acknowledged,
            false => QueueEnd::GivenUp,
        });
        if let Some(next) = state.next_in_line(number) {
            self.deliver(&mut state, next, None);
        }
        self.end_if_over(&state);
        drop(state);
        self.ended.push(number);
    }

    fn end_if_over(&self, state: &QueueState<R>) {
        if state.is_closed && state.messages.iter().all(|message| message.end.is_some()) {
            self.feed.end();
        }
    }
}

impl<R> QueuedMessage<R> {
    /// Notes with how many attempts it was parked. Returns after how long it is delivered again, if it waits.
    fn pause_after(&mut self, outcome: &Outcome) -> Option<Duration> {
        match *outcome {
            Outcome::Delayed(delay) => Some(delay),
            Outcome::Parked { pause, attempts } => {
                self.parked += 1;
                self.attempts = attempts;
                Some(pause)
            }
            Outcome::Failed(_) => {
                // The next delivery begins anew, as with any message that failed.
                self.attempts = 0;
                None
            }
            Outcome::Done | Outcome::Released => None,
        }
    }
}

impl<R> QueueState<R> {
    #[track_caller]
    fn message(&self, number: usize) -> &QueuedMessage<R> {
        let count = self.messages.len();
        let message = self.messages.get(number);
        message.unwrap_or_else(|| panic!("no message {number}: {count} were published"))
    }

    fn ended(&self, end: Option<QueueEnd>) -> Vec<usize> {
        let numbers = (0..).zip(&self.messages);
        let ended = numbers.filter(|(_, message)| message.end == end);
        ended.map(|(number, _)| number).collect()
    }

    /// Returns the message that waited for this one to end.
    fn next_in_line(&mut self, number: usize) -> Option<usize> {
        let key = self.messages[number].key.as_ref()?;
        let line = self.lines.get_mut(key)?;
        line.pop_front();
        let next = line.front().copied();
        if next.is_none() {
            self.lines.remove(key);
        }
        next
    }
}

impl<R: Record> Clone for MemoryQueue<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<R: Record> Default for MemoryQueue<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Record> fmt::Debug for MemoryQueue<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("MemoryQueue")
            .field("published", &state.messages.len())
            .field("left", &state.ended(None).len())
            .finish_non_exhaustive()
    }
}
