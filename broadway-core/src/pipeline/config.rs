//! What users say about a pipeline: [`Pipeline`], [`Batching`].
//!
//! Setters only remember; [`Pipeline::start`] checks everything at once and lists every problem.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    on_drain::OnDrain, processors::Processors, pusher::Pusher, split::Split, start,
    topology::Topology,
};
use crate::{
    batcher_key::BatcherKey,
    error::StartError,
    handler::Handler,
    machine::restart::RestartPolicy,
    rate_limit::RateLimit,
    source::{Source, SourceProducer},
    telemetry::{Emitter, Observer, Observers},
};

/// A pipeline in the making: a source, a handler, and options.
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
/// A limit of the compiler: in a future that is spawned, a pipeline whose handler is made of closures can't be kept across an
/// `await`. Start it where it is made, as above, or write a [`Handler`].
#[must_use = "a pipeline does nothing until it is started"]
pub struct Pipeline<S, H: Handler> {
    pub(super) source: S,
    pub(super) handler: H,
    pub(super) options: Options<H>,
}

/// Everything but the source and the handler.
pub(super) struct Options<H: Handler> {
    pub(super) name: String,
    pub(super) producers: usize,
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
}

type Batchings<H> = Vec<(<H as Handler>::Batcher, Batching<<H as Handler>::Out>)>;

