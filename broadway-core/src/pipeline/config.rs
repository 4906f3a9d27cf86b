//! Pipeline configuration: [`Pipeline`], [`Processors`], [`Batching`], [`OnDrain`].
//!
//! Setters store options without checking them; [`Pipeline::start`] checks all of them and lists every problem.

mod batching;
mod on_drain;
mod processors;
mod sources;

use std::{fmt, time::Duration};

pub use self::{batching::Batching, on_drain::OnDrain, processors::Processors};
pub(super) use self::{batching::SizeOf, processors::PartitionBy, sources::SourceNames};
use super::{in_flight_cap::CapOptions, pusher::Pusher};
use crate::{
    batcher_key::for_each_batcher,
    failure::FailurePolicy,
    handler::{DeadLetters, Handler},
    machine::restart::RestartPolicy,
    message::Record,
    publisher::Publisher,
    rate_limit::RateLimit,
    source::{Source, SourceProducer},
    telemetry::{Emitter, Observer, Observers},
};

/// A pipeline that is not started yet: one or several sources, a handler, and options.
///
/// ```
/// use broadway_core::{Message, Pipeline, Processors, handler_fn, source};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let source = source::from_iter(|_producer| 0..1_000_u64);
/// let handler = handler_fn(|message: &mut Message<u64>| {
///     if *message.data() == 13 { Err("unlucky".into()) } else { Ok(()) }
/// });
///
/// let topology = Pipeline::new(source, handler).name("numbers").processors(Processors::new(4)).start().await?;
/// let totals = topology.wait().await?;
/// assert_eq!((totals.done, totals.failed), (999, 1));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
///
/// A limit of the compiler: a future that keeps a pipeline across an `await` cannot be spawned if the pipeline's handler is made
/// of closures. Start the pipeline where you create it, as above, or implement [`Handler`].
#[must_use = "a pipeline does nothing until it is started"]
pub struct Pipeline<S, H: Handler> {
    /// In the order of their names in the options.
    pub(super) sources: Vec<S>,
    pub(super) handler: H,
    pub(super) options: Options<H>,
}

/// All options but the sources and the handler.
pub(super) struct Options<H: Handler> {
    pub(super) name: String,
    pub(super) producers: usize,
    pub(super) sources: SourceNames,
    pub(super) processors: Processors<H::In>,
    pub(super) batching: Batchings<H>,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) restart: RestartPolicy,
    pub(super) drain_timeout: Duration,
    pub(super) on_drain: OnDrain,
    pub(super) blocked_after: Duration,
    pub(super) observers: Observers,
    pub(super) pushers: Vec<Pusher<H::In>>,
    pub(super) pushed_max: usize,
    pub(super) on_failure: FailurePolicy,
    pub(super) waiting_max: usize,
    pub(super) caps: CapOptions<H::In>,
}

type Batchings<H> = Vec<(<H as Handler>::Batcher, Batching<<H as Handler>::Out>)>;

