//! The source and its options: [`PubSub`].

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{BoxError, Checks, OpenContext, Problem, connector::without_user_info};
use google_cloud_pubsub::client::Subscriber;

use crate::{
    connect::{ClientFuture, ProvidedClient},
    endpoint::Endpoint,
    options::{AckAction, NewSubscription, OnFailure, OnSuccess, PubSubAckPolicy},
    resource_name,
    unsettled::OutstandingLimits,
};

/// Room for messages that wait or are in batches, beyond those that processors hold, in the default of
/// [`outstanding_messages_max`](PubSub::outstanding_messages_max).
const AHEAD: usize = 1_000;
/// Defaults of `lease_extension_max`.
const LEASE_EXTENSION: Duration = Duration::from_secs(60);
const LEASE_EXTENSION_EMULATOR: Duration = Duration::from_secs(10);

/// Reads a subscription.
///
/// Each producer of the pipeline has a stream and a connection of its own; the service distributes messages among them.
///
/// ```
/// use std::time::Duration;
/// use broadway_pubsub::{OnFailure, PubSub};
///
/// let source = PubSub::subscription("projects/plant/subscriptions/sensors")
///     .outstanding_messages_max(5_000)
///     .lease_max(Duration::from_secs(15 * 60))
///     .on_failure(OnFailure::NackAfter(Duration::from_secs(30)));
/// # let _ = source;
/// ```
#[derive(Clone)]
#[must_use = "a source does nothing until a pipeline is started with it"]
pub struct PubSub {
    pub(crate) subscription: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) client: Option<ProvidedClient>,
    pub(crate) create_if_missing: Option<NewSubscription>,
    pub(crate) outstanding_messages_max: Option<usize>,
    pub(crate) outstanding_bytes_max: usize,
    pub(crate) lease_max: Duration,
    pub(crate) lease_extension_max: Option<Duration>,
    pub(crate) policy: PubSubAckPolicy,
    pub(crate) connect_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) lag_interval: Duration,
}

impl PubSub {
    /// Reads the subscription with this full name: `projects/p/subscriptions/s`.
    pub fn subscription(name: impl Into<String>) -> Self {
        Self {
            subscription: name.into(),
            endpoint: None,
            client: None,
            create_if_missing: None,
            outstanding_messages_max: None,
            outstanding_bytes_max: 100 * 1024 * 1024,
            lease_max: Duration::from_secs(3_600),
            lease_extension_max: None,
            policy: PubSubAckPolicy::default(),
            connect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            lag_interval: Duration::from_secs(5),
        }
    }

    /// URL of the service: a regional endpoint such as `https://europe-west1-pubsub.googleapis.com`, or `http://host:port` of an
    /// emulator, to which no credentials are sent. Defaults to the emulator that the variable `PUBSUB_EMULATOR_HOST` names if it is
    /// set, otherwise to the service.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Reads with this client, for your own credentials or connection. [`endpoint`](Self::endpoint),
    /// [`create_if_missing`](Self::create_if_missing) and `PUBSUB_EMULATOR_HOST` then have no effect. All producers share its
    /// connection. By default each producer makes a client, with
    /// [Application Default Credentials](https://cloud.google.com/docs/authentication/application-default-credentials).
    ///
    /// The runtime on which a client was built drives its connection. If a handler blocks all threads of that runtime, lease extensions
    /// and acknowledgements stop too, and messages are delivered again. [`client_with`](Self::client_with) builds the client where no
    /// handler runs.
    pub fn client(mut self, client: Subscriber) -> Self {
        self.client = Some(ProvidedClient::Built(client));
        self
    }

