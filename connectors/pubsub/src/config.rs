//! What to read and how: [`PubSub`], the source, and [`Create`], a subscription that is to be made.

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{BoxError, Checks, OpenContext, Problem};
use google_cloud_pubsub::client::Subscriber;

use crate::{
    given::{Building, ClientGiven},
    held::Limits,
    names::{self, Endpoint},
    options::{OnFailure, OnSuccess, Policy, Verdict},
};

/// What waits here or in batches beyond what processors hold, unless
/// [`max_outstanding_messages`](PubSub::max_outstanding_messages) says otherwise.
const AHEAD: usize = 1_000;
/// How long leases are extended by default.
const EXTENSION: Duration = Duration::from_secs(60);
const EXTENSION_EMULATOR: Duration = Duration::from_secs(10);

/// Reads a subscription.
///
/// Each producer of the pipeline has a stream and a connection of its own; the service shares messages out between them.
///
/// ```
/// use std::time::Duration;
/// use broadway_pubsub::{OnFailure, PubSub};
///
/// let source = PubSub::subscription("projects/plant/subscriptions/sensors")
///     .max_outstanding_messages(5_000)
///     .max_lease(Duration::from_secs(15 * 60))
///     .on_failure(OnFailure::NackAfter(Duration::from_secs(30)));
/// # let _ = source;
/// ```
#[derive(Clone)]
#[must_use = "a source does nothing until a pipeline is started with it"]
pub struct PubSub {
    pub(crate) subscription: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) client: Option<ClientGiven>,
    pub(crate) create: Option<Create>,
    pub(crate) policy: Policy,
    pub(crate) max_outstanding_messages: Option<usize>,
    pub(crate) max_outstanding_bytes: usize,
    pub(crate) max_lease: Duration,
    pub(crate) max_lease_extension: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) lag_interval: Duration,
}

/// A subscription that is made when there is none, for development and tests; see [`PubSub::create`].
#[derive(Debug, Clone)]
#[must_use = "give it to `PubSub::create`"]
pub struct Create {
    pub(crate) topic: String,
    pub(crate) is_ordered: bool,
    pub(crate) is_exactly_once: bool,
}

impl Create {
    /// A subscription to this topic, which must exist: `projects/p/topics/t`.
    pub fn on(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            is_ordered: false,
            is_exactly_once: false,
        }
    }

    /// Messages of an ordering key are delivered in the order in which they were published.
    pub fn ordered(mut self) -> Self {
        self.is_ordered = true;
        self
    }

    /// With exactly-once delivery: a confirmed acknowledgement is final.
    pub fn exactly_once(mut self) -> Self {
        self.is_exactly_once = true;
        self
    }
}

impl PubSub {
    /// A subscription by its full name: `projects/p/subscriptions/s`.
    pub fn subscription(name: impl Into<String>) -> Self {
        Self {
            subscription: name.into(),
            endpoint: None,
            client: None,
            create: None,
            policy: Policy::default(),
            max_outstanding_messages: None,
            max_outstanding_bytes: 100 * 1024 * 1024,
            max_lease: Duration::from_secs(3_600),
            max_lease_extension: None,
            connect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            lag_interval: Duration::from_secs(5),
        }
    }

    /// Where the service is: a regional endpoint such as `https://europe-west1-pubsub.googleapis.com`, or `http://host:port` of
    /// an emulator, to which no credentials are sent. Default: the emulator that the variable `PUBSUB_EMULATOR_HOST` names,
    /// if it is set, and otherwise the service.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Reads with this client, for credentials or a connection of your own; [`endpoint`](Self::endpoint),
    /// [`create`](Self::create) and `PUBSUB_EMULATOR_HOST` then mean nothing. All producers share its connection.
    /// Default: one client for each producer, with
    /// [Application Default Credentials](https://cloud.google.com/docs/authentication/application-default-credentials).
    ///
    /// A client's connection lives on the runtime on which the client was built. A handler that blocks all threads of that
    /// runtime holds up lease extensions and acknowledgements too, and messages come again. [`client_with`](Self::client_with)
    /// builds the client where no handler runs.
    pub fn client(mut self, client: Subscriber) -> Self {
        self.client = Some(ClientGiven::Built(client));
        self
    }

    /// As [`client`](Self::client), with a client that `build` makes for each producer, on the producer's own thread: a handler
    /// that blocks its thread cannot hold up its connection. Called each time a producer is opened; it must not block, and
    /// shares the time of [`connect_timeout`](Self::connect_timeout).
    ///
    /// ```
    /// use broadway_pubsub::PubSub;
    /// use google_cloud_auth::credentials::anonymous;
    /// use google_cloud_pubsub::client::Subscriber;
    ///
    /// let source = PubSub::subscription("projects/plant/subscriptions/sensors").client_with(|| async {
    ///     let credentials = anonymous::Builder::new().build();
    ///     let builder = Subscriber::builder().with_endpoint("http://127.0.0.1:8085");
    ///     Ok(builder.with_credentials(credentials).build().await?)
    /// });
    /// # let _ = source;
    /// ```
    pub fn client_with<B, F>(mut self, build: B) -> Self
    where
        B: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Subscriber, BoxError>> + Send + 'static,
    {
        let build = move || -> Building { Box::pin(build()) };
        self.client = Some(ClientGiven::Build(Arc::new(build)));
        self
    }