impl<S, H> Pipeline<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Creates a pipeline with default options: one producer, twice as many processors as the machine has cores, batches of
    /// 100 messages or one second.
    ///
    /// Does not compile unless the source delivers the items that the handler takes.
    pub fn new(source: S, handler: H) -> Self {
        let options = Options {
            name: "pipeline".to_owned(),
            producers: 1,
            sources: SourceNames::default(),
            processors: Processors::default(),
            batching: for_each_batcher(|key| (key, Batching::default())),
            rate_limit: None,
            restart: RestartPolicy::default(),
            drain_timeout: Duration::from_secs(30),
            on_drain: OnDrain::default(),
            blocked_after: Duration::from_secs(10),
            observers: Observers::default(),
            pushers: Vec::new(),
            pushed_max: 10_000,
            on_failure: FailurePolicy::default(),
            waiting_max: 10_000,
            caps: CapOptions::default(),
        };
        Self {
            sources: vec![source],
            handler,
            options,
        }
    }

    /// Sets the name in events, metrics and logs. Defaults to `"pipeline"`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// Sets how many producers each source opens: 1 to 1,024. Defaults to 1. [`source_producers`](Self::source_producers) sets it for
    /// one source.
    pub fn producers(mut self, producers: usize) -> Self {
        self.options.producers = producers;
        self
    }

    /// Sets the options of the processors. Defaults to [`Processors::default`].
    pub fn processors(mut self, processors: Processors<H::In>) -> Self {
        self.options.processors = processors;
        self
    }

    /// Sets the options of the batchers: `options` is called once for each. A `match` over your batchers cannot forget one.
    ///
    /// Defaults to [`Batching::default`] for all.
    pub fn batchers(mut self, options: impl Fn(H::Batcher) -> Batching<H::Out>) -> Self {
        self.options.batching = for_each_batcher(|key| (key, options(key)));
        self
    }

    /// Limits how many messages the producers of all sources together let through. Defaults to no limit.
    ///
    /// Messages that were fetched and may not pass yet wait in their producer, at most as many as it was asked for.
    /// [`Topology::push`] is not limited. [`Topology::set_rate_limit`] changes the limit at run time.
    ///
    /// [`Topology::push`]: crate::Topology::push
    /// [`Topology::set_rate_limit`]: crate::Topology::set_rate_limit
    ///
    /// ```
    /// # use broadway_core::{Message, Pipeline, handler_fn, source};
    /// use broadway_core::RateLimit;
    /// use std::time::Duration;
    ///
    /// # let source = source::from_iter(|_| 0..1_u64);
    /// # let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    /// let pipeline = Pipeline::new(source, handler).rate_limit(RateLimit::per(5_000, Duration::from_secs(1)));
    /// # let _ = pipeline;
    /// ```
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.options.rate_limit = Some(limit);
        self
    }

    /// Sets when a failed producer is reopened. Defaults to a delay of 200 ms that doubles up to 30 s, without giving up.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.options.restart = policy;
        self
    }

    /// Sets how long a drain may take, by [`Topology::drain`] or a signal. When it runs out, messages in flight are left
    /// unsettled, to be delivered again. Producers have the same time to stop, and to close. Defaults to 30 s; must be more than
    /// zero. [`Duration::MAX`] means no limit.
    ///
    /// [`Topology::drain`]: crate::Topology::drain
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.options.drain_timeout = timeout;
        self
    }

    /// Sets what a drain does with messages that no handler has begun. Defaults to [`OnDrain::Release`].
    pub fn on_drain(mut self, on_drain: OnDrain) -> Self {
        self.options.on_drain = on_drain;
        self
    }

    /// Sets what happens to messages that fail: whether they are retried, and what happens to those that are not, or not any more.
    /// Defaults to no retry and [`FailureAction::DeadLetter`](crate::FailureAction::DeadLetter).
    ///
    /// [`Batching::on_failure`] replaces it for the batches of one batcher, and a [`ClassifiedError`](crate::ClassifiedError) for one
    /// message.
    ///
    /// ```
    /// # use broadway_core::{Message, Pipeline, handler_fn, source};
    /// use broadway_core::Retry;
    /// use std::time::Duration;
    ///
    /// # let source = source::from_iter(|_| 0..1_u64);
    /// # let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    /// let retry = Retry::exponential(Duration::from_millis(200), Duration::from_secs(30)).attempts(5);
    /// let pipeline = Pipeline::new(source, handler).on_failure(retry.then_dead_letter());
    /// # let _ = pipeline;
    /// ```
    pub fn on_failure(mut self, policy: impl Into<FailurePolicy>) -> Self {
        self.options.on_failure = policy.into();
        self
    }

    /// Sends the messages that fail to `publisher` as [dead letters](crate::dead_letter), each to the publisher's own destination: puts
    /// [`DeadLetters`] around the handler. All options of the pipeline stay as they are.
    ///
    /// For another destination, or other pauses while the publisher is out, wrap the handler yourself: [`DeadLetters::of`].
    ///
    /// ```
    /// use broadway_core::{Message, NoAckOptions, Pipeline, Record, Retry, handler_fn, testing::{MemoryQueue, RecordingPublisher}};
    /// use std::time::Duration;
    ///
    /// struct Order;
    ///
    /// impl Record for Order {
    ///     type AckOptions = NoAckOptions;
    ///     fn payload(&self) -> &[u8] { b"{}" }
    /// }
    ///
    /// # async fn run() -> Result<(), broadway_core::BoxError> {
    /// # let queue = MemoryQueue::new();
    /// # queue.publish(|_| Order);
    /// # queue.end();
    /// # let source = queue.source();
    /// # let publisher = RecordingPublisher::new();
    /// # let outbox = publisher.clone();
    /// let handler = handler_fn(|_: &mut Message<Order>| Err("not an order".into()));
    /// Pipeline::new(source, handler)
    ///     .on_failure(Retry::fixed(Duration::from_millis(200)).attempts(3).then_dead_letter())
    ///     .dead_letters(publisher)
    ///     .start()
    ///     .await?
    ///     .wait()
    ///     .await?;
    /// # assert_eq!(outbox.sent().len(), 1);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn dead_letters<P: Publisher>(self, publisher: P) -> Pipeline<S, DeadLetters<H, P>>
    where
        H::In: Record,
    {
        Pipeline {
            sources: self.sources,
            handler: DeadLetters::of(self.handler, publisher),
            options: self.options.of_layer(),
        }
    }

    /// Sets how many messages may wait in the pipeline to be retried, beside those that wait for a processor: at least 1. Defaults to
    /// 10,000.
    ///
    /// Beyond that, processors wait until there is room, and the source is asked for less. A batch that is larger waits until no other
    /// message does. A message without a key whose source can delay it ([`Acknowledger::delay_max`](crate::Acknowledger::delay_max)) goes back
    /// to the source for the time of its pause: beyond this limit, or beyond half of the messages that processors hold and have waiting, if
    /// that is less. So messages that wait do not use up what a broker delivers at once.
    pub fn waiting_max(mut self, messages: usize) -> Self {
        self.options.waiting_max = messages;
        self
    }

    /// Sets how many messages of the source may be in flight: delivered, and not settled, wherever they are in the pipeline. At least 1.
    /// Defaults to no limit beside the limits of the processors, the batchers and [`waiting_max`](Self::waiting_max).
    ///
    /// At the limit, producers are asked for nothing. Batches may then wait for messages that do not come until they are due, so set
    /// it well above the batch sizes. Several producers may be asked at once, and exceed it by one delivery each. Pushed messages do not count. With this limit, processors do not call producers themselves.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.options.caps.messages_max = Some(messages);
        self
    }

    /// Sets how many bytes of messages of the source may be in flight, at least 1. `size_of` returns the size of an item. Defaults to no
    /// limit.
    ///
    /// A message that is larger than `max` passes alone. Sizes are known only when messages are there: beyond the limit, each producer
    /// holds the rest of one delivery. Sizes are counted with an error of at most 0.4 %. If `size_of` panics, that message fails. Pushed
    /// messages do not count. With this limit, processors do not call producers themselves.
    ///
    /// ```
    /// # use broadway_core::{Message, Pipeline, handler_fn, source};
    /// # let source = source::from_iter(|_| vec![String::new()]);
    /// # let handler = handler_fn(|_: &mut Message<String>| Ok(()));
    /// let pipeline = Pipeline::new(source, handler).in_flight_bytes_max(64 << 20, |item| item.len());
    /// # let _ = pipeline;
    /// ```
    pub fn in_flight_bytes_max(
        mut self,
        max: usize,
        size_of: impl Fn(&H::In) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.options.caps.bytes_max = Some((max, std::sync::Arc::new(size_of)));
        self
    }

    /// Connects a [`Pusher`] to this pipeline when it starts, before its handler is first called. May be called several times.
    pub fn pusher(mut self, pusher: &Pusher<H::In>) -> Self {
        self.options.pushers.push(pusher.clone());
        self
    }

    /// Sets how many pushed messages may wait for a processor before [`Topology::try_push`] and [`Pusher::try_push`] accept no
    /// more: at least 1. Defaults to 10,000.
    ///
    /// [`Topology::try_push`]: crate::Topology::try_push
    pub fn pushed_max(mut self, messages: usize) -> Self {
        self.options.pushed_max = messages;
        self
    }

    /// Sets after which time a handler that blocks its thread (a call that does not return, a lock, a long computation without an
    /// `await`) is reported as [`Event::HandlerBlocked`](crate::telemetry::Event::HandlerBlocked). Defaults to 10 s; must be more
    /// than zero. [`Duration::MAX`] turns it off.
    ///
    /// A thread of its own checks every half second. The report has the coordinates of the message if the connector provides them
    /// and the handler was slow before.
    pub fn blocked_after(mut self, time: Duration) -> Self {
        self.options.blocked_after = time;
        self
    }

    /// Adds an observer: metrics, a summary, or your own. Observers are called in the order in which they were added. None by
    /// default; the pipeline logs its failures without one, see [`without_logs`](Self::without_logs).
    ///
    /// An observer that [writes the log](Observer::writes_log), such as `TracingObserver`, replaces the pipeline's own log.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.options.observers.observe(observer);
        self
    }

    /// Replaces all observers, and the log.
    pub(crate) fn observed_by(mut self, observers: Observers) -> Self {
        self.options.observers = observers;
        self
    }

    /// Sets how the pipeline logs: how many lines a second, and whether with keys. Defaults to
    /// [`TracingObserver::new`](crate::telemetry::TracingObserver::new).
    ///
    /// ```
    /// # use broadway_core::{Message, Pipeline, handler_fn, source, telemetry::TracingObserver};
    /// # let source = source::from_iter(|_| 0..1_u64);
    /// # let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    /// let pipeline = Pipeline::new(source, handler)
    ///     .log_with(TracingObserver::new().failures_per_second(100).keys(true));
    /// # let _ = pipeline;
    /// ```
    #[cfg(feature = "tracing")]
    pub fn log_with(mut self, log: crate::telemetry::TracingObserver) -> Self {
        self.options.observers.log_with(log);
        self
    }

    /// Turns the pipeline's own log off.
    ///
    /// By default, with the feature `tracing`, the pipeline logs to target `broadway`: each failed message with its coordinates,
    /// failed batches and acknowledgements, restarts, lost connections, its start and its end, and at most 10 lines a second of
    /// each kind of failure. Without a `tracing` subscriber in the program, nothing is written.
    pub fn without_logs(mut self) -> Self {
        self.options.observers.without_logs();
        self
    }
}

impl<H: Handler> Options<H> {
    /// The same options for a handler around this one.
    fn of_layer<L>(self) -> Options<L>
    where
        L: Handler<In = H::In, Out = H::Out, Batcher = H::Batcher>,
    {
        Options {
            name: self.name,
            producers: self.producers,
            processors: self.processors,
            batching: self.batching,
            rate_limit: self.rate_limit,
            restart: self.restart,
            drain_timeout: self.drain_timeout,
            on_drain: self.on_drain,
            blocked_after: self.blocked_after,
            observers: self.observers,
            pushers: self.pushers,
            pushed_max: self.pushed_max,
            on_failure: self.on_failure,
            waiting_max: self.waiting_max,
            caps: self.caps,
            sources: self.sources,
        }
    }

    pub(super) fn emitter(&mut self) -> Emitter {
        std::mem::take(&mut self.observers).into_emitter(&self.name)
    }
}

impl<S: fmt::Debug, H: Handler> fmt::Debug for Pipeline<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.options.name)
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}
