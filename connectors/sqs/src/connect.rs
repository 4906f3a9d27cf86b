//! The first steps: a client that knows its region and has credentials, and a queue that is there.
//!
//! Source and publisher begin alike, so what they share of their options is [`Access`].

use std::{fmt, time::Duration};

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
use broadway_core::{BoxError, Checks, Deadline, Problem};
use tokio::time::sleep;

use crate::{
    address::{Address, without_user},
    trouble::{Trouble, chain, is_denied, is_missing_queue},
};

/// A connection that lay idle longer is not used again: whoever stands in between may have forgotten it.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// The most that the way to the service may take.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// A year is as good as no limit, and cannot overflow a clock or a timer.
const LIMIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The pause before the queue is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// How a queue is reached.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) url: String,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) client: Option<Client>,
    pub(crate) create_if_missing: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
}

impl Access {
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

    /// All that cannot work; `option` is what the URL was given to.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        match (Address::parse(&self.url), &self.region) {
            (Err(wrong), _) => checks.add("queue", wrong),
            (Ok(address), Some(region)) => {
                let of_queue = address.region.as_ref().unwrap_or(region);
                checks.require(
                    of_queue == region,
                    "region",
                    format_args!(
                        "is {region:?}, but the queue's URL is of {of_queue:?}; leave the option out, or correct one of them"
                    ),
                );
            }
            _ => {}
        }
        checks.extend(self.region_of_client());
        checks.extend(self.endpoint.as_deref().and_then(endpoint_problem));
        let is_configured =
            self.region.is_some() || self.endpoint.is_some() || self.credentials.is_some();
        checks.require(
            self.client.is_none() || !is_configured,
            "client",
            "is given together with region, endpoint or credentials, which a configured client has already; leave one out",
        );
        checks.above_zero("connect_timeout", self.connect_timeout);
        checks.above_zero("request_timeout", self.request_timeout);
        checks.into_problems()
    }

    /// Requests are signed for the client's region, and no queue of another one takes them.
    fn region_of_client(&self) -> Option<Problem> {
        let ours = self.client.as_ref()?.config().region()?;
        let queues = Address::parse(&self.url).ok()?.region?;
        (ours.as_ref() != queues).then(|| {
            let message = format!(
                "is of region {ours:?}, but the queue's URL is of {queues:?}; correct one of them",
                ours = ours.as_ref()
            );
            Problem::new("client", message)
        })
    }

    /// The queue's address, of options that were checked.
    pub(crate) fn address(&self) -> Address {
        Address::parse(&self.url).expect("the options were checked")
    }

    /// A client that could send a request: it has a region and credentials.
    pub(crate) async fn connect(&self, deadline: Deadline) -> Result<Client, BoxError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let address = self.address();
        let config = deadline
            .within(self.load(&address))
            .await
            .ok_or_else(|| self.no_region(&self.overdue("; none was found")))?;
        if config.region().is_none() {
            return Err(self.no_region("").into());
        }
        let provider = config
            .credentials_provider()
            .ok_or("the SDK has no provider of credentials: a defect of this connector")?;
        match deadline.within(provider.provide_credentials()).await {
            Some(Ok(_)) => Ok(Client::new(&config)),
            Some(Err(error)) => Err(no_credentials(&chain(&error)).into()),
            None => Err(no_credentials(&self.overdue("none came")).into()),
        }
    }

    async fn load(&self, address: &Address) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client());
        if let Some(region) = self.region.clone().or_else(|| address.region.clone()) {
            loader = loader.region(Region::new(region));
        }
        if let Some(credentials) = self.credentials.clone() {
            loader = loader.credentials_provider(credentials);
        }
        // The SDK goes by region; a queue that is elsewhere is where its URL says.
        let elsewhere = (!address.is_regional).then(|| address.origin.clone());
        if let Some(endpoint) = self.endpoint.clone().or(elsewhere) {
            loader = loader.endpoint_url(endpoint);
        }
        loader.load().await
    }

    /// Asks the queue for its visibility time-out, again and again until the deadline. `None`: that may not be known, but the
    /// queue answers.
    pub(crate) async fn find(
        &self,
        client: &Client,
        deadline: Deadline,
    ) -> Result<Option<Duration>, BoxError> {
        let mut last = self.unreachable(&self.overdue("no answer"));
        let mut may_create = self.create_if_missing;
        loop {
            let ask = client
                .get_queue_attributes()
                .queue_url(&self.url)
                .attribute_names(QueueAttributeName::VisibilityTimeout)
                .send();
            let error = match deadline.within(ask).await {
                None => return Err(last.into()),
                Some(Ok(answer)) => {
                    let seconds = answer
                        .attributes()
                        .and_then(|all| all.get(&QueueAttributeName::VisibilityTimeout))
                        .and_then(|text| text.parse().ok());
                    return Ok(seconds.map(Duration::from_secs));
                }
                Some(Err(error)) => error,
            };
            if is_denied(&error) {
                return Ok(None);
            }
            if is_missing_queue(&error) && may_create {
                may_create = false;
                self.create(client, deadline).await?;
                continue;
            }
            match Trouble::of(&error) {
                Trouble::Lasting(why) => return Err(self.refused(client, &why).into()),
                Trouble::Passing(why) if error.as_service_error().is_some() => {
                    last = self.not_now(&why);
                }
                Trouble::Passing(why) => last = self.unreachable(&why),
            }
            if ASK_AGAIN >= deadline.remaining() {
                return Err(last.into());
            }
            sleep(ASK_AGAIN).await;
        }
    }

    async fn create(&self, client: &Client, deadline: Deadline) -> Result<(), BoxError> {
        let address = self.address();
        let mut ask = client.create_queue().queue_name(&address.name);
        if address.is_fifo() {
            ask = ask
                .attributes(QueueAttributeName::FifoQueue, "true")
                .attributes(QueueAttributeName::ContentBasedDeduplication, "true");
        }
        match deadline.within(ask.send()).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(format!(
                "`create_if_missing`: the queue of `queue` = {:?} is missing and cannot be created: {}",
                self.url,
                Trouble::of(&error).text()
            )
            .into()),
            None => Err(self
                .unreachable("no answer to the creation of the queue")
                .into()),
        }
    }

    fn no_region(&self, why: &str) -> String {
        format!(
            "no region is known for `queue` = {:?}{why}: set the option `region`, or AWS_REGION, or a region in the profile",
            self.url
        )
    }

    fn refused(&self, client: &Client, why: &str) -> String {
        let region = client.config().region().map(AsRef::as_ref);
        let region = region.unwrap_or("none");
        format!(
            "`queue` = {:?}{} cannot be used, asked with region {region:?}: {why}",
            self.url,
            self.endpoint_text()
        )
    }

    fn unreachable(&self, why: &str) -> String {
        format!(
            "no answer for `queue` = {:?}{} within {:?} (`connect_timeout`): {why}; check the host and the network",
            self.url,
            self.endpoint_text(),
            self.connect_timeout
        )
    }

    fn not_now(&self, why: &str) -> String {
        format!(
            "`queue` = {:?}{} could not be asked within {:?} (`connect_timeout`), for the service says {why}; start again later",
            self.url,
            self.endpoint_text(),
            self.connect_timeout
        )
    }

    fn endpoint_text(&self) -> String {
        let endpoint = self.endpoint.as_ref();
        endpoint.map_or_else(String::new, |endpoint| {
            format!(" (`endpoint` = {endpoint:?})")
        })
    }

    fn overdue(&self, what: &str) -> String {
        format!(
            "{what} within {:?} (`connect_timeout`)",
            self.connect_timeout
        )
    }
}