    /// Makes the subscription when it is missing. What was published before is not in it. Needs permission to look for and
    /// create subscriptions and to attach one to the topic; production has its subscriptions made beforehand. Default: a
    /// missing subscription is an error.
    pub fn create(mut self, create: Create) -> Self {
        self.create = Some(create);
        self
    }

    /// What is said of a message that succeeded. Default: [`OnSuccess::Ack`].
    pub fn on_success(mut self, on_success: OnSuccess) -> Self {
        self.policy.on_success = on_success;
        self
    }

    /// What is said of a message that failed. Default: [`OnFailure::NackAfter`] 10 seconds.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.policy.on_failure = on_failure;
        self
    }

    /// The most messages that each producer holds: waiting, handled, in batches, or kept back after a failure. The service
    /// sends no more, and what an emulator sends beyond stays in the connection. Default: the producer's share of what the
    /// pipeline's processors hold, and beyond that twice the pipeline's largest batch size, at least 1,000. All producers
    /// together must be able to hold a batch of the largest size: less is an error at the start, since such a batch would only
    /// ever end by its timeout.
    pub fn max_outstanding_messages(mut self, messages: usize) -> Self {
        self.max_outstanding_messages = Some(messages);
        self
    }

    /// The most bytes of data that each producer holds, give or take the last message. Default: 100 MiB.
    pub fn max_outstanding_bytes(mut self, bytes: usize) -> Self {
        self.max_outstanding_bytes = bytes;
        self
    }

    /// How long a message is kept under lease after it arrived, at most: what takes longer comes again, here or elsewhere,
    /// while it is still in work. More than a year counts as a year. Default: 60 min.
    pub fn max_lease(mut self, lease: Duration) -> Self {
        self.max_lease = lease;
        self
    }

    /// By how much a lease is extended at a time, 10 s to 10 min in whole seconds: how long after a crash its messages come
    /// again. Default: 60 s; 10 s with an emulator, since Google's does not notice that a stream has gone, and sends to it until
    /// the lease runs out.
    pub fn max_lease_extension(mut self, extension: Duration) -> Self {
        self.max_lease_extension = Some(extension);
        self
    }

    /// How long opening waits for credentials, for the service to answer, and for a refusal of the stream, all in all.
    /// `Duration::MAX` means no limit. Default: 10 s. Each question about a silent stream has the same time again, but at most 60 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long closing waits for the last acknowledgements to arrive. `Duration::MAX` means no limit. Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How often [`Event::Lag`](broadway_core::telemetry::Event::Lag) tells how far the subscription is behind, and how old its
    /// oldest message is. [`Duration::MAX`] turns it off. Defaults to 5 s.
    ///
    /// Pub/Sub does not tell how many messages wait: that is the metric `num_undelivered_messages` of Cloud Monitoring, and the lag
    /// is unknown here. The age is that of the oldest message that the producer holds, by its publish time.
    pub fn lag_interval(mut self, interval: Duration) -> Self {
        self.lag_interval = interval;
        self
    }

    /// All that cannot work.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(names::check(
            "subscription",
            "subscriptions",
            &self.subscription,
        ));
        if self.client.is_none() {
            checks.extend(Endpoint::problem(self.endpoint.as_deref()));
        }
        if let Some(create) = &self.create {
            checks.extend(names::check("create", "topics", &create.topic));
        }
        if let Some(most) = self.max_outstanding_messages {
            checks.within("max_outstanding_messages", most, 1..=u32::MAX as usize / 2);
        }
        checks.within(
            "max_outstanding_bytes",
            self.max_outstanding_bytes,
            1..=usize::MAX,
        );
        let extension = self.lease_extension(false);
        checks.require(
            (Duration::from_secs(10)..=Duration::from_secs(600)).contains(&extension),
            "max_lease_extension",
            format_args!("is {extension:?}; the service allows 10 s to 10 min"),
        );
        checks.require(
            self.max_lease >= extension,
            "max_lease",
            format_args!(
                "is {:?}, below `max_lease_extension`, to which the first extension goes; give at least {extension:?}",
                self.max_lease
            ),
        );
        checks.above_zero("connect_timeout", self.connect_timeout);
        checks.above_zero("close_timeout", self.close_timeout);
        checks.above_zero("lag_interval", self.lag_interval);
        for (option, verdict) in [
            ("on_success", Verdict::from(self.policy.on_success)),
            ("on_failure", Verdict::from(self.policy.on_failure)),
        ] {
            checks.require(
                !matches!(verdict, Verdict::NackAfter(delay) if delay >= self.max_lease),
                option,
                "waits for `max_lease` or longer, at which the lease ends by itself",
            );
        }
        checks.into_problems()
    }

    pub(crate) fn lease_extension(&self, is_emulator: bool) -> Duration {
        let default = if is_emulator {
            EXTENSION_EMULATOR
        } else {
            EXTENSION
        };
        self.max_lease_extension.unwrap_or(default)
    }

    /// All that cannot work in this pipeline, beside [`problems`](Self::problems).
    pub(crate) fn problems_in(&self, cx: &OpenContext) -> Vec<Problem> {
        let mut checks = Checks::default();
        let (size, producers) = (cx.batch_size_max(), cx.producers().max(1));
        if let Some(most) = self.max_outstanding_messages {
            checks.require(
                most.saturating_mul(producers) >= size,
                "max_outstanding_messages",
                format_args!(
                    "is {most} for each of {producers} producers, fewer than the {size} messages of the pipeline's largest \
                     batch, which would only ever end by its timeout; give at least {}, leave it out, or make batches smaller",
                    size.div_ceil(producers)
                ),
            );
        }
        checks.into_problems()
    }

    pub(crate) fn limits(&self, cx: &OpenContext) -> Limits {
        let share = cx.in_flight_max().div_ceil(cx.producers().max(1));
        // One batch fills while another is written.
        let ahead = AHEAD.max(cx.batch_size_max().saturating_mul(2));
        Limits {
            messages: self
                .max_outstanding_messages
                .unwrap_or(share.saturating_add(ahead)),
            bytes: self.max_outstanding_bytes,
        }
    }
}

