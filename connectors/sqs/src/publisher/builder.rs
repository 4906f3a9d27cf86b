//! Options of a publisher: [`SqsPublisherBuilder`].

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{
    BoxError, Checks, ConfigError, Deadline, Outgoing, Problem, connector::InFlight,
};
use tokio::sync::Semaphore;

use super::{
    REQUESTS_MAX, SqsPublisher, SqsPublisherShared,
    convert::{BYTES_MAX, ConversionRules, Deduplicate, ID_FORMAT, is_id},
};
use crate::connect::{ConnectionPool, QueueAccess, static_credentials, with_timeouts};

const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
const IN_FLIGHT_MAX: usize = 1_000_000;

/// The options of an [`SqsPublisher`], from [`SqsPublisher::queue`].
#[derive(Clone)]
#[must_use = "a publisher is opened with `open`"]
pub struct SqsPublisherBuilder {
    access: QueueAccess,
    delay: Option<Duration>,
    is_fair: bool,
    default_group: String,
    deduplicate: Option<Arc<Deduplicate>>,
    in_flight_max: usize,
    bytes_max: usize,
    confirm_timeout: Duration,
    close_timeout: Duration,
}

impl SqsPublisherBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            access: QueueAccess::new(url),
            delay: None,
            is_fair: false,
            default_group: "broadway".to_owned(),
            deduplicate: None,
            in_flight_max: 1_000,
            bytes_max: BYTES_MAX,
            confirm_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
        }
    }

    /// Region. Defaults to the region in the queue's URL, or else the one that the SDK's chain finds (environment, profile, instance).
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.access.region = Some(region.into());
        self
    }

    /// URL to which requests are sent. Defaults to the region's endpoint, or to the host of the queue's URL if that is not a host of
    /// AWS.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.access.endpoint = Some(url.into());
        self
    }

    /// Static credentials, for an emulator that does not check them, or from your own secret store. Defaults to the credentials that
    /// the SDK's chain finds and renews.
    pub fn credentials(
        mut self,
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
    ) -> Self {
        self.access.credentials = Some(static_credentials(
            access_key_id.into(),
            secret_access_key.into(),
        ));
        self
    }

    /// A configured client, with its region, credentials and HTTP stack. The publisher replaces its timeouts and retries. By default
    /// the publisher makes a client.
    pub fn client(mut self, client: aws_sdk_sqs::Client) -> Self {
        self.access.client = Some(client);
        self
    }

    /// Creates the queue when the publisher opens, if it does not exist: with the defaults of SQS, and a FIFO queue with content-based
    /// deduplication. For development and tests. By default a missing queue is an error.
    pub fn create_if_missing(mut self) -> Self {
        self.access.create_if_missing = true;
        self
    }

    /// Delay until messages are first visible: whole seconds, 0 to 15 minutes. Not for FIFO queues, whose delay is an attribute of the
    /// queue. Defaults to the queue's own.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Sends the key as the message group to a standard queue too, which makes it a fair queue. By default the key travels as the
    /// attribute `broadway-key`.
    pub fn fair(mut self) -> Self {
        self.is_fair = true;
        self
    }

    /// Message group of messages without a key in a FIFO queue: 1 to 128 printable ASCII characters without spaces. SQS delivers all
    /// of them one after the other. Defaults to `broadway`.
    pub fn default_group(mut self, group: impl Into<String>) -> Self {
        self.default_group = group.into();
        self
    }

    /// Sets the deduplication id of each message in a FIFO queue.
    ///
    /// By default messages have no id, and the queue must have content-based deduplication, which compares bodies. Dead letters, and
    /// messages whose payload is empty or missing, then get an id made of everything they carry: two dead letters with equal bodies
    /// both arrive, and one that is sent again within five minutes is stored once, if its `broadway-origin` identifies the record (a
    /// delivery tag of RabbitMQ does not). With a header `broadway-id`, as dead letters and replayed messages have it, that id counts
    /// with the body, the key and `broadway-replays`, and no other header.
    pub fn deduplicate_by(
        mut self,
        id: impl Fn(&Outgoing) -> String + Send + Sync + 'static,
    ) -> Self {
        self.deduplicate = Some(Arc::new(id));
        self
    }

    /// Maximum number of messages in flight, of all callers together: 1 to 1,000,000. Further calls wait. There are never more than
    /// 16 concurrent requests. Defaults to 1,000.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// Maximum number of bytes of a message as it is sent, attributes included, and of all messages of a request: 1 to 1,048,576.
    /// Larger messages are refused; base64 makes a message a third larger. Defaults to 1 MiB, the limit of SQS; a queue may have a
    /// lower one.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Limit on opening, which waits until the queue answers. `Duration::MAX` means no limit. Defaults to 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.access.connect_timeout = timeout;
        self
    }

    /// Limit on one attempt of a request. After two attempts its messages count as not confirmed, and are sent again within
    /// [`confirm_timeout`](Self::confirm_timeout). Values above a year count as a year. Defaults to 5 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.access.request_timeout = timeout;
        self
    }

    /// How long a message is retried until it fails as unconfirmed, and the limit on
    /// [`flush`](broadway_core::Publisher::flush). `Duration::MAX` means no limit. Defaults to 30 s.
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

    /// Opens the publisher: finds credentials, and checks that the queue exists.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] if options are invalid. Otherwise fails with a
    /// [`ConnectorError`](broadway_core::connector::ConnectorError) that names the option: no region or credentials are found, the queue
    /// does not exist or rejects the request, or nothing answers within `connect_timeout`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing was sent.
    pub async fn open(self) -> Result<SqsPublisher, BoxError> {
        ConfigError::check("the SQS publisher", self.problems())?;
        let deadline = Deadline::after(self.access.connect_timeout);
        let client = self.access.connect(deadline).await?;
        let timeout = self.access.request_timeout;
        let client = with_timeouts(&client, ConnectionPool::Publisher, Duration::ZERO, timeout);
        self.access.find(&client, deadline).await?;
        let rules = ConversionRules {
            is_fifo: self.access.queue_url().is_fifo(),
            is_fair: self.is_fair,
            bytes_max: self.bytes_max,
            delay_secs: self
                .delay
                .map(|delay| i32::try_from(delay.as_secs()).expect("15 minutes at most")),
            deduplicate: self.deduplicate,
            default_group: self.default_group,
        };
        let shared = SqsPublisherShared {
            client,
            url: self.access.url,
            rules,
            in_flight: InFlight::new(self.in_flight_max),
            confirm_timeout: self.confirm_timeout,
            close_timeout: self.close_timeout,
            requests: Semaphore::new(REQUESTS_MAX),
        };
        Ok(SqsPublisher {
            shared: Arc::new(shared),
        })
    }

    /// Checks the options without connecting.
    fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        self.access.check(&mut checks);
        let is_fifo = self.access.url.ends_with(".fifo");
        let delay = self.delay.unwrap_or_default();
        checks.require(
            delay <= DELAY_MAX && delay.subsec_nanos() == 0,
            "delay",
            format_args!("is {delay:?}; give whole seconds from 0 to 15 minutes"),
        );
        checks.require(
            self.delay.is_none() || !is_fifo,
            "delay",
            "is set for a FIFO queue, whose messages have no delay of their own; set it at the queue",
        );
        checks.require(
            is_id(self.default_group.as_bytes()),
            "default_group",
            format_args!("is {:?}; give {ID_FORMAT}", self.default_group),
        );
        checks.require(
            self.deduplicate.is_none() || is_fifo,
            "deduplicate_by",
            "is set for a standard queue, which does not deduplicate; send to a FIFO queue, or leave it out",
        );
        checks.within("in_flight_max", self.in_flight_max, 1..=IN_FLIGHT_MAX);
        checks.within("bytes_max", self.bytes_max, 1..=BYTES_MAX);
        self.access.check_timeouts(&mut checks);
        checks.timeout("confirm_timeout", self.confirm_timeout);
        checks.timeout("close_timeout", self.close_timeout);
        checks.into_problems()
    }
}

