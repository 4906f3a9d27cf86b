//! The first steps: credentials, a service that answers, a subscription that exists. And errors in plain words.
//!
//! A stream on which nothing is published looks the same as one to a host that swallows everything. So before it is opened, the
//! service is asked for the subscription, which may well be refused: any answer shows that it can be reached and knows us.

use std::time::Duration;

use broadway_core::{BoxError, Deadline};
use google_cloud_auth::credentials::{self, Credentials, anonymous};
use google_cloud_gax::{error::rpc::Code, retry_policy::NeverRetry};
use google_cloud_pubsub::{
    Error,
    client::{Subscriber, SubscriptionAdmin, TopicAdmin},
};

use crate::{
    config::Create,
    names::{self, Endpoint},
};

/// What is connected to, for error texts.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The option that names it: `subscription` or `topic`.
    pub(crate) option: &'static str,
    pub(crate) name: String,
    pub(crate) endpoint: String,
}

/// Where to connect, and as whom.
pub(crate) struct Access {
    pub(crate) endpoint: Endpoint,
    pub(crate) credentials: Credentials,
}

/// A limit that has begun: that of opening, or of one probe. All that is asked with one shares its time; a later question begins
/// another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) within: Duration,
    /// What it is the limit of, for error texts.
    name: &'static str,
    pub(crate) deadline: Deadline,
}

/// The client adds limits to its clock. A year is as good as no limit, and cannot overflow.
pub(crate) const LIMIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Limit {
    /// The `connect_timeout` of opening, from now on.
    pub(crate) fn begin(within: Duration) -> Self {
        Self::named("`connect_timeout`", within)
    }

    /// The limit of one probe, from now on.
    pub(crate) fn of_probe(within: Duration) -> Self {
        Self::named("the limit of a probe", within)
    }

    fn named(name: &'static str, within: Duration) -> Self {
        Self {
            within,
            name,
            deadline: Deadline::after(within),
        }
    }
}

/// What the service says about a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Yes,
    No,
    /// It may not be looked at; reading or publishing may be allowed all the same.
    Hidden,
}

