//! Connecting: credentials, a service that answers, and a subscription or topic that exists.
//!
//! An idle stream looks the same as a stream to a host that drops every packet. So before a stream is opened, the connector
//! requests the subscription, which the service may well deny: any answer shows that the service is reachable and knows the
//! credentials.

use std::{pin::Pin, sync::Arc, time::Duration};

use broadway_core::{
    BoxError, Deadline,
    connector::{ConnectorError, ConnectorErrorKind, error_chain},
};
use google_cloud_auth::credentials::{self, Credentials, anonymous};
use google_cloud_gax::{error::rpc::Code, retry_policy::NeverRetry};
use google_cloud_pubsub::{
    Error,
    client::{Subscriber, SubscriptionAdmin, TopicAdmin},
    model::Subscription,
};

use crate::{
    endpoint::Endpoint,
    error::{Resource, error_kind, no_credentials, status_code},
    options::NewSubscription,
    resource_name,
};

/// The client adds timeouts to its clock. A year stands for no limit, and cannot overflow.
pub(crate) const LIMIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A client that is being built.
pub(crate) type ClientFuture = Pin<Box<dyn Future<Output = Result<Subscriber, BoxError>> + Send>>;

/// A client that the user provides.
#[derive(Clone)]
pub(crate) enum ProvidedClient {
    /// Its connection is driven by the runtime on which it was built.
    Built(Subscriber),
    /// Built for each producer, where the producer is opened.
    Build(Arc<dyn Fn() -> ClientFuture + Send + Sync>),
}

impl ProvidedClient {
    /// Returns the client. One that is to be built has its connection on the current runtime.
    pub(crate) async fn get(&self, limit: TimeLimit) -> Result<Subscriber, ConnectorError> {
        let build = match self {
            Self::Built(client) => return Ok(client.clone()),
            Self::Build(build) => build,
        };
        match limit.deadline.within(build()).await {
            Some(Ok(client)) => Ok(client),
            Some(Err(error)) => {
                let known = ConnectorError::find(error.as_ref()).map(ConnectorError::kind);
                let kind = known.unwrap_or(ConnectorErrorKind::Transient);
                let text = format!("`client_with` failed to build a client: {error}");
                Err(ConnectorError::new(kind, text))
            }
            None => Err(ConnectorError::transient(format!(
                "`client_with` did not build a client within {:?} ({})",
                limit.within, limit.name
            ))),
        }
    }
}

/// The limit of opening, or of one health check. Requests with the same `TimeLimit` share its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimit {
    pub(crate) within: Duration,
    /// For error texts.
    name: &'static str,
    pub(crate) deadline: Deadline,
}

impl TimeLimit {
    /// The `connect_timeout` of opening, from now on.
    pub(crate) fn of_opening(within: Duration) -> Self {
        Self::named("`connect_timeout`", within)
    }

    /// The limit of a health check, from now on.
    pub(crate) fn of_health_check(within: Duration) -> Self {
        Self::named("the limit of a health check", within)
    }

    fn named(name: &'static str, within: Duration) -> Self {
        Self {
            within,
            name,
            deadline: Deadline::after(within),
        }
    }
}

/// Whether a subscription or topic exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    Found,
    Missing,
    /// The service does not let this client look; reading or publishing may be allowed all the same.
    Hidden,
}

/// Where to connect, and with which credentials.
pub(crate) struct ServiceAccess {
    pub(crate) endpoint: Endpoint,
    pub(crate) credentials: Credentials,
}

impl ServiceAccess {
    /// Finds credentials, and requests a token with them.
    pub(crate) async fn new(
        endpoint: Option<&str>,
        limit: TimeLimit,
    ) -> Result<Self, ConnectorError> {
        let endpoint = Endpoint::find(endpoint);
        let credentials = if endpoint.is_emulator() {
            anonymous::Builder::new().build()
        } else {
            default_credentials(limit).await?
        };
        Ok(Self {
            endpoint,
            credentials,
        })
    }

    pub(crate) fn resource(&self, option: &'static str, name: &str) -> Resource {
        Resource {
            option,
            name: name.to_owned(),
            endpoint: format!("{} ({})", self.endpoint.url, self.endpoint.option),
        }
    }

    /// A client with a connection of its own, which is made on first use.
    pub(crate) async fn subscriber(&self) -> Result<Subscriber, ConnectorError> {
        let builder = Subscriber::builder()
            .with_endpoint(&self.endpoint.url)
            .with_credentials(self.credentials.clone());
        builder
            .build()
            .await
            .map_err(|error| self.client_error(&error))
    }

    pub(crate) async fn find_subscription(
        &self,
        name: &str,
        limit: TimeLimit,
    ) -> Result<Lookup, ConnectorError> {
        let (lookup, _) = self.read_subscription(name, limit).await?;
        Ok(lookup)
    }

    /// As [`find_subscription`](Self::find_subscription), with the subscription if it was found.
    pub(crate) async fn read_subscription(
        &self,
        name: &str,
        limit: TimeLimit,
    ) -> Result<(Lookup, Option<Subscription>), ConnectorError> {
        let resource = self.resource("subscription", name);
        let request = async {
            let request = self.subscriptions().await?.get_subscription();
            let request = request.set_subscription(name);
            request.send().await.map_err(RequestError::Call)
        };
        match answer(&resource, limit, request).await? {
            Ok(found) => Ok((Lookup::Found, Some(found))),
            Err(error) => Ok((lookup(&resource, Err(error))?, None)),
        }
    }

