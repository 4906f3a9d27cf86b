//! Options of a publisher: [`PubSubPublisherBuilder`].

use std::{fmt, time::Duration};

use broadway_core::{
    BoxError, Checks, ConfigError, Problem,
    connector::{ConnectorError, without_user_info},
};
use google_cloud_gax::retry_policy::RetryPolicyExt;
use google_cloud_pubsub::{
    client::{BasePublisher, Publisher as Client},
    retry_policy::RetryableErrors,
};

use super::PubSubPublisher;
use crate::{
    connect::{LIMIT_MAX, Lookup, ServiceAccess, TimeLimit},
    endpoint::Endpoint,
    error::Resource,
    resource_name,
};

/// Maximum number of messages in a request, a limit of Pub/Sub.
const REQUEST_MAX: u32 = 1_000;

/// The options of a [`PubSubPublisher`], from [`PubSubPublisher::topic`].
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
#[must_use = "a publisher is opened with `open`"]
pub struct PubSubPublisherBuilder {
    pub(super) topic: String,
    pub(super) endpoint: Option<String>,
    pub(super) client: Option<BasePublisher>,
    pub(super) create_if_missing: bool,
    pub(super) in_flight_max: usize,
    pub(super) linger: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) confirm_timeout: Duration,
    pub(super) close_timeout: Duration,
}

impl PubSubPublisherBuilder {
    pub(super) fn new(topic: String) -> Self {
        Self {
            topic,
            endpoint: None,
            client: None,
            create_if_missing: false,
            in_flight_max: 1_000,
            linger: Duration::from_millis(1),
            connect_timeout: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
        }
    }

    /// URL of the service; see [`PubSub::endpoint`](crate::PubSub::endpoint). All publishers of an ordering key must use the same
    /// region for its messages to be in order.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Publishes with this client, for your own credentials, connection or retry policy, which then replaces the retries of
    /// [`confirm_timeout`](Self::confirm_timeout). [`endpoint`](Self::endpoint), [`create_if_missing`](Self::create_if_missing) and
    /// `PUBSUB_EMULATOR_HOST` then have no effect. By default the publisher makes a client, with
    /// [Application Default Credentials](https://cloud.google.com/docs/authentication/application-default-credentials).
    pub fn client(mut self, client: BasePublisher) -> Self {
        self.client = Some(client);
        self
    }

    /// Creates the topic when the publisher opens, if it does not exist. For development and tests. By default a missing topic is an
    /// error: of opening if the client may get the topic, otherwise of the first message.
    pub fn create_if_missing(mut self) -> Self {
        self.create_if_missing = true;
        self
    }

    /// Maximum number of unconfirmed messages, of all callers together: 1 to 536,870,911. Further calls wait. Messages of a call that
    /// was dropped no longer count. Defaults to 1,000.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// How long a message waits for others to share its request, which has at most 1,000 messages or about 1 MB. Many small concurrent
    /// calls benefit from a longer time. Must be shorter than [`confirm_timeout`](Self::confirm_timeout). Defaults to 1 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Limit on opening: finding credentials and the answer of the service, together. `Duration::MAX` means no limit. Defaults to
    /// 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a message is retried until it fails as [`Unconfirmed`](broadway_core::PublishErrorKind::Unconfirmed), within one more
    /// second. `Duration::MAX` means no limit. Defaults to 30 s.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// Limit on [`close`](broadway_core::Publisher::close), which waits for open calls of `publish`. `Duration::MAX` means no limit.
    /// Defaults to 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Opens the publisher: finds credentials, and requests the topic.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] if options are invalid. Otherwise fails with a [`ConnectorError`] that names the option: there are
    /// no credentials, nothing answers within `connect_timeout`, or the topic does not exist.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing was sent.
    pub async fn open(self) -> Result<PubSubPublisher, BoxError> {
        ConfigError::check("the Pub/Sub publisher", self.problems())?;
        let (base, resource) = self.connect().await?;
        let client: Client = base
            .publisher(&self.topic)
            .set_message_count_threshold(REQUEST_MAX)
            .set_delay_threshold(self.linger)
            .build();
        Ok(PubSubPublisher::new(client, &self, resource))
    }

    async fn connect(&self) -> Result<(BasePublisher, Resource), ConnectorError> {
        let name = &self.topic;
        if let Some(client) = &self.client {
            let resource = Resource {
                option: "topic",
                name: name.clone(),
                endpoint: "the endpoint of `client`".to_owned(),
            };
            return Ok((client.clone(), resource));
        }
        let limit = TimeLimit::of_opening(self.connect_timeout);
        let access = ServiceAccess::new(self.endpoint.as_deref(), limit).await?;
        let resource = access.resource("topic", name);
        match access.find_topic(name, limit).await? {
            Lookup::Missing if self.create_if_missing => access.create_topic(name, limit).await?,
            Lookup::Missing => return Err(resource.missing()),
            Lookup::Found | Lookup::Hidden => {}
        }
        let client = BasePublisher::builder()
            .with_endpoint(&access.endpoint.url)
            .with_credentials(access.credentials.clone())
            .with_retry_policy(RetryableErrors.with_time_limit(self.confirm_timeout.min(LIMIT_MAX)))
            .build();
        let client = client.await.map_err(|error| access.client_error(&error))?;
        Ok((client, resource))
    }

    /// Checks the options without connecting.
    fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(resource_name::check("topic", "topics", &self.topic));
        if self.client.is_none() {
            checks.extend(Endpoint::problem(self.endpoint.as_deref()));
        }
        checks.within(
            "in_flight_max",
            self.in_flight_max,
            1..=u32::MAX as usize / 8,
        );
        checks.require(
            self.linger < self.confirm_timeout,
            "linger",
            format_args!(
                "is {:?}, not shorter than `confirm_timeout` = {:?}, at which a message that still lingers fails; give a shorter time",
                self.linger, self.confirm_timeout
            ),
        );
        checks.timeout("connect_timeout", self.connect_timeout);
        checks.timeout("confirm_timeout", self.confirm_timeout);
        checks.timeout("close_timeout", self.close_timeout);
        checks.into_problems()
    }
}

/// Shows the options, and of a client only whether there is one.
impl fmt::Debug for PubSubPublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubPublisherBuilder")
            .field("topic", &self.topic)
            .field("endpoint", &self.endpoint.as_deref().map(without_user_info))
            .field("has_client", &self.client.is_some())
            .field("create_if_missing", &self.create_if_missing)
            .field("in_flight_max", &self.in_flight_max)
            .field("linger", &self.linger)
            .field("connect_timeout", &self.connect_timeout)
            .field("confirm_timeout", &self.confirm_timeout)
            .field("close_timeout", &self.close_timeout)
            .finish()
    }
}