    /// As [`client`](Self::client), with a client that `build` makes for each producer on the producer's own thread, so that a
    /// handler that blocks its thread cannot hold up its connection. `build` runs each time a producer is opened. It must not block,
    /// and shares the time of [`connect_timeout`](Self::connect_timeout).
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
        let build = move || -> ClientFuture { Box::pin(build()) };
        self.client = Some(ProvidedClient::Build(Arc::new(build)));
        self
    }

    /// Creates the subscription when the source opens, if it does not exist. It has no messages that were published before. Needs the
    /// permissions to get and create subscriptions and to attach one to the topic. For development and tests: production usually
    /// creates subscriptions beforehand. By default a missing subscription is an error.
    pub fn create_if_missing(mut self, subscription: NewSubscription) -> Self {
        self.create_if_missing = Some(subscription);
        self
    }

    /// Maximum number of unacknowledged messages of each producer: waiting, handled, in batches, or kept after a failure. The service
    /// sends no more; messages that an emulator sends beyond stay in the connection. Defaults to the producer's share of what the
    /// pipeline's processors hold, plus twice the pipeline's largest batch size, at least 1,000. All producers together must be able
    /// to hold a batch of the largest size: fewer is an error at the start, since such a batch would only ever end by its timeout.
    pub fn outstanding_messages_max(mut self, messages: usize) -> Self {
        self.outstanding_messages_max = Some(messages);
        self
    }

    /// Maximum number of unacknowledged bytes of data of each producer; the last message may exceed it. Defaults to 100 MiB.
    pub fn outstanding_bytes_max(mut self, bytes: usize) -> Self {
        self.outstanding_bytes_max = bytes;
        self
    }

    /// How long a message is kept under lease after it was received. A message that takes longer is delivered again, here or
    /// elsewhere, while it is still being handled. Values above a year count as a year. Defaults to 60 min.
    pub fn lease_max(mut self, lease: Duration) -> Self {
        self.lease_max = lease;
        self
    }

    /// By how much a lease is extended at a time: whole seconds, 10 s to 10 min. After a crash, messages are delivered again after
    /// this time. Defaults to 60 s, and to 10 s with an emulator, since Google's does not notice that a stream has ended, and sends
    /// to it until the lease expires.
    pub fn lease_extension_max(mut self, extension: Duration) -> Self {
        self.lease_extension_max = Some(extension);
        self
    }

    /// What happens to a message that succeeded. Defaults to [`OnSuccess::Ack`].
    pub fn on_success(mut self, on_success: OnSuccess) -> Self {
        self.policy.on_success = on_success;
        self
    }

    /// What happens to a message that failed. Defaults to [`OnFailure::NackAfter`] 10 seconds.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.policy.on_failure = on_failure;
        self
    }

    /// Limit on opening: finding credentials, the answer of the service, and the wait for it to reject the stream, together. Each
    /// health check of a silent stream has this limit too, but at most 60 s. `Duration::MAX` means no limit. Defaults to 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Limit on closing, which waits until the last acknowledgements are sent. `Duration::MAX` means no limit. Defaults to 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How often [`Event::Lag`](broadway_core::telemetry::Event::Lag) reports how old the oldest message is.
    /// [`Duration::MAX`] turns it off. Defaults to 5 s.
    ///
    /// The age is the age of the oldest message that the producer holds, by its publish time. The number of waiting messages is unknown:
    /// Pub/Sub does not return it to subscribers. It is the metric `num_undelivered_messages` of Cloud Monitoring.
    pub fn lag_interval(mut self, interval: Duration) -> Self {
        self.lag_interval = interval;
        self
    }

    /// Checks the options without connecting.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(resource_name::check(
            "subscription",
            "subscriptions",
            &self.subscription,
        ));
        if self.client.is_none() {
            checks.extend(Endpoint::problem(self.endpoint.as_deref()));
        }
        if let Some(new) = &self.create_if_missing {
            checks.extend(resource_name::check(
                "create_if_missing",
                "topics",
                &new.topic,
            ));
        }
        if let Some(messages) = self.outstanding_messages_max {
            let range = 1..=u32::MAX as usize / 2;
            checks.within("outstanding_messages_max", messages, range);
        }
        checks.within(
            "outstanding_bytes_max",
            self.outstanding_bytes_max,
            1..=usize::MAX,
        );
        let extension = self.lease_extension(false);
        checks.require(
            self.lease_max >= extension,
            "lease_max",
            format_args!(
                "is {:?}, shorter than the first extension, `lease_extension_max`; give at least {extension:?}",
                self.lease_max
            ),
        );
        checks.duration_within(
            "lease_extension_max",
            extension,
            Duration::from_secs(10)..=Duration::from_secs(600),
        );
        for (option, action) in [
            ("on_success", AckAction::from(self.policy.on_success)),
            ("on_failure", AckAction::from(self.policy.on_failure)),
        ] {
            checks.require(
                !matches!(action, AckAction::NackAfter(delay) if delay >= self.lease_max),
                option,
                "waits as long as `lease_max` or longer, when the lease has ended; give a shorter time",
            );
        }
        checks.timeout("connect_timeout", self.connect_timeout);
        checks.timeout("close_timeout", self.close_timeout);
        checks.above_zero("lag_interval", self.lag_interval);
        checks.into_problems()
    }

    /// Checks the options against the pipeline, in addition to [`problems`](Self::problems).
    pub(crate) fn pipeline_problems(&self, cx: &OpenContext) -> Vec<Problem> {
        let mut checks = Checks::default();
        let (size, producers) = (cx.batch_size_max(), cx.producers().max(1));
        if let Some(messages) = self.outstanding_messages_max {
            checks.require(
                messages.saturating_mul(producers) >= size,
                "outstanding_messages_max",
                format_args!(
                    "is {messages} for each of {producers} producers, fewer than the {size} messages of the pipeline's largest \
                     batch, which would only ever end by its timeout; give at least {}, leave it out, or make batches smaller",
                    size.div_ceil(producers)
                ),
            );
        }
        checks.into_problems()
    }

    pub(crate) fn lease_extension(&self, is_emulator: bool) -> Duration {
        let default = if is_emulator {
            LEASE_EXTENSION_EMULATOR
        } else {
            LEASE_EXTENSION
        };
        self.lease_extension_max.unwrap_or(default)
    }

    pub(crate) fn outstanding_limits(&self, cx: &OpenContext) -> OutstandingLimits {
        let share = cx.in_flight_max().div_ceil(cx.producers().max(1));
        // Twice the batch size: one batch fills while another is written.
        let ahead = AHEAD.max(cx.batch_size_max().saturating_mul(2));
        OutstandingLimits {
            messages: self
                .outstanding_messages_max
                .unwrap_or(share.saturating_add(ahead)),
            bytes: self.outstanding_bytes_max,
        }
    }
}

