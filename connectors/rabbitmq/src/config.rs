//! What to read and how: [`RabbitMq`], the source, and its options.

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{BoxError, Checks, OpenContext, Problem};
use futures_util::future::BoxFuture;

use crate::{
    arguments::{Argument, Arguments},
    connect::ConnectOptions,
    consumer_timeout::{self, ConsumerTimeout},
    declare::{Declare, StreamOffset},
    names::longer_than_amqp_carries,
    options::{OnFailure, OnSuccess, OnUnreadable, Policy},
    setup::Setup,
};

/// The least that is fetched ahead without another word: what makes a batch of usual size fill.
const PREFETCH_MIN: usize = 300;
/// The most that AMQP can ask for.
const PREFETCH_MAX: usize = 65_535;

/// What runs after each connect.
pub(crate) type Hook = Arc<dyn Fn(Setup) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// Reads a queue.
///
/// ```
/// use broadway_rabbitmq::{Declare, OnFailure, RabbitMq};
///
/// let source = RabbitMq::queue("orders")
///     .uri("amqp://guest:guest@localhost:5672/%2f")
///     .declare(Declare::quorum().delivery_limit(5).dead_letter_exchange("dead"))
///     .bind("shop", "orders.#")
///     .on_failure(OnFailure::Requeue);
/// # let _ = source;
/// ```
///
/// Each producer has a connection and a channel of its own.
#[derive(Clone)]
#[must_use = "a source does nothing until a pipeline is started with it"]
pub struct RabbitMq {
    pub(crate) connect_options: ConnectOptions,
    pub(crate) queue: String,
    pub(crate) prefetch: Option<usize>,
    pub(crate) declare: Option<Declare>,
    pub(crate) bindings: Vec<(String, String)>,
    pub(crate) after_connect: Option<Hook>,
    pub(crate) exclusive: bool,
    pub(crate) consumer_tag: String,
    pub(crate) consumer_arguments: Arguments,
    pub(crate) stream_offset: Option<StreamOffset>,
    pub(crate) policy: Policy,
    pub(crate) on_unreadable: OnUnreadable,
    pub(crate) consumer_timeout: Option<Duration>,
    pub(crate) close_timeout: Duration,
    pub(crate) lag_interval: Duration,
}

impl RabbitMq {
    /// The queue of this name. An empty name, together with [`declare`](Self::declare), makes the broker name a new queue for
    /// each producer.
    pub fn queue(name: impl Into<String>) -> Self {
        let mut connect_options = ConnectOptions::new();
        "amqp://guest:guest@localhost:5672/%2f".clone_into(&mut connect_options.uri);
        Self {
            connect_options,
            queue: name.into(),
            prefetch: None,
            declare: None,
            bindings: Vec::new(),
            after_connect: None,
            exclusive: false,
            consumer_tag: String::new(),
            consumer_arguments: Arguments::default(),
            stream_offset: None,
            policy: Policy {
                on_success: OnSuccess::default(),
                on_failure: OnFailure::default(),
                requeue_delay: Duration::from_secs(1),
            },
            on_unreadable: OnUnreadable::default(),
            consumer_timeout: None,
            close_timeout: Duration::from_secs(10),
            lag_interval: Duration::from_secs(5),
        }
    }

