//! Where to send and how: [`SqsPublisherBuilder`].

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use broadway_core::{
    BoxError, Checks, ConfigError, Deadline, Outgoing, Problem, connector::readable,
};
use tokio::sync::{RwLock, Semaphore};

use super::{
    REQUESTS_MAX, Shared, SqsPublisher,
    entry::{Deduplicate, Rules, is_id},
};
use crate::connect::{Access, Pool, given, tuned};

/// The most that SQS takes, for one message and for all of a request.
const BYTES_MAX: usize = 1_048_576;
const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
const IN_FLIGHT_MAX: usize = 1_000_000;

/// A publisher in the making, from [`SqsPublisher::queue`].
#[derive(Clone)]
#[must_use = "a publisher is opened with `open`"]
pub struct SqsPublisherBuilder {
    access: Access,
    in_flight_max: usize,
    confirm_timeout: Duration,
    bytes_max: usize,
    delay: Option<Duration>,
    is_fair: bool,
    deduplicate: Option<Arc<Deduplicate>>,
    default_group: String,
}

impl SqsPublisherBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            access: Access::new(url),
            in_flight_max: 1_000,
            confirm_timeout: Duration::from_secs(30),
            bytes_max: BYTES_MAX,
            delay: None,
            is_fair: false,
            deduplicate: None,
            default_group: "broadway".to_owned(),
        }
    }

    /// The region. Default: that of the queue's URL, else that of the SDK's chain (environment, profile, instance).
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.access.region = Some(region.into());
        self
    }

    /// Where requests go, instead of to the region's endpoint. Default for a URL whose host is not one of AWS's: that host.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.access.endpoint = Some(url.into());
        self
    }

    /// These credentials, for a stand-in of SQS that checks none, or out of a store of your own. Default: those of the SDK's
    /// chain, which renews what expires.
    pub fn credentials(
        mut self,
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
    ) -> Self {
        self.access.credentials = Some(given(access_key_id.into(), secret_access_key.into()));
        self
    }

    /// A configured client, with its region, credentials and HTTP stack. Its time-outs and retries are replaced by those
    /// of this publisher.
    pub fn client(mut self, client: aws_sdk_sqs::Client) -> Self {
        self.access.client = Some(client);
        self
    }

    /// Creates the queue at opening where it is missing, with the defaults of SQS; a FIFO queue with content-based
    /// deduplication. For development and tests.
    pub fn create_if_missing(mut self) -> Self {
        self.access.create_if_missing = true;
        self
    }

    /// The most messages on their way at once, of all callers together; others wait. Default: 1,000. Requests are 16 at once at
    /// most.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// How long a message may be tried until it fails as unconfirmed, and how long
    /// [`flush`](broadway_core::Publisher::flush) waits. `Duration::MAX` means no limit. Default: 30 s.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// How long opening waits for a queue that answers. `Duration::MAX` means no limit. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.access.connect_timeout = timeout;
        self
    }

    /// How long a request may take; it is tried twice before its entries count as not confirmed, to be tried again within
    /// [`confirm_timeout`](Self::confirm_timeout). More than a year counts as a year. Default: 5 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.access.request_timeout = timeout;
        self
    }

    /// The most bytes of a message as it is sent, attributes included, and of all messages of a request. A larger message is
    /// refused; one that is sent in base64 grows by a third. Default: 1 MiB, which is what SQS takes; a queue may be set to less.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// How long messages stay hidden at first: whole seconds, 15 minutes at most, and not in a FIFO queue, where the queue has
    /// one delay for all. Default: the queue's.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Sends the key as message group to a standard queue too, where it makes the queue fair among groups. By default it
    /// travels as the attribute `broadway-key`.
    pub fn fair(mut self) -> Self {
        self.is_fair = true;
        self
    }

    /// The message group of messages without a key in a FIFO queue: 1 to 128 letters, digits and punctuation marks of ASCII.
    /// All of them are delivered one after the other. Defaults to `broadway`.
    pub fn default_group(mut self, group: impl Into<String>) -> Self {
        self.default_group = group.into();
        self
    }

    /// The deduplication id of each message in a FIFO queue.
    ///
    /// By default none is sent, and the queue must have content-based deduplication, which compares bodies. Dead letters, and
    /// messages whose payload is empty or missing, have an id of their own then, made of all that they carry: two dead letters
    /// of equal bodies both arrive, and one that is sent again within five minutes is stored once, if its
    /// `broadway-origin` tells records apart (a delivery tag of RabbitMQ does not).
    pub fn deduplicate_by(
        mut self,
        id: impl Fn(&Outgoing) -> String + Send + Sync + 'static,
    ) -> Self {
        self.deduplicate = Some(Arc::new(id));
        self
    }

    /// Finds the queue.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for options that cannot work; otherwise a text that names the option: no region or no credentials are
    /// known, the queue does not exist or refuses us, nobody answers within `connect_timeout`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing was sent.
    pub async fn open(self) -> Result<SqsPublisher, BoxError> {
        self.try_open().await.map_err(readable)
    }

    async fn try_open(self) -> Result<SqsPublisher, BoxError> {
        ConfigError::check("the SQS publisher", self.problems())?;
        let deadline = Deadline::after(self.access.connect_timeout);
        let client = self.access.connect(deadline).await?;
        let timeout = self.access.request_timeout;
        let client = tuned(&client, Pool::Publisher, Duration::ZERO, timeout);
        self.access.find(&client, deadline).await?;
        let rules = Rules {
            is_fifo: self.access.address().is_fifo(),
            is_fair: self.is_fair,
            bytes_max: self.bytes_max,
            delay_secs: self
                .delay
                .map(|delay| i32::try_from(delay.as_secs()).expect("15 minutes at most")),
            deduplicate: self.deduplicate,
            default_group: self.default_group,
        };
        let shared = Shared {
            client,
            url: self.access.url,
            rules,
            in_flight_max: self.in_flight_max,
            confirm_timeout: self.confirm_timeout,
            calls: RwLock::new(()),
            in_flight: Semaphore::new(self.in_flight_max),
            requests: Semaphore::new(REQUESTS_MAX),
            is_closed: AtomicBool::new(false),
        };
        Ok(SqsPublisher {
            shared: Arc::new(shared),
        })
    }

    /// All that cannot work.
    fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(self.access.problems());
        let is_fifo = self.access.url.ends_with(".fifo");
        checks.within("in_flight_max", self.in_flight_max, 1..=IN_FLIGHT_MAX);
        checks.above_zero("confirm_timeout", self.confirm_timeout);
        // 1 MiB is the most that SQS takes.
        checks.within("bytes_max", self.bytes_max, 1..=BYTES_MAX);
        let delay = self.delay.unwrap_or_default();
        checks.require(
            delay <= DELAY_MAX && delay.subsec_nanos() == 0,
            "delay",
            format_args!("is {delay:?}; give whole seconds from 0 to 15 minutes"),
        );
        checks.require(
            self.delay.is_none() || !is_fifo,
            "delay",
            "is given for a FIFO queue, where messages have no delay of their own; set it at the queue",
        );
        checks.require(
            is_id(self.default_group.as_bytes()),
            "default_group",
            format_args!(
                "is {:?}; give 1 to 128 letters, digits and punctuation marks of ASCII",
                self.default_group
            ),
        );
        checks.require(
            self.deduplicate.is_none() || is_fifo,
            "deduplicate_by",
            "is given for a standard queue, which does not deduplicate; send to a FIFO queue, or leave it out",
        );
        checks.into_problems()
    }
}

