//! Connecting: the client, with a region and credentials, and the queue.
//!
//! Source and publisher connect alike; the options that they share are [`QueueAccess`].

use std::{fmt, sync::OnceLock, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::{
    Client,
    config::{
        Credentials, ProvideCredentials, SharedHttpClient, StalledStreamProtectionConfig,
        retry::RetryConfig, timeout::TimeoutConfig,
    },
    types::QueueAttributeName,
};
use aws_smithy_http_client::{Builder, ConnectorBuilder, proxy::ProxyConfig, tls};
use broadway_core::{
    Checks, Deadline, Problem,
    connector::{ClientRuntime, ConnectorError, error_chain, without_user_info},
};
use tokio::time::sleep;

use crate::{
    error::{connector_error, is_denied, is_missing_queue},
    queue_attributes::QueueAttributes,
    queue_url::{QueueUrl, USER_INFO},
};

/// Connections that were idle longer are not reused: a proxy or a firewall in between may have dropped them.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// Limit of a connection attempt.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// Stands for no limit, and cannot overflow a clock or a timer.
const LIMIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Pause before the queue's attributes are requested again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How a queue is reached: the options that source and publisher share.
#[derive(Clone)]
pub(crate) struct QueueAccess {
    pub(crate) url: String,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) client: Option<Client>,
    pub(crate) create_if_missing: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
}