/// Shows no credentials: not those of the options, of a client, or those that were put into a URL by mistake.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("url", &without_user(&self.url))
            .field("region", &self.region)
            .field("endpoint", &self.endpoint.as_deref().map(without_user))
            .field("has_credentials", &self.credentials.is_some())
            .field("has_client", &self.client.is_some())
            .field("create_if_missing", &self.create_if_missing)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

fn endpoint_problem(endpoint: &str) -> Option<Problem> {
    // Not shown: it may be a password.
    let shown = without_user(endpoint);
    let message = if shown != endpoint {
        "holds a user or a password before the host; credentials are given to the SDK".to_owned()
    } else if !(endpoint.starts_with("http://") || endpoint.starts_with("https://")) {
        format!("is {endpoint:?}; give a URL, like https://host:port")
    } else {
        return None;
    };
    Some(Problem::new("endpoint", message))
}

/// Credentials that a user hands in. `Debug` does not show the secret.
pub(crate) fn given(access_key_id: String, secret_access_key: String) -> Credentials {
    Credentials::new(access_key_id, secret_access_key, None, None, "option")
}

fn no_credentials(why: &str) -> String {
    format!(
        "no credentials: {why}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role, or give a configured `client`"
    )
}

/// The SDK's own client but for how long idle connections are kept.
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

/// How long a request may take that the queue holds back for up to `wait`.
pub(crate) fn limit(wait: Duration, request: Duration) -> Duration {
    wait.saturating_add(request).min(LIMIT_MAX)
}

/// Whose connections a client uses, of an HTTP stack that several clients share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// Driven by the connector's thread.
    Source,
    /// Driven by a runtime of the user's, which a handler may block.
    Publisher,
}

impl Pool {
    /// The SDK keeps connections apart by how long connecting may take, and by nothing else. A nanosecond less is a number that
    /// no one else gives.
    fn connect_timeout(self, request_timeout: Duration) -> Duration {
        let timeout = CONNECT_MAX.min(request_timeout);
        match self {
            Self::Source => timeout - Duration::from_nanos(1),
            Self::Publisher => timeout,
        }
    }
}

/// The same client with the time-outs of requests that the queue holds back for up to `wait`. A request that never ends is a
/// known way of the service and of what stands in between, so there is a limit on each attempt and one on all of them.
pub(crate) fn tuned(
    client: &Client,
    pool: Pool,
    wait: Duration,
    request_timeout: Duration,
) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(pool.connect_timeout(request_timeout))
        .operation_attempt_timeout(limit(wait, request_timeout))
        .operation_timeout(limit(wait, request_timeout.saturating_mul(2)))
        .build();
    // Two attempts: enough for a clock that is wrong and for a connection that has just been closed. What lasts longer is
    // told and retried by those who ask. An idle long poll is no stalled stream; the limits above are the protection.
    let config = client
        .config()
        .to_builder()
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}