/// Shows options, and of a client only that there is one.
impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub")
            .field("subscription", &self.subscription)
            .field("endpoint", &Endpoint::shown(self.endpoint.as_deref()))
            .field("has_client", &self.client.is_some())
            .field("create", &self.create)
            .field("policy", &self.policy)
            .field("max_outstanding_messages", &self.max_outstanding_messages)
            .field("max_outstanding_bytes", &self.max_outstanding_bytes)
            .field("max_lease", &self.max_lease)
            .field("max_lease_extension", &self.max_lease_extension)
            .field("connect_timeout", &self.connect_timeout)
            .field("close_timeout", &self.close_timeout)
            .field("lag_interval", &self.lag_interval)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(source: &PubSub) -> Vec<String> {
        let problems = source.problems();
        problems
            .iter()
            .map(|problem| problem.option().to_owned())
            .collect()
    }

    #[test]
    fn defaults_with_a_name_work() {
        let source = PubSub::subscription("projects/p/subscriptions/sensors");
        assert_eq!(told(&source), Vec::<String>::new());
        let limits = source.limits(&OpenContext::for_test());
        assert_eq!(limits.messages, 1_000 + AHEAD);
    }

    #[test]
    fn a_batch_fits_by_default_and_is_checked_otherwise() {
        let source = PubSub::subscription("projects/p/subscriptions/sensors");
        let cx = OpenContext::for_test().with_batch_size_max(50_000);
        assert_eq!(source.limits(&cx).messages, 1_000 + 100_000);
        assert!(source.problems_in(&cx).is_empty());
        let just = source.clone().max_outstanding_messages(50_000);
        assert!(just.problems_in(&cx).is_empty());
        let less = source.max_outstanding_messages(49_999);
        let told = less.problems_in(&cx)[0].to_string();
        assert!(told.contains("49999") && told.contains("50000"), "{told}");
        assert!(less.problems_in(&OpenContext::for_test()).is_empty());
    }

    #[test]
    fn a_password_in_the_endpoint_is_not_shown() {
        let source = PubSub::subscription("sensors").endpoint("https://me:hush@host");
        let text = format!("{source:?} {:?}", source.problems());
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn every_option_that_cannot_work_is_named() {
        let source = PubSub::subscription("sensors")
            .endpoint("127.0.0.1:8085")
            .create(Create::on("a topic"))
            .max_outstanding_messages(0)
            .max_outstanding_bytes(0)
            .max_lease(Duration::from_secs(5))
            .max_lease_extension(Duration::from_secs(9))
            .connect_timeout(Duration::ZERO)
            .close_timeout(Duration::ZERO)
            .lag_interval(Duration::ZERO);
        assert_eq!(
            told(&source),
            [
                "subscription",
                "endpoint",
                "create",
                "max_outstanding_messages",
                "max_outstanding_bytes",
                "max_lease_extension",
                "max_lease",
                "connect_timeout",
                "close_timeout",
                "lag_interval",
                "on_failure",
            ]
        );
    }
}