impl QueueAccess {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            region: None,
            endpoint: None,
            credentials: None,
            client: None,
            create_if_missing: false,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
        }
    }

    /// Adds the problems of the URL, the address and the client. The timeouts have [`check_timeouts`](Self::check_timeouts), so that
    /// problems are listed in the order of the options.
    pub(crate) fn check(&self, checks: &mut Checks) {
        match (QueueUrl::parse(&self.url), &self.region) {
            (Err(error), _) => checks.add("queue", error),
            (Ok(url), Some(region)) => {
                let of_url = url.region.as_ref().unwrap_or(region);
                checks.require(
                    of_url == region,
                    "region",
                    format_args!(
                        "is {region:?}, but the queue's URL is in {of_url:?}; leave the option out, or correct one of them"
                    ),
                );
            }
            _ => {}
        }
        checks.extend(self.endpoint.as_deref().and_then(endpoint_problem));
        checks.extend(self.client_region_problem());
        let is_configured =
            self.region.is_some() || self.endpoint.is_some() || self.credentials.is_some();
        checks.require(
            self.client.is_none() || !is_configured,
            "client",
            "is set together with `region`, `endpoint` or `credentials`, which a configured client already has; leave one out",
        );
    }

    pub(crate) fn check_timeouts(&self, checks: &mut Checks) {
        checks.timeout("connect_timeout", self.connect_timeout);
        checks.timeout("request_timeout", self.request_timeout);
    }

    /// Requests are signed for the client's region; a queue in another region rejects them.
    fn client_region_problem(&self) -> Option<Problem> {
        let of_client = self.client.as_ref()?.config().region()?;
        let of_url = QueueUrl::parse(&self.url).ok()?.region?;
        (of_client.as_ref() != of_url).then(|| {
            let message = format!(
                "has the region {of_client:?}, but the queue's URL is in {of_url:?}; correct one of them",
                of_client = of_client.as_ref()
            );
            Problem::new("client", message)
        })
    }

    /// The parsed URL. Call it for options that were checked.
    pub(crate) fn queue_url(&self) -> QueueUrl {
        QueueUrl::parse(&self.url).expect("the options were checked")
    }

    /// A client that can sign a request: it has a region and credentials.
    pub(crate) async fn connect(&self, deadline: Deadline) -> Result<Client, ConnectorError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let config = deadline
            .within(self.load(&self.queue_url()))
            .await
            .ok_or_else(|| {
                let reason = self.timed_out("; no region was found");
                ConnectorError::transient(self.no_region(&reason))
            })?;
        if config.region().is_none() {
            return Err(ConnectorError::permanent(self.no_region("")));
        }
        let provider = config.credentials_provider().ok_or_else(|| {
            ConnectorError::permanent(
                "the SDK has no credentials provider, which is a bug in this connector",
            )
        })?;
        match deadline.within(provider.provide_credentials()).await {
            Some(Ok(_)) => Ok(Client::new(&config)),
            Some(Err(error)) => Err(ConnectorError::auth(no_credentials(&error_chain(&error)))),
            None => {
                let reason = self.timed_out("the provider did not answer");
                Err(ConnectorError::transient(no_credentials(&reason)))
            }
        }
    }

    async fn load(&self, url: &QueueUrl) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client());
        if let Some(region) = self.region.clone().or_else(|| url.region.clone()) {
            loader = loader.region(Region::new(region));
        }
        if let Some(credentials) = self.credentials.clone() {
            loader = loader.credentials_provider(credentials);
        }
        // The SDK derives the host from the region. A queue elsewhere (an emulator, a VPC endpoint) is at its URL's host.
        let origin = (!url.is_regional).then(|| url.origin.clone());
        if let Some(endpoint) = self.endpoint.clone().or(origin) {
            loader = loader.endpoint_url(endpoint);
        }
        loader.load().await
    }

    /// Requests the queue's attributes, and repeats the request until the deadline. They are empty if the queue answers but the
    /// permission to read them is missing.
    pub(crate) async fn find(
        &self,
        client: &Client,
        deadline: Deadline,
    ) -> Result<QueueAttributes, ConnectorError> {
        let mut last = self.unreachable(&self.timed_out("no answer"));
        let mut may_create = self.create_if_missing;
        loop {
            let request = client
                .get_queue_attributes()
                .queue_url(&self.url)
                .attribute_names(QueueAttributeName::VisibilityTimeout)
                .attribute_names(QueueAttributeName::RedrivePolicy)
                .send();
            let error = match deadline.within(request).await {
                None => return Err(last),
                Some(Ok(response)) => return Ok(QueueAttributes::of(&response)),
                Some(Err(error)) => error,
            };
            // The queue exists and the credentials are valid: reading or sending may be permitted all the same.
            if is_denied(&error) {
                tracing::debug!(
                    target: "broadway_sqs",
                    queue = without_user_info(&self.url).as_ref(),
                    "no permission to read the queue's attributes, its redrive policy among them"
                );
                return Ok(QueueAttributes::default());
            }
            if is_missing_queue(&error) && may_create {
                // Once: a queue that is missing after that is an error.
                may_create = false;
                self.create(client, deadline).await?;
                continue;
            }
            let reason = connector_error(&error);
            if !reason.is_transient() {
                return Err(self.unusable(client, &reason));
            }
            last = match error.as_service_error() {
                Some(_) => self.unavailable(&reason),
                None => self.unreachable(&reason.to_string()),
            };
            if RETRY_PAUSE >= deadline.remaining() {
                return Err(last);
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn create(&self, client: &Client, deadline: Deadline) -> Result<(), ConnectorError> {
        let url = self.queue_url();
        let mut request = client.create_queue().queue_name(&url.name);
        if url.is_fifo() {
            request = request
                .attributes(QueueAttributeName::FifoQueue, "true")
                .attributes(QueueAttributeName::ContentBasedDeduplication, "true");
        }
        match deadline.within(request.send()).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => {
                let reason = connector_error(&error);
                let text = format!(
                    "`create_if_missing`: `queue` = {:?} does not exist and cannot be created: {reason}",
                    self.url
                );
                Err(ConnectorError::new(reason.kind(), text))
            }
            None => Err(self.unreachable("no answer to the request that creates the queue")),
        }
    }

    fn no_region(&self, reason: &str) -> String {
        format!(
            "no region is known for `queue` = {:?}{reason}: set the option `region`, or AWS_REGION, or a region in the profile",
            self.url
        )
    }

    fn unusable(&self, client: &Client, reason: &ConnectorError) -> ConnectorError {
        let region = client.config().region().map(AsRef::as_ref);
        let region = region.unwrap_or("none");
        let text = format!(
            "`queue` = {:?}{} cannot be used with region {region:?}: {reason}",
            self.url,
            self.endpoint_text()
        );
        ConnectorError::new(reason.kind(), text)
    }

    fn unreachable(&self, reason: &str) -> ConnectorError {
        ConnectorError::transient(format!(
            "no answer for `queue` = {:?}{} within {:?} (`connect_timeout`): {reason}; check the host and the network",
            self.url,
            self.endpoint_text(),
            self.connect_timeout
        ))
    }

    fn unavailable(&self, reason: &ConnectorError) -> ConnectorError {
        ConnectorError::transient(format!(
            "`queue` = {:?}{} was not available within {:?} (`connect_timeout`): {reason}; try again later",
            self.url,
            self.endpoint_text(),
            self.connect_timeout
        ))
    }

    fn endpoint_text(&self) -> String {
        let endpoint = self.endpoint.as_ref();
        endpoint.map_or_else(String::new, |endpoint| {
            format!(" (`endpoint` = {endpoint:?})")
        })
    }

    fn timed_out(&self, what: &str) -> String {
        format!(
            "{what} within {:?} (`connect_timeout`)",
            self.connect_timeout
        )
    }
}

/// Shows no credentials, whether from the options, from a client, or put into a URL by mistake.
impl fmt::Debug for QueueAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueAccess")
            .field("url", &without_user_info(&self.url))
            .field("region", &self.region)
            .field("endpoint", &self.endpoint.as_deref().map(without_user_info))
            .field("has_credentials", &self.credentials.is_some())
            .field("has_client", &self.client.is_some())
            .field("create_if_missing", &self.create_if_missing)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

fn endpoint_problem(endpoint: &str) -> Option<Problem> {
    // The text does not show the URL: the part before the `@` may be a password.
    let message = if without_user_info(endpoint) != endpoint {
        USER_INFO.to_owned()
    } else if !(endpoint.starts_with("http://") || endpoint.starts_with("https://")) {
        format!("is {endpoint:?}; give a URL, such as https://host:port")
    } else {
        return None;
    };
    Some(Problem::new("endpoint", message))
}

static SHARED_RUNTIME: OnceLock<ClientRuntime> = OnceLock::new();

/// The thread on which a producer's client, polls and ack task run.
///
/// Each producer has its own thread and its own client. A client that the user provides shares its connections with every client
/// made from the same HTTP stack, and the thread on which a connection was made drives it. So all producers with such a client share
/// one thread, which never ends: otherwise the end of one producer would end connections that another one uses.
pub(crate) fn client_runtime(
    producer: usize,
    is_client_provided: bool,
) -> Result<ClientRuntime, ConnectorError> {
    if !is_client_provided {
        return start_runtime(&format!("sqs-{producer}"));
    }
    if let Some(shared) = SHARED_RUNTIME.get() {
        return Ok(shared.clone());
    }
    // If two start at once, one of them is dropped again.
    let started = start_runtime("sqs-shared")?;
    Ok(SHARED_RUNTIME.get_or_init(|| started).clone())
}

fn start_runtime(name: &str) -> Result<ClientRuntime, ConnectorError> {
    ClientRuntime::start(name).map_err(|error| {
        ConnectorError::transient(format!(
            "cannot start the thread {name:?} of the SQS client: {error}"
        ))
    })
}

/// Credentials from the options. `Debug` does not show the secret.
pub(crate) fn static_credentials(access_key_id: String, secret_access_key: String) -> Credentials {
    Credentials::new(access_key_id, secret_access_key, None, None, "option")
}

fn no_credentials(reason: &str) -> String {
    format!(
        "no credentials: {reason}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role, or provide a configured `client`"
    )
}

/// The SDK's default HTTP client, with a shorter idle timeout for pooled connections.
fn http_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let crypto = tls::rustls_provider::CryptoMode::AwsLc;
        let mut builder = ConnectorBuilder::default()
            .pool_idle_timeout(IDLE_MAX)
            .tls_provider(tls::Provider::Rustls(crypto));
        builder.set_connector_settings(settings.cloned());
        builder.set_proxy_config(Some(ProxyConfig::from_env()));
        if let Some(components) = components {
            builder.set_sleep_impl(components.sleep_impl());
        }
        builder.build()
    })
}