impl<S, H> Pipeline<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// A pipeline with defaults for everything: one producer, twice as many processors as the machine has cores, batches
    /// of 100 messages or one second.
    ///
    /// That the source delivers what the handler takes is checked here, by the compiler.
    pub fn new(source: S, handler: H) -> Self {
        let options = Options {
            name: "pipeline".to_owned(),
            producers: 1,
            processors: Processors::default(),
            batching: H::Batcher::ALL
                .iter()
                .map(|key| (*key, Batching::default()))
                .collect(),
            rate_limit: None,
            restart: RestartPolicy::default(),
            drain_timeout: Duration::from_secs(30),
            on_drain: OnDrain::default(),
            blocked_after: Duration::from_secs(10),
            observers: Observers::default(),
            pushers: Vec::new(),
            pushed_max: 10_000,
        };
        Self {
            source,
            handler,
            options,
        }
    }

    /// The name, in events, metrics and logs. Default `"pipeline"`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// How many producers the source opens. Default 1; 1 to 1,024.
    pub fn producers(mut self, producers: usize) -> Self {
        self.options.producers = producers;
        self
    }

    /// The processors. Default [`Processors::default`].
    pub fn processors(mut self, processors: Processors<H::In>) -> Self {
        self.options.processors = processors;
        self
    }

    /// The options of each batcher: called once for each. A `match` over your batchers can't forget one.
    ///
    /// Default: [`Batching::default`] for all.
    pub fn batchers(mut self, options: impl Fn(H::Batcher) -> Batching<H::Out>) -> Self {
        self.options.batching = H::Batcher::ALL
            .iter()
            .map(|key| (*key, options(*key)))
            .collect();
        self
    }

    /// Limits how many messages all producers together let through. Defaults to no limit.
    ///
    /// Messages that were fetched and may not pass yet wait in their producer, at most as many as it was asked
    /// for. [`Topology::push`] is not limited. [`Topology::set_rate_limit`] changes the limit at run time.
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

    /// How a producer that fails is opened again. Default: after 200 ms, doubling up to 30 s, for ever.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.options.restart = policy;
        self
    }

    /// How long [`Topology::drain`] and a signal give the messages in flight to end, before the rest is left to be
    /// delivered again; and the same for producers to close. Default 30 s; more than zero. [`Duration::MAX`] is no limit.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.options.drain_timeout = timeout;
        self
    }

    /// What a drain does with messages that no handler has begun. Defaults to [`OnDrain::Release`].
    pub fn on_drain(mut self, on_drain: OnDrain) -> Self {
        self.options.on_drain = on_drain;
        self
    }

    /// Connects a [`Pusher`] to this pipeline when it starts, before its handler is first called. May be called again, for others.
    pub fn pusher(mut self, pusher: &Pusher<H::In>) -> Self {
        self.options.pushers.push(pusher.clone());
        self
    }

    /// How many pushed messages may wait for a processor when more are pushed without waiting, by
    /// [`Topology::try_push`] or [`Pusher::try_push`]. Default 10,000; at least 1.
    pub fn pushed_max(mut self, messages: usize) -> Self {
        self.options.pushed_max = messages;
        self
    }

    /// When a handler that blocks its thread (a call that does not return, a lock, a long computation without an `await`) is told of as
    /// [`Event::HandlerBlocked`](crate::telemetry::Event::HandlerBlocked): by a thread of its own, to half a second, with the
    /// coordinates of its message where the connector has them and the handler was slow before. Defaults to 10 s;
    /// [`Duration::MAX`] turns it off. More than zero.
    pub fn blocked_after(mut self, time: Duration) -> Self {
        self.options.blocked_after = time;
        self
    }

    /// Adds an observer, for metrics, a closing table or your own. Observers are called in the order in which they were added. None by
    /// default, and the pipeline logs its failures all the same: see [`without_logs`](Self::without_logs).
    ///
    /// An observer that [writes the log](Observer::writes_log), such as `TracingObserver`, replaces the pipeline's own log.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.options.observers.observe(observer);
        self
    }

    /// Sets how the pipeline logs: how many lines a second, and whether with keys. By default it logs as
    /// [`TracingObserver::new`](crate::telemetry::TracingObserver::new) does.
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

    /// The pipeline logs nothing by itself.
    ///
    /// By default, with the feature `tracing`, it logs to target `broadway` each failed message with its coordinates, failed batches
    /// and acknowledgements, restarts, lost connections, its start and its end, and at most 10 lines a second of each kind of
    /// failure. Where the program installs no `tracing` subscriber, nothing is written.
    pub fn without_logs(mut self) -> Self {
        self.options.observers.without_logs();
        self
    }

    /// Opens the source and starts the topology. Returns when all producers are open.
    ///
    /// # Errors
    ///
    /// [`StartError::Invalid`] lists every option that cannot work; [`StartError::Open`] is what the source said;
    /// [`StartError::NoRuntime`] outside a tokio runtime. In each case nothing was consumed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, producers that were already open are dropped without being closed.
    // Not `async fn`: `Send` is declared, as the compiler cannot derive it inside another future when the handler is made of
    // closures (it forgets that their errors are `'static`), and `tokio::spawn` would refuse such a future.
    #[must_use = "a pipeline starts when this is awaited: `.start().await?`"]
    pub fn start(self) -> impl Future<Output = Result<Topology<H::In>, StartError>> + Send {
        start::start(self)
    }
}

impl<H: Handler> Options<H> {
    pub(super) fn emitter(&mut self) -> Emitter {
        std::mem::take(&mut self.observers).into_emitter(&self.name)
    }
}

impl<S: fmt::Debug, H: Handler> fmt::Debug for Pipeline<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.options.name)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// When a batcher's batches are complete, and how many are handled at once.
///
/// A batch is complete by whichever comes first: its size, its bytes, its time, a split, a flush, or one of the limits on
/// memory, at which the batch that has been open the longest goes.
pub struct Batching<T> {
    pub(super) size: usize,
    pub(super) timeout: Duration,
    pub(super) bytes: Option<(usize, SizeOf<T>)>,
    pub(super) split: Option<SplitBy<T>>,
    pub(super) concurrency: usize,
    pub(super) open_max: usize,
    pub(super) buffered_max: usize,
}

/// Tells how large a message is.
pub(super) type SizeOf<T> = Arc<dyn Fn(&T) -> usize + Send + Sync>;
/// Makes the splitter of a new key.
pub(super) type SplitBy<T> = Arc<dyn Fn() -> SplitFn<T> + Send + Sync>;
/// The splitter of one key.
pub(super) type SplitFn<T> = Box<dyn FnMut(&T) -> Split + Send>;

