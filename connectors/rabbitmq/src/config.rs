//! What to read and how: [`RabbitMq`], the source, and its options.

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{BoxError, Checks, ConfigError, Problem};
use futures_util::future::BoxFuture;

use crate::{
    connection::Access,
    declare::{Argument, Declare, StreamOffset},
    names::{Arguments, longer_than_amqp_carries},
    options::{OnFailure, OnSuccess, OnUnreadable, Policy},
    patience::{self, Patience},
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
    pub(crate) access: Access,
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
}

impl RabbitMq {
    /// The queue of this name. An empty name, together with [`declare`](Self::declare), makes the broker name a new queue for
    /// each producer.
    pub fn queue(name: impl Into<String>) -> Self {
        let mut access = Access::new();
        "amqp://guest:guest@localhost:5672/%2f".clone_into(&mut access.uri);
        Self {
            access,
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
        }
    }

    /// Where the broker is: `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. A `/` in the vhost's name is `%2f`.
    /// Default: `amqp://guest:guest@localhost:5672/%2f`.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.access.uri = uri.into();
        self
    }

    /// An authority whose certificates are trusted besides those of the system, in PEM: the text, not the name of a file.
    pub fn ca_certificate(mut self, pem: impl Into<String>) -> Self {
        self.access.ca_certificate = Some(pem.into());
        self
    }

    /// How the connection is called in the broker's management. Default: the name of the pipeline with the producer's number.
    pub fn connection_name(mut self, name: impl Into<String>) -> Self {
        self.access.connection_name = Some(name.into());
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
        self.access.heartbeat = Some(interval);
        self
    }

    /// How long opening may take: connecting, setting up and reading together. Each attempt to connect again has the same time.
    /// [`Duration::MAX`] is no limit. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.access.connect_timeout = timeout;
        self
    }

    /// How long closing waits until the broker has taken the last acknowledgements. [`Duration::MAX`] is no limit. Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
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

    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.broker_waits())
    }

    fn broker_waits(&self) -> Duration {
        let declared = self.declare.as_ref().map(|declare| &declare.arguments);
        let arguments = [Some(&self.consumer_arguments), declared];
        let told = arguments.into_iter().flatten().find_map(|arguments| {
            let told = arguments.integer("x-consumer-timeout")?;
            u64::try_from(told).ok().map(Duration::from_millis)
        });
        self.consumer_timeout.or(told).unwrap_or(patience::DEFAULT)
    }

    /// The prefetch window for a pipeline whose processors hold so many messages, and whose largest batch so many.
    ///
    /// # Errors
    ///
    /// When all `producers` together could never fill that batch.
    pub(crate) fn window(
        &self,
        producers: usize,
        in_flight_max: usize,
        batch_size_max: usize,
    ) -> Result<u16, ConfigError> {
        let wanted = self.prefetch.unwrap_or_else(|| {
            in_flight_max
                .saturating_add(batch_size_max)
                .clamp(PREFETCH_MIN, PREFETCH_MAX)
        });
        let mut checks = Checks::default();
        checks.require(
            wanted.saturating_mul(producers) >= batch_size_max,
            "prefetch",
            format_args!(
                "is {wanted} for each of {producers} producer(s), but the largest batch has {batch_size_max} messages: it would never fill, and each would wait for its timeout; give {} at least, or smaller batches",
                batch_size_max.div_ceil(producers)
            ),
        );
        ConfigError::check("the RabbitMQ source", checks.into_problems())?;
        Ok(u16::try_from(wanted).unwrap_or(u16::MAX))
    }

    /// Whether it is said to be a stream: a header of a message could say so in any queue.
    pub(crate) fn is_stream(&self) -> bool {
        self.stream_offset.is_some() || self.declare.as_ref().is_some_and(Declare::is_stream)
    }

    /// All that cannot work.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(self.access.problems());
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
        self.check_pauses(&mut checks);
        self.check_names(&mut checks);
        checks.into_problems()
    }

    /// Pauses that the broker would close the channel over.
    fn check_pauses(&self, checks: &mut Checks) {
        let limit = self.broker_waits();
        checks.above_zero("consumer_timeout", limit);
        let most = patience::pause_max(limit);
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
            .field("access", &self.access)
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
mod tests {
    use super::*;

    fn options(source: &RabbitMq) -> Vec<String> {
        let problems = source.problems();
        problems
            .iter()
            .map(|problem| problem.option().to_owned())
            .collect()
    }

    #[test]
    fn defaults_have_no_problem() {
        assert!(options(&RabbitMq::queue("orders")).is_empty());
        assert!(options(&RabbitMq::queue("").declare(Declare::classic())).is_empty());
    }

    #[test]
    fn every_option_that_cannot_work_is_listed() {
        let source = RabbitMq::queue("")
            .bind("x".repeat(256), "")
            .prefetch(65_536)
            .close_timeout(Duration::ZERO);
        assert_eq!(
            options(&source),
            ["queue", "prefetch", "close_timeout", "bind"]
        );
        let source = RabbitMq::queue("orders")
            .declare(Declare::quorum())
            .stream_offset(StreamOffset::First);
        assert_eq!(options(&source), ["stream_offset"]);
    }

    #[test]
    fn a_pause_that_the_broker_would_close_the_channel_over_is_refused() {
        let second = Duration::from_secs(1);
        let source = RabbitMq::queue("orders").requeue_delay(1_500 * second);
        assert_eq!(options(&source), ["requeue_delay"]);
        assert!(options(&source.clone().consumer_timeout(2_000 * second)).is_empty());
        let source = source.requeue_delay(Duration::MAX);
        assert!(options(&source.consumer_timeout(Duration::MAX)).is_empty());
        let queue = Declare::quorum().argument("x-consumer-timeout", 60_000);
        let source = RabbitMq::queue("orders")
            .declare(queue)
            .on_failure(OnFailure::RequeueAfter(120 * second));
        let [problem] = &source.problems()[..] else {
            panic!("{source:?}");
        };
        let said = format!("{problem:?}");
        for word in ["on_failure", "120s", "60s", "48s", "`consumer_timeout`"] {
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
    }

    #[test]
    fn names_that_amqp_cannot_carry_are_told_with_their_length() {
        let long = "x".repeat(300);
        let source = RabbitMq::queue(&long)
            .uri(format!("amqp://localhost/{long}"))
            .declare(Declare::quorum().argument(&long, 1))
            .bind(&long, &long)
            .consumer_tag(&long)
            .consumer_argument(&long, true);
        let problems = source.problems();
        let all = ["uri", "queue", "consumer_tag", "bind", "bind", "declare"];
        assert_eq!(
            options(&source),
            [&all[..], &["consumer_argument"]].concat()
        );
        for problem in problems {
            assert!(format!("{problem:?}").contains("300 bytes"), "{problem:?}");
        }
    }

    #[test]
    fn the_window_follows_the_pipeline_within_what_amqp_can_say() {
        let source = RabbitMq::queue("orders");
        let window = |source: &RabbitMq, held, batch| source.window(1, held, batch).unwrap();
        assert_eq!(window(&source, 40, 0), 300);
        assert_eq!(window(&source, 1_000, 0), 1_000);
        assert_eq!(window(&source, 1_000, 5_000), 6_000);
        assert_eq!(window(&source, 1_000_000, 0), 65_535);
        assert_eq!(window(&source.prefetch(1), 1_000, 1), 1);
    }

    #[test]
    fn a_batch_that_could_never_fill_is_a_problem() {
        let source = RabbitMq::queue("orders").prefetch(300);
        assert!(source.window(1, 40, 300).is_ok());
        assert!(source.window(4, 40, 1_200).is_ok());
        for (producers, batch, least) in [(1, 301, "301"), (4, 1_201, "301"), (1, 1_800, "1800")] {
            let said = source.window(producers, 40, batch).unwrap_err().to_string();
            assert!(said.contains("prefetch") && said.contains(least), "{said}");
        }
        // More than AMQP can ask for.
        let source = RabbitMq::queue("orders");
        assert!(source.window(1, 40, 70_000).is_err());
        assert!(source.window(2, 40, 70_000).is_ok());
    }

    #[test]
    fn secrets_are_not_shown() {
        let source = RabbitMq::queue("orders").uri("amqp://me:hush@localhost");
        assert!(!format!("{source:?}").contains("hush"));
    }
}