    pub(crate) async fn create_subscription(
        &self,
        name: &str,
        new: &NewSubscription,
        limit: TimeLimit,
    ) -> Result<(), ConnectorError> {
        let resource = self.resource("subscription", name);
        let request = async {
            let request = self.subscriptions().await?.create_subscription();
            let request = request
                .set_name(name)
                .set_topic(&new.topic)
                .set_enable_message_ordering(new.is_ordered)
                .set_enable_exactly_once_delivery(new.is_exactly_once);
            request.send().await.map_err(RequestError::Call)
        };
        let answer = answer(&resource, limit, request).await?.map(drop);
        created(&resource, answer, &format!("to the topic {:?}", new.topic))
    }

    pub(crate) async fn find_topic(
        &self,
        name: &str,
        limit: TimeLimit,
    ) -> Result<Lookup, ConnectorError> {
        let resource = self.resource("topic", name);
        let request = async {
            let request = self.topics().await?.get_topic().set_topic(name);
            request.send().await.map_err(RequestError::Call)
        };
        let answer = answer(&resource, limit, request).await?;
        lookup(&resource, answer.map(drop))
    }

    pub(crate) async fn create_topic(
        &self,
        name: &str,
        limit: TimeLimit,
    ) -> Result<(), ConnectorError> {
        let resource = self.resource("topic", name);
        let request = async {
            let request = self.topics().await?.create_topic().set_name(name);
            request.send().await.map_err(RequestError::Call)
        };
        let answer = answer(&resource, limit, request).await?.map(drop);
        let place = format!("in {}", resource_name::project(name));
        created(&resource, answer, &place)
    }

    async fn subscriptions(&self) -> Result<SubscriptionAdmin, RequestError> {
        let builder = SubscriptionAdmin::builder()
            .with_endpoint(&self.endpoint.url)
            .with_credentials(self.credentials.clone())
            .with_retry_policy(NeverRetry);
        builder
            .build()
            .await
            .map_err(|error| RequestError::Client(self.client_error(&error)))
    }

    async fn topics(&self) -> Result<TopicAdmin, RequestError> {
        let builder = TopicAdmin::builder()
            .with_endpoint(&self.endpoint.url)
            .with_credentials(self.credentials.clone())
            .with_retry_policy(NeverRetry);
        builder
            .build()
            .await
            .map_err(|error| RequestError::Client(self.client_error(&error)))
    }

    /// A client that could not be built, which no later attempt changes.
    pub(crate) fn client_error(&self, error: &(dyn std::error::Error + 'static)) -> ConnectorError {
        let Endpoint { url, option } = &self.endpoint;
        let reason = error_chain(error);
        ConnectorError::permanent(format!(
            "cannot build a client for {url} ({option}): {reason}"
        ))
    }
}

enum RequestError {
    Client(ConnectorError),
    Call(Error),
}

/// The service's answer, which may be an error status. Fails if no client can be built, or no answer comes in time.
async fn answer<T>(
    resource: &Resource,
    limit: TimeLimit,
    request: impl Future<Output = Result<T, RequestError>>,
) -> Result<Result<T, Error>, ConnectorError> {
    match limit.deadline.within(request).await {
        Some(Ok(found)) => Ok(Ok(found)),
        Some(Err(RequestError::Call(error))) => Ok(Err(error)),
        Some(Err(RequestError::Client(error))) => Err(error),
        None => Err(ConnectorError::transient(format!(
            "no answer from {} within {:?} ({}) for `{}` = {:?}",
            resource.endpoint, limit.within, limit.name, resource.option, resource.name
        ))),
    }
}

fn lookup(resource: &Resource, answer: Result<(), Error>) -> Result<Lookup, ConnectorError> {
    let Err(error) = answer else {
        return Ok(Lookup::Found);
    };
    match status_code(&error) {
        Some(Code::NotFound) => Ok(Lookup::Missing),
        Some(Code::Unauthenticated) => Err(resource.explain(&error)),
        _ if error.is_connect()
            || error.is_io()
            || error.is_timeout()
            || error.is_authentication() =>
        {
            Err(resource.explain(&error))
        }
        // Also where another server answers this request, which goes over HTTP and not over gRPC.
        _ => Ok(Lookup::Hidden),
    }
}

fn created(
    resource: &Resource,
    answer: Result<(), Error>,
    place: &str,
) -> Result<(), ConnectorError> {
    match answer {
        Ok(()) => Ok(()),
        // Another producer or process may have created it first.
        Err(error) if status_code(&error) == Some(Code::AlreadyExists) => Ok(()),
        Err(error) => Err(ConnectorError::new(
            error_kind(&error),
            format!(
                "`create_if_missing`: cannot create `{}` = {:?} {place}, at {}: {}",
                resource.option,
                resource.name,
                resource.endpoint,
                error_chain(&error)
            ),
        )),
    }
}

async fn default_credentials(limit: TimeLimit) -> Result<Credentials, ConnectorError> {
    let failed = |reason: &str| ConnectorError::auth(no_credentials(reason));
    let found = credentials::Builder::default().build();
    let found = found.map_err(|error| failed(&error_chain(&error)))?;
    let headers = found.headers(Default::default());
    match limit.deadline.within(headers).await {
        Some(Ok(_)) => Ok(found),
        Some(Err(error)) => Err(failed(&error_chain(&error))),
        None => {
            let reason = format!("no answer within {:?} ({})", limit.within, limit.name);
            Err(ConnectorError::transient(no_credentials(&reason)))
        }
    }
}