/// Shows the options, without credentials.
impl fmt::Debug for SqsPublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsPublisherBuilder")
            .field("access", &self.access)
            .field("delay", &self.delay)
            .field("is_fair", &self.is_fair)
            .field("default_group", &self.default_group)
            .field("in_flight_max", &self.in_flight_max)
            .field("bytes_max", &self.bytes_max)
            .field("confirm_timeout", &self.confirm_timeout)
            .field("close_timeout", &self.close_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invalid_option_is_listed() {
        let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders";
        assert!(SqsPublisher::queue(url).problems().is_empty());
        let invalid = SqsPublisher::queue(url)
            .delay(Duration::from_millis(100))
            .default_group("two words")
            .deduplicate_by(|_| String::new())
            .in_flight_max(0)
            .bytes_max(2_000_000)
            .confirm_timeout(Duration::ZERO)
            .close_timeout(Duration::ZERO);
        let options: Vec<_> = invalid
            .problems()
            .iter()
            .map(|problem| problem.option().to_owned())
            .collect();
        let expected = [
            "delay",
            "default_group",
            "deduplicate_by",
            "in_flight_max",
            "bytes_max",
            "confirm_timeout",
            "close_timeout",
        ];
        assert_eq!(options, expected);
    }

    #[test]
    fn secrets_are_not_shown() {
        let builder = SqsPublisher::queue("https://host/1/orders").credentials("me", "hush");
        assert!(!format!("{builder:?}").contains("hush"));
    }
}
