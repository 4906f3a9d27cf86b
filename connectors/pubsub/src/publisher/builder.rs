//! Where to publish and how: [`PubSubPublisherBuilder`].

use std::{fmt, time::Duration};

use broadway_core::{BoxError, Checks, ConfigError, Problem, connector::readable};
use google_cloud_gax::retry_policy::RetryPolicyExt;
use google_cloud_pubsub::{
    client::{BasePublisher, Publisher as Client},
    retry_policy::RetryableErrors,
};

use super::PubSubPublisher;
use crate::{
    connect::{Access, Found, LIMIT_MAX, Limit, Target},
    names::{self, Endpoint},
};

/// The most messages that a request may have.
const BATCH_MAX: u32 = 1_000;

/// The options of a [`PubSubPublisher`]; made by [`PubSubPublisher::topic`].
///
/// ```no_run
/// use std::time::Duration;
/// use broadway_pubsub::PubSubPublisher;
///
/// # async fn run() -> Result<(), broadway_core::BoxError> {
/// let readings = PubSubPublisher::topic("projects/plant/topics/readings")
///     .in_flight_max(5_000)
///     .confirm_timeout(Duration::from_secs(10))
///     .open()
///     .await?;
/// # let _ = readings;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a publisher is made by `open`"]
pub struct PubSubPublisherBuilder {
    pub(super) topic: String,
    pub(super) endpoint: Option<String>,
    pub(super) client: Option<BasePublisher>,
    pub(super) create_topic: bool,
    pub(super) connect_timeout: Duration,
    pub(super) confirm_timeout: Duration,
    pub(super) close_timeout: Duration,
    pub(super) in_flight_max: usize,
    pub(super) linger: Duration,
}

impl PubSubPublisherBuilder {
    pub(super) fn new(topic: String) -> Self {
        Self {
            topic,
            endpoint: None,
            client: None,
            create_topic: false,
            connect_timeout: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            in_flight_max: 1_000,
            linger: Duration::from_millis(1),
        }
    }

    /// Where the service is; see [`PubSub::endpoint`](crate::PubSub::endpoint). For the order of a key, all who publish it
    /// need the same region.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Publishes with this client, for credentials, a connection or a retry policy of your own, which then takes the place of
    /// that of [`confirm_timeout`](Self::confirm_timeout). [`endpoint`](Self::endpoint),
    /// [`create_topic`](Self::create_topic) and `PUBSUB_EMULATOR_HOST` then mean nothing. Default: a client with
    /// [Application Default Credentials](https://cloud.google.com/docs/authentication/application-default-credentials).
    pub fn client(mut self, client: BasePublisher) -> Self {
        self.client = Some(client);
        self
    }

    /// Makes the topic when it is missing, for development and tests. Default: a missing topic is an error, told when the
    /// publisher is opened if the topic may be looked at, and otherwise by the first message.
    pub fn create_topic(mut self) -> Self {
        self.create_topic = true;
        self
    }

    /// How long opening waits for credentials and for the service to answer, all in all. `Duration::MAX` means no limit.
    /// Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a message may remain unconfirmed, with all that is tried again. After that it fails as
    /// [`Unconfirmed`](broadway_core::PublishErrorKind::Unconfirmed), within another second. `Duration::MAX` means no limit.
    /// Default: 30 s.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// How long closing waits for what is unconfirmed. `Duration::MAX` means no limit. Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// The most messages in flight; callers wait beyond that. Messages of a call that was dropped are not counted any more.
    /// Default: 1,000.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// How long a message waits for others to go with it, in a request of at most 1,000 messages or about 1 MB. Many small calls
    /// at once gain by more. Must be below [`confirm_timeout`](Self::confirm_timeout). Default: 1 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Opens the publisher. Returns when the service has answered a question for the topic.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for options that cannot work; otherwise a text that names the option: there are no credentials, nothing
    /// answers within `connect_timeout`, there is no such topic.
    pub async fn open(self) -> Result<PubSubPublisher, BoxError> {
        self.try_open().await.map_err(readable)
    }

    async fn try_open(self) -> Result<PubSubPublisher, BoxError> {
        ConfigError::check("the Pub/Sub publisher", self.problems())?;
        let (base, target) = self.connect().await?;
        let client: Client = base
            .publisher(&self.topic)
            .set_message_count_threshold(BATCH_MAX)
            .set_delay_threshold(self.linger)
            .build();
        Ok(PubSubPublisher::new(client, &self, target))
    }

    async fn connect(&self) -> Result<(BasePublisher, Target), BoxError> {
        let name = &self.topic;
        if let Some(client) = &self.client {
            let target = Target {
                option: "topic",
                name: name.clone(),
                endpoint: "the endpoint of `client`".to_owned(),
            };
            return Ok((client.clone(), target));
        }
        let limit = Limit::begin(self.connect_timeout);
        let access = Access::new(self.endpoint.as_deref(), limit).await?;
        let target = access.target("topic", name);
        match access.find_topic(name, limit).await? {
            Found::No if self.create_topic => access.create_topic(name, limit).await?,
            Found::No => return Err(target.missing().into()),
            Found::Yes | Found::Hidden => {}
        }
        let client = BasePublisher::builder()
            .with_endpoint(&access.endpoint.url)
            .with_credentials(access.credentials.clone())
            .with_retry_policy(RetryableErrors.with_time_limit(self.confirm_timeout.min(LIMIT_MAX)))
            .build();
        let client = client.await.map_err(|error| access.unusable(&error))?;
        Ok((client, target))
    }

    /// All that cannot work.
    fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(names::check("topic", "topics", &self.topic));
        if self.client.is_none() {
            checks.extend(Endpoint::problem(self.endpoint.as_deref()));
        }
        checks.within(
            "in_flight_max",
            self.in_flight_max,
            1..=u32::MAX as usize / 8,
        );
        checks.above_zero("connect_timeout", self.connect_timeout);
        checks.above_zero("confirm_timeout", self.confirm_timeout);
        checks.above_zero("close_timeout", self.close_timeout);
        checks.require(
            self.linger < self.confirm_timeout,
            "linger",
            format_args!(
                "is {:?}, not below `confirm_timeout` = {:?}, after which a message that still waits for others fails",
                self.linger, self.confirm_timeout
            ),
        );
        checks.into_problems()
    }
}

/// Shows options, and of a client only that there is one.
impl fmt::Debug for PubSubPublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubPublisherBuilder")
            .field("topic", &self.topic)
            .field("endpoint", &Endpoint::shown(self.endpoint.as_deref()))
            .field("has_client", &self.client.is_some())
            .field("create_topic", &self.create_topic)
            .field("connect_timeout", &self.connect_timeout)
            .field("confirm_timeout", &self.confirm_timeout)
            .field("close_timeout", &self.close_timeout)
            .field("in_flight_max", &self.in_flight_max)
            .field("linger", &self.linger)
            .finish()
    }
}