    /// Where the broker is: `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. A `/` in the vhost's name is `%2f`.
    /// Default: `amqp://guest:guest@localhost:5672/%2f`.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.connect_options.uri = uri.into();
        self
    }

    /// An authority whose certificates are trusted besides those of the system, in PEM: the text, not the name of a file.
    pub fn ca_certificate(mut self, pem: impl Into<String>) -> Self {
        self.connect_options.ca_certificate = Some(pem.into());
        self
    }

    /// How the connection is called in the broker's management. Default: the name of the pipeline with the producer's number.
    pub fn connection_name(mut self, name: impl Into<String>) -> Self {
        self.connect_options.connection_name = Some(name.into());
        self
    }

    /// The most messages that the broker sends before earlier ones are settled, for each producer: 1 to 65,535. It bounds what
    /// waits here, is in work, and stands in batches. A pipeline whose largest batch is larger than all its producers may have
    /// unsettled is an error when it starts: such a batch would never fill. Give it more than the sizes of all batches that fill at
    /// once.
    ///
    /// Default: what the processors of the pipeline hold or have waiting and the largest batch together, but at least 300.
    pub fn prefetch(mut self, messages: usize) -> Self {
        self.prefetch = Some(messages);
        self
    }

    /// Declares the queue before it is read, at each connect.
    pub fn declare(mut self, declare: Declare) -> Self {
        self.declare = Some(declare);
        self
    }

    /// Binds the queue to an exchange, which has to exist, at each connect. May be called more than once.
    pub fn bind(mut self, exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        self.bindings.push((exchange.into(), routing_key.into()));
        self
    }

    /// Runs after each connect, before the queue is declared: the place to declare exchanges. An error of it at start fails the start;
    /// later it is told, and tried again.
    pub fn after_connect<F, R>(mut self, hook: F) -> Self
    where
        F: Fn(Setup) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.after_connect = Some(Arc::new(move |setup| Box::pin(hook(setup))));
        self
    }

    /// Nobody else may read the queue meanwhile. So there can be one producer only.
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }

    /// How the consumer is called. Default: the broker chooses.
    pub fn consumer_tag(mut self, tag: impl Into<String>) -> Self {
        self.consumer_tag = tag.into();
        self
    }

    /// An argument of the consumer, such as `x-priority`. A name longer than 255 bytes, the most that AMQP carries, is told when the
    /// source is opened.
    pub fn consumer_argument(mut self, name: &str, value: impl Into<Argument>) -> Self {
        self.consumer_arguments.insert(name, value.into());
        self
    }

    /// Where reading a stream begins. The broker keeps no position: this holds at each start. After a lost connection reading goes on at
    /// the oldest message that did not succeed. Required for a stream that is not [declared](Self::declare) here, for otherwise it is
    /// taken for a queue, and what fails is lost. Default for one that is: RabbitMQ's, which is `Next`.
    pub fn stream_offset(mut self, offset: StreamOffset) -> Self {
        self.stream_offset = Some(offset);
        self
    }

    /// Without a sign of the broker for twice this time, or half of it longer, since the client looks every half, the connection
    /// counts as lost: whole seconds, from 1 s to an hour. Default: what the uri says, or 30 s.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.connect_options.heartbeat = Some(interval);
        self
    }

    /// How long opening may take: connecting, setting up and reading together. Each attempt to connect again has the same time.
    /// [`Duration::MAX`] is no limit. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_options.connect_timeout = timeout;
        self
    }

    /// How long closing waits until the broker has taken the last acknowledgements. [`Duration::MAX`] is no limit. Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How often [`Event::Lag`](broadway_core::telemetry::Event::Lag) tells how far the queue is behind, and how old its oldest
    /// message is. [`Duration::MAX`] turns it off, and then no channel is opened for it. Defaults to 5 s.
    ///
    /// Each producer asks the broker how many messages are ready, and adds those that it holds itself. AMQP does not tell what other
    /// consumers hold, nor how far a stream is read: the lag of a stream is unknown. The age is that of the oldest message in the pipeline,
    /// by its property `timestamp`; unknown where no sender sets that.
    pub fn lag_interval(mut self, interval: Duration) -> Self {
        self.lag_interval = interval;
        self
    }

    /// How long a message that is to be requeued waits here first. It counts for [`prefetch`](Self::prefetch) meanwhile, so that a
    /// queue of messages that all fail is not spun through. Zero is at once; the most is four fifths of
    /// [`consumer_timeout`](Self::consumer_timeout). Default: 1 s.
    pub fn requeue_delay(mut self, delay: Duration) -> Self {
        self.policy.requeue_delay = delay;
        self
    }

    /// What happens to a message that succeeded. Default: [`OnSuccess::Ack`].
    pub fn on_success(mut self, on_success: OnSuccess) -> Self {
        self.policy.on_success = on_success;
        self
    }

    /// What happens to a message that failed. Default: [`OnFailure::Requeue`]: it comes again after
    /// [`requeue_delay`](Self::requeue_delay).
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.policy.on_failure = on_failure;
        self
    }

    /// What happens to a message that the client cannot read, such as one with a header whose name is not UTF-8. Default:
    /// [`OnUnreadable::Halt`].
    pub fn on_unreadable(mut self, on_unreadable: OnUnreadable) -> Self {
        self.on_unreadable = on_unreadable;
        self
    }

    /// How long the broker lets a message be unsettled until it closes the channel: its own `consumer_timeout`, which this does not
    /// change. Pauses before a requeue end in time, after four fifths of it at most. [`Duration::MAX`] says that the broker waits without
    /// end. When the broker closes a channel over it, the source learns the time from its words. Default: the argument
    /// `x-consumer-timeout` of the consumer or of the declared queue, or else RabbitMQ's own default, 30 min.
    pub fn consumer_timeout(mut self, timeout: Duration) -> Self {
        self.consumer_timeout = Some(timeout);
        self
    }

    pub(crate) fn patience(&self) -> ConsumerTimeout {
        ConsumerTimeout::new(self.broker_waits())
    }

    fn broker_waits(&self) -> Duration {
        let declared = self.declare.as_ref().map(|declare| &declare.arguments);
        let arguments = [Some(&self.consumer_arguments), declared];
        let told = arguments.into_iter().flatten().find_map(|arguments| {
            let told = arguments.integer("x-consumer-timeout")?;
            u64::try_from(told).ok().map(Duration::from_millis)
        });
        self.consumer_timeout
            .or(told)
            .unwrap_or(consumer_timeout::DEFAULT)
    }

    /// The prefetch window in this pipeline.
    pub(crate) fn window(&self, cx: &OpenContext) -> u16 {
        u16::try_from(self.prefetch_in(cx)).unwrap_or(u16::MAX)
    }

    fn prefetch_in(&self, cx: &OpenContext) -> usize {
        self.prefetch.unwrap_or_else(|| {
            cx.in_flight_max()
                .saturating_add(cx.batch_size_max())
                .clamp(PREFETCH_MIN, PREFETCH_MAX)
        })
    }

    /// All that cannot work in this pipeline, beside [`problems`](Self::problems).
    pub(crate) fn problems_in(&self, cx: &OpenContext) -> Vec<Problem> {
        let mut checks = Checks::default();
        let (producers, size) = (cx.producers().max(1), cx.batch_size_max());
        let prefetch = self.prefetch_in(cx);
        checks.require(
            prefetch.saturating_mul(producers) >= size,
            "prefetch",
            format_args!(
                "is {prefetch} for each of {producers} producer(s), but the largest batch has {size} messages: it would never fill, and each would wait for its timeout; give {} at least, or smaller batches",
                size.div_ceil(producers)
            ),
        );
        checks.require(
            !self.exclusive || producers == 1,
            "exclusive",
            format_args!(
                "lets one consumer read the queue, but the pipeline has {producers} producers; give it one"
            ),
        );
        checks.into_problems()
    }

    /// Whether it is said to be a stream: a header of a message could say so in any queue.
    pub(crate) fn is_stream(&self) -> bool {
        self.stream_offset.is_some() || self.declare.as_ref().is_some_and(Declare::is_stream)
    }

    /// All that cannot work.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(self.connect_options.problems());
        checks.require(
            !self.queue.is_empty() || self.declare.is_some(),
            "queue",
            "is empty; give a name, or `declare` a queue that the broker names",
        );
        if let Some(prefetch) = self.prefetch {
            checks.within("prefetch", prefetch, 1..=PREFETCH_MAX);
        }
        let may_be_stream = self.declare.as_ref().is_none_or(Declare::is_stream);
        checks.require(
            self.stream_offset.is_none() || may_be_stream,
            "stream_offset",
            "is for a stream, but another kind of queue is declared",
        );
        checks.above_zero("close_timeout", self.close_timeout);
        checks.above_zero("lag_interval", self.lag_interval);
        self.check_pauses(&mut checks);
        self.check_names(&mut checks);
        checks.into_problems()
    }

    /// Pauses that the broker would close the channel over.
    fn check_pauses(&self, checks: &mut Checks) {
        let limit = self.broker_waits();
        checks.above_zero("consumer_timeout", limit);
        let most = consumer_timeout::pause_max(limit);
        let after = match self.policy.on_failure {
            OnFailure::RequeueAfter(pause) => pause,
            _ => Duration::ZERO,
        };
        for (option, pause) in [
            ("requeue_delay", self.policy.requeue_delay),
            ("on_failure", after),
        ] {
            checks.require(
                limit == Duration::MAX || pause <= most,
                option,
                format_args!(
                    "pauses for {pause:?}, but the broker closes the channel over a message that is unsettled for {limit:?} (`consumer_timeout`); give {most:?} at most, raise `consumer_timeout` at the broker and here, or let a queue with a time to live wait"
                ),
            );
        }
    }

    /// Names that AMQP cannot carry.
    fn check_names(&self, checks: &mut Checks) {
        for (option, name) in [("queue", &self.queue), ("consumer_tag", &self.consumer_tag)] {
            if let Some(long) = longer_than_amqp_carries(name) {
                checks.add(option, long);
            }
        }
        for (exchange, routing_key) in &self.bindings {
            for (what, name) in [("exchange", exchange), ("routing key", routing_key)] {
                if let Some(long) = longer_than_amqp_carries(name) {
                    checks.add("bind", format_args!("has a name ({what}) that {long}"));
                }
            }
        }
        let declared = self
            .declare
            .iter()
            .flat_map(|declare| declare.arguments.problems());
        declared.for_each(|problem| checks.add("declare", problem));
        let consumer = self.consumer_arguments.problems().iter();
        consumer.for_each(|problem| checks.add("consumer_argument", problem));
    }
}

/// Without secrets.
impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMq")
            .field("connect_options", &self.connect_options)
            .field("queue", &self.queue)
            .field("prefetch", &self.prefetch)
            .field("declare", &self.declare)
            .field("bindings", &self.bindings)
            .field("exclusive", &self.exclusive)
            .field("stream_offset", &self.stream_offset)
            .field("policy", &self.policy)
            .field("on_unreadable", &self.on_unreadable)
            .field("consumer_timeout", &self.consumer_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