impl<T> Default for Batching<T> {
    /// 100 messages or one second.
    fn default() -> Self {
        Self::new(100, Duration::from_secs(1))
    }
}

impl<T> Batching<T> {
    /// Batches of up to `size` messages (1 to 1,000,000), due `timeout` after their first message (more than zero;
    /// [`Duration::MAX`] is no limit).
    ///
    /// A batch that is due goes as soon as a batch processor is free for it. Until then it stays open and grows, up to its
    /// size and bytes, so that a slow sink gets fuller batches rather than more of them.
    #[must_use]
    pub fn new(size: usize, timeout: Duration) -> Self {
        Self {
            size,
            timeout,
            bytes: None,
            split: None,
            concurrency: 1,
            open_max: 10_000,
            buffered_max: 100_000,
        }
    }

    /// Batches of up to `max` bytes, where `size_of` tells the size of a message. A message that is larger makes a batch of
    /// its own. If `size_of` panics, that message fails.
    #[must_use]
    pub fn bytes(
        mut self,
        max: usize,
        size_of: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.bytes = Some((max, Arc::new(size_of)));
        self
    }

    /// Ends batches by looking at messages. `start` makes the function of a new key, which is called for each of its messages
    /// and keeps what it remembers when a batch is complete. If it panics, the message at hand fails.
    ///
    /// ```
    /// use broadway_core::{Batching, Split};
    /// use std::time::Duration;
    ///
    /// // A batch ends when its numbers add up to 100; what is over counts for the next.
    /// let batching = Batching::<u32>::new(1_000, Duration::from_secs(1)).split(|| {
    ///     let mut sum = 0;
    ///     move |number: &u32| {
    ///         sum += number;
    ///         if sum < 100 {
    ///             return Split::Continue;
    ///         }
    ///         sum -= 100;
    ///         Split::Emit
    ///     }
    /// });
    /// # let _ = batching;
    /// ```
    #[must_use]
    pub fn split<F>(mut self, start: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: FnMut(&T) -> Split + Send + 'static,
    {
        self.split = Some(Arc::new(move || Box::new(start())));
        self
    }

    /// How many batches are handled at once. Default 1; 1 to 65,536.
    ///
    /// As many more may wait ready; or, if batches are small, as many as hold 200 messages together, at most 128. When so many
    /// wait, processors do too, and the source is asked for nothing more: but see [`buffered_max`](Self::buffered_max) for a
    /// sink that hangs beside others.
    ///
    /// With [`Processors::partition_by`] the messages of a batcher are divided into this many partitions by their key, and
    /// the batches of one partition and one batch key are handled in order.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// The most batch keys that are open at once. Default 10,000; at least 1.
    #[must_use]
    pub fn open_max(mut self, keys: usize) -> Self {
        self.open_max = keys;
        self
    }

    /// The most messages that wait in open batches. Default 100,000; at least `size`.
    ///
    /// In a pipeline with several batchers it is also the bound within which a sink that hangs leaves the others alone.
    /// Processors that find no room in a batcher wait for it; if none of its batches ends for a second, they put their
    /// messages into it all the same, and go on for the others, as long as it holds fewer than `buffered_max` messages, open
    /// and ready together. At the bound they wait, and the whole pipeline with them. (Each processor may exceed it by one
    /// chunk.)
    #[must_use]
    pub fn buffered_max(mut self, messages: usize) -> Self {
        self.buffered_max = messages;
        self
    }
}

impl<T> fmt::Debug for Batching<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batching")
            .field("size", &self.size)
            .field("timeout", &self.timeout)
            .field("bytes", &self.bytes.as_ref().map(|(max, _)| max))
            .field("split", &self.split.is_some())
            .field("concurrency", &self.concurrency)
            .field("open_max", &self.open_max)
            .field("buffered_max", &self.buffered_max)
            .finish()
    }
}