/// Shows the options, and of a client only whether there is one.
impl fmt::Debug for PubSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSub")
            .field("subscription", &self.subscription)
            .field("endpoint", &self.endpoint.as_deref().map(without_user_info))
            .field("has_client", &self.client.is_some())
            .field("create_if_missing", &self.create_if_missing)
            .field("outstanding_messages_max", &self.outstanding_messages_max)
            .field("outstanding_bytes_max", &self.outstanding_bytes_max)
            .field("lease_max", &self.lease_max)
            .field("lease_extension_max", &self.lease_extension_max)
            .field("policy", &self.policy)
            .field("connect_timeout", &self.connect_timeout)
            .field("close_timeout", &self.close_timeout)
            .field("lag_interval", &self.lag_interval)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(source: &PubSub) -> Vec<String> {
        let problems = source.problems();
        problems
            .iter()
            .map(|problem| problem.option().to_owned())
            .collect()
    }

    #[test]
    fn defaults_have_no_problem() {
        let source = PubSub::subscription("projects/p/subscriptions/sensors");
        assert_eq!(options(&source), Vec::<String>::new());
        let limits = source.outstanding_limits(&OpenContext::for_test());
        assert_eq!(limits.messages, 1_000 + AHEAD);
    }

    #[test]
    fn a_batch_fits_by_default_and_is_checked_otherwise() {
        let source = PubSub::subscription("projects/p/subscriptions/sensors");
        let cx = OpenContext::for_test().with_batch_size_max(50_000);
        assert_eq!(source.outstanding_limits(&cx).messages, 1_000 + 100_000);
        assert!(source.pipeline_problems(&cx).is_empty());
        let just = source.clone().outstanding_messages_max(50_000);
        assert!(just.pipeline_problems(&cx).is_empty());
        let less = source.outstanding_messages_max(49_999);
        let text = less.pipeline_problems(&cx)[0].to_string();
        assert!(text.contains("49999") && text.contains("50000"), "{text}");
        assert!(less.pipeline_problems(&OpenContext::for_test()).is_empty());
    }

    #[test]
    fn a_password_in_the_endpoint_is_not_shown() {
        let source = PubSub::subscription("sensors").endpoint("https://me:hush@host");
        let text = format!("{source:?} {:?}", source.problems());
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn every_invalid_option_is_listed() {
        let source = PubSub::subscription("sensors")
            .endpoint("127.0.0.1:8085")
            .create_if_missing(NewSubscription::on("a topic"))
            .outstanding_messages_max(0)
            .outstanding_bytes_max(0)
            .lease_max(Duration::from_secs(5))
            .lease_extension_max(Duration::from_secs(9))
            .connect_timeout(Duration::ZERO)
            .close_timeout(Duration::ZERO)
            .lag_interval(Duration::ZERO);
        assert_eq!(
            options(&source),
            [
                "subscription",
                "endpoint",
                "create_if_missing",
                "outstanding_messages_max",
                "outstanding_bytes_max",
                "lease_max",
                "lease_extension_max",
                "on_failure",
                "connect_timeout",
                "close_timeout",
                "lag_interval",
            ]
        );
    }
}