/// The limit of a request for which the queue waits up to `wait` before it answers.
pub(crate) fn request_limit(wait: Duration, request: Duration) -> Duration {
    wait.saturating_add(request).min(LIMIT_MAX)
}

/// Which connections a client uses, of an HTTP stack that several clients share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionPool {
    /// Driven by the connector's thread.
    Source,
    /// Driven by the user's runtime, which a handler may block.
    Publisher,
}

impl ConnectionPool {
    /// The SDK separates connection pools by the connect timeout, and by nothing else. One nanosecond less is a value that no other
    /// client has.
    fn connect_timeout(self, request_timeout: Duration) -> Duration {
        let timeout = CONNECT_MAX.min(request_timeout);
        match self {
            Self::Source => timeout - Duration::from_nanos(1),
            Self::Publisher => timeout,
        }
    }
}

/// The client with timeouts for requests for which the queue waits up to `wait`. Requests to SQS, and to proxies in between, sometimes
/// never end, so each attempt has a limit and all attempts together have one.
pub(crate) fn with_timeouts(
    client: &Client,
    pool: ConnectionPool,
    wait: Duration,
    request_timeout: Duration,
) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(pool.connect_timeout(request_timeout))
        .operation_attempt_timeout(request_limit(wait, request_timeout))
        .operation_timeout(request_limit(wait, request_timeout.saturating_mul(2)))
        .build();
    // Two attempts cover a clock that is wrong and a connection that was just closed; callers report and retry longer failures.
    // An idle long poll is not a stalled stream, so the limits above replace that protection.
    let config = client
        .config()
        .to_builder()
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}