impl Access {
    /// Finds credentials and tries them.
    pub(crate) async fn new(endpoint: Option<&str>, limit: Limit) -> Result<Self, BoxError> {
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

    pub(crate) fn target(&self, option: &'static str, name: &str) -> Target {
        Target {
            option,
            name: name.to_owned(),
            endpoint: format!("{} ({})", self.endpoint.url, self.endpoint.option),
        }
    }

    /// A client with a connection of its own, which is made when it is first used.
    pub(crate) async fn subscriber(&self) -> Result<Subscriber, BoxError> {
        let builder = Subscriber::builder()
            .with_endpoint(&self.endpoint.url)
            .with_credentials(self.credentials.clone());
        builder.build().await.map_err(|error| self.unusable(&error))
    }

    pub(crate) async fn find_subscription(
        &self,
        name: &str,
        limit: Limit,
    ) -> Result<Found, BoxError> {
        let target = self.target("subscription", name);
        let ask = async {
            self.subscriptions()
                .await?
                .get_subscription()
                .set_subscription(name)
                .send()
                .await
                .map_err(Failure::Call)
        };
        let answer = in_time(&target, limit, ask).await?;
        found(&target, answer)
    }

    pub(crate) async fn create_subscription(
        &self,
        name: &str,
        create: &Create,
        limit: Limit,
    ) -> Result<(), BoxError> {
        let target = self.target("subscription", name);
        let ask = async {
            let request = self.subscriptions().await?.create_subscription();
            let request = request
                .set_name(name)
                .set_topic(&create.topic)
                .set_enable_message_ordering(create.is_ordered)
                .set_enable_exactly_once_delivery(create.is_exactly_once);
            request.send().await.map_err(Failure::Call)
        };
        let answer = in_time(&target, limit, ask).await?;
        created(
            &target,
            answer,
            &format!("on `create` = {:?}", create.topic),
        )
    }

    pub(crate) async fn find_topic(&self, name: &str, limit: Limit) -> Result<Found, BoxError> {
        let target = self.target("topic", name);
        let ask = async {
            self.topics()
                .await?
                .get_topic()
                .set_topic(name)
                .send()
                .await
                .map_err(Failure::Call)
        };
        let answer = in_time(&target, limit, ask).await?;
        found(&target, answer)
    }

    pub(crate) async fn create_topic(&self, name: &str, limit: Limit) -> Result<(), BoxError> {
        let target = self.target("topic", name);
        let ask = async {
            self.topics()
                .await?
                .create_topic()
                .set_name(name)
                .send()
                .await
                .map_err(Failure::Call)
        };
        let answer = in_time(&target, limit, ask).await?;
        created(&target, answer, &format!("in {}", names::project(name)))
    }

    async fn subscriptions(&self) -> Result<SubscriptionAdmin, Failure> {
        let builder = SubscriptionAdmin::builder()
            .with_endpoint(&self.endpoint.url)
            .with_credentials(self.credentials.clone())
            .with_retry_policy(NeverRetry);
        builder
            .build()
            .await
            .map_err(|error| Failure::Client(self.unusable(&error)))
    }

    async fn topics(&self) -> Result<TopicAdmin, Failure> {
        let builder = TopicAdmin::builder()
            .with_endpoint(&self.endpoint.url)
            .with_credentials(self.credentials.clone())
            .with_retry_policy(NeverRetry);
        builder
            .build()
            .await
            .map_err(|error| Failure::Client(self.unusable(&error)))
    }

    pub(crate) fn unusable(&self, error: &(dyn std::error::Error + 'static)) -> BoxError {
        let Endpoint { url, option } = &self.endpoint;
        format!(
            "no client can be made for {url} ({option}): {}",
            chain(error)
        )
        .into()
    }
}

enum Failure {
    Client(BoxError),
    Call(Error),
}

/// The service's answer, which may be a refusal; an error where there is no client, or none comes in time.
async fn in_time<T>(
    target: &Target,
    limit: Limit,
    ask: impl Future<Output = Result<T, Failure>>,
) -> Result<Result<(), Error>, BoxError> {
    match limit.deadline.within(ask).await {
        Some(Ok(_)) => Ok(Ok(())),
        Some(Err(Failure::Call(error))) => Ok(Err(error)),
        Some(Err(Failure::Client(error))) => Err(error),
        None => Err(format!(
            "no answer from {} within {:?} ({}), asked for `{}` = {:?}",
            target.endpoint, limit.within, limit.name, target.option, target.name
        )
        .into()),
    }
}

fn found(target: &Target, answer: Result<(), Error>) -> Result<Found, BoxError> {
    let Err(error) = answer else {
        return Ok(Found::Yes);
    };
    match code(&error) {
        Some(Code::NotFound) => Ok(Found::No),
        Some(Code::Unauthenticated) => Err(target.explain(&error).into()),
        _ if error.is_connect()
            || error.is_io()
            || error.is_timeout()
            || error.is_authentication() =>
        {
            Err(target.explain(&error).into())
        }
        // Also where another server answers this question, which is none of gRPC.
        _ => Ok(Found::Hidden),
    }
}

fn created(target: &Target, answer: Result<(), Error>, how: &str) -> Result<(), BoxError> {
    match answer {
        Ok(()) => Ok(()),
        Err(error) if code(&error) == Some(Code::AlreadyExists) => Ok(()),
        Err(error) => Err(format!(
            "cannot create `{}` = {:?} {how}, at {}: {}",
            target.option,
            target.name,
            target.endpoint,
            chain(&error)
        )
        .into()),
    }
}

impl Target {
    pub(crate) fn missing(&self) -> String {
        let Self {
            option,
            name,
            endpoint,
        } = self;
        format!(
            "there is no {option} {name:?} (option `{option}`) at {endpoint}: create it, or correct the name and its project"
        )
    }

    /// An error of the service or the client, with what to do where that is known.
    pub(crate) fn explain(&self, error: &Error) -> String {
        let Self {
            option,
            name,
            endpoint,
        } = self;
        let why = chain(error);
        match code(error) {
            Some(Code::NotFound) => format!("{} ({why})", self.missing()),
            Some(Code::PermissionDenied) => format!(
                "no permission for `{option}` = {name:?} at {endpoint}: grant roles/pubsub.{} on it, or correct its project ({why})",
                if *option == "topic" {
                    "publisher"
                } else {
                    "subscriber"
                }
            ),
            Some(Code::Unauthenticated) => format!(
                "{endpoint} does not accept the credentials, asked for `{option}` = {name:?}: renew them (`gcloud auth \
                 application-default login`, or the key that GOOGLE_APPLICATION_CREDENTIALS names), or see to those of `client` \
                 ({why})"
            ),
            _ if error.is_authentication() => no_credentials(&why),
            _ if error.is_connect() => format!(
                "nothing can be reached at {endpoint}, asked for `{option}` = {name:?}: {why}{}",
                of_connection(&why)
            ),
            _ => format!(
                "`{option}` = {name:?} at {endpoint}: {why}{}",
                of_connection(&why)
            ),
        }
    }
}

/// What to do about a connection that was not made, by the words of rustls and hyper.
fn of_connection(why: &str) -> &'static str {
    let advice = [
        (
            "invalid peer certificate",
            "; the host has to be a name that its certificate is for, and the authority one that this machine trusts: \
             SSL_CERT_FILE names a file of others",
        ),
        (
            "InvalidContentType",
            "; nobody speaks TLS there: give http:// if that is meant, or the right port",
        ),
        (
            "invalid HTTP version",
            "; it may be that TLS is spoken there: give https://, or the right port",
        ),
    ];
    let found = advice.into_iter().find(|(mark, _)| why.contains(mark));
    found.map_or("", |(_, advice)| advice)
}

async fn default_credentials(limit: Limit) -> Result<Credentials, BoxError> {
    let found = credentials::Builder::default().build();
    let found = found.map_err(|error| no_credentials(&chain(&error)))?;
    let headers = found.headers(Default::default());
    match limit.deadline.within(headers).await {
        Some(Ok(_)) => Ok(found),
        Some(Err(error)) => Err(no_credentials(&chain(&error)).into()),
        None => {
            let within = limit.within;
            Err(no_credentials(&format!("no answer within {within:?} (`connect_timeout`)")).into())
        }
    }
}

fn no_credentials(why: &str) -> String {
    format!(
        "no credentials for Google Cloud (Application Default Credentials): run `gcloud auth application-default login`, name a \
         key file in GOOGLE_APPLICATION_CREDENTIALS, or run where a service account is attached; for an emulator set `endpoint` \
         or PUBSUB_EMULATOR_HOST ({why})"
    )
}

pub(crate) fn code(error: &Error) -> Option<Code> {
    match (error.status(), error.http_status_code()) {
        (Some(status), _) => Some(status.code),
        (None, Some(404)) => Some(Code::NotFound),
        (None, Some(403)) => Some(Code::PermissionDenied),
        (None, Some(401)) => Some(Code::Unauthenticated),
        (None, _) => None,
    }
}

/// The error and what it came from, each said once.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