impl fmt::Debug for SqsPublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsPublisherBuilder")
            .field("access", &self.access)
            .field("in_flight_max", &self.in_flight_max)
            .field("confirm_timeout", &self.confirm_timeout)
            .field("bytes_max", &self.bytes_max)
            .field("delay", &self.delay)
            .field("is_fair", &self.is_fair)
            .field("default_group", &self.default_group)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_that_cannot_work_is_listed() {
        let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders";
        assert!(SqsPublisher::queue(url).problems().is_empty());
        let wrong = SqsPublisher::queue(url)
            .in_flight_max(0)
            .confirm_timeout(Duration::ZERO)
            .bytes_max(2_000_000)
            .delay(Duration::from_millis(100))
            .default_group("two words")
            .deduplicate_by(|_| String::new());
        let options: Vec<_> = wrong
            .problems()
            .iter()
            .map(|problem| problem.option().to_owned())
            .collect();
        let expected = [
            "in_flight_max",
            "confirm_timeout",
            "bytes_max",
            "delay",
            "default_group",
            "deduplicate_by",
        ];
        assert_eq!(options, expected);
    }

    #[test]
    fn secrets_are_not_shown() {
        let builder = SqsPublisher::queue("https://host/1/orders").credentials("me", "hush");
        assert!(!format!("{builder:?}").contains("hush"));
    }
}
