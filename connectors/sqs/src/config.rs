//! The source and its options: [`Sqs`].

use std::time::Duration;

use aws_sdk_sqs::types::MessageSystemAttributeName;
use broadway_core::{Checks, OpenContext, Problem};

use crate::{
    connect::{QueueAccess, static_credentials},
    options::{OnFailure, OnSuccess, SqsAckPolicy, VISIBILITY_MAX},
};

/// The longest wait of a long poll in SQS.
const WAIT_MAX: Duration = Duration::from_secs(20);
const REQUESTS_MAX: usize = 1_000;
/// The most messages of a queue that SQS has in flight: it delivers more only when some of them are deleted.
const IN_FLIGHT_MAX: usize = 120_000;

/// Reads a queue.
///
/// ```
/// use std::time::Duration;
/// use broadway_sqs::{OnFailure, Sqs};
///
/// let source = Sqs::queue("https://sqs.eu-central-1.amazonaws.com/123456789012/orders")
///     .on_failure(OnFailure::VisibleAfter(Duration::from_secs(30)))
///     .visibility_timeout(Duration::from_secs(60));
/// # let _ = source;
/// ```
///
/// One producer is enough for thousands of messages a second; each has [`receives_max`](Self::receives_max) polls of its own.
#[derive(Debug, Clone)]
#[must_use = "a source does nothing until a pipeline is started with it"]
pub struct Sqs {
    pub(crate) access: QueueAccess,
    pub(crate) message_attributes: Vec<String>,
    pub(crate) system_attributes: Vec<MessageSystemAttributeName>,
    pub(crate) lease_max: Duration,
    pub(crate) receives_max: usize,
    pub(crate) deletes_max: usize,
    pub(crate) policy: SqsAckPolicy,
    pub(crate) close_timeout: Duration,
    pub(crate) polls_timeout: Duration,
    pub(crate) visibility_timeout: Option<Duration>,
    pub(crate) wait_time: Duration,
    pub(crate) lag_interval: Duration,
}

impl Sqs {
    /// Reads the queue with this URL. A queue whose name ends with `.fifo` is a FIFO queue.
    pub fn queue(url: impl Into<String>) -> Self {
        Self {
            access: QueueAccess::new(url.into()),
            message_attributes: vec!["All".to_owned()],
            system_attributes: vec![MessageSystemAttributeName::All],
            lease_max: VISIBILITY_MAX,
            receives_max: 8,
            deletes_max: 8,
            policy: SqsAckPolicy::default(),
            close_timeout: Duration::from_secs(10),
            polls_timeout: Duration::from_millis(300),
            visibility_timeout: None,
            wait_time: WAIT_MAX,
            lag_interval: Duration::from_secs(60),
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

    /// A configured client, with its region, credentials and HTTP stack. The source replaces its timeouts and retries, since long
    /// polls need their own. By default each producer makes a client.
    pub fn client(mut self, client: aws_sdk_sqs::Client) -> Self {
        self.access.client = Some(client);
        self
    }

    /// Creates the queue when the source opens, if it does not exist: with the defaults of SQS, and a FIFO queue with content-based
    /// deduplication. For development and tests. By default a missing queue is an error.
    pub fn create_if_missing(mut self) -> Self {
        self.access.create_if_missing = true;
        self
    }

    /// Which message attributes to request, by name or by prefix (`trace.*`). An empty list requests none. Attributes in which the
    /// publisher encodes what SQS does not accept (`broadway-encoding` and the like) are always requested. Defaults to all.
    pub fn message_attributes<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.message_attributes = names.into_iter().map(Into::into).collect();
        self
    }

    /// Which system attributes to request, by their names in SQS (`SentTimestamp`). The receive count, and the message group of a
    /// FIFO queue, are always requested. Defaults to all.
    pub fn system_attributes<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.system_attributes = names
            .into_iter()
            .map(|name| MessageSystemAttributeName::from(name.as_ref()))
            .collect();
        self
    }

    /// How long a message is kept hidden from other consumers, counted from when it was received: 1 s to 12 hours. After that it is
    /// given up: SQS delivers it again, no handler starts on it here, and a late result is ignored. Defaults to 12 hours, the limit of
    /// SQS.
    pub fn lease_max(mut self, time: Duration) -> Self {
        self.lease_max = time;
        self
    }

    /// Maximum number of concurrent polls of each producer: 1 to 1,000. While the queue is empty there is one, and one more after
    /// each response that is at least half full. Defaults to 8.
    pub fn receives_max(mut self, polls: usize) -> Self {
        self.receives_max = polls;
        self
    }

    /// Maximum number of concurrent requests that delete messages or make them visible: 1 to 1,000. Requests that extend visibility
    /// have a limit of 4 of their own. No polls start while more than 40 entries for each of these requests are waiting. Defaults
    /// to 8.
    pub fn deletes_max(mut self, requests: usize) -> Self {
        self.deletes_max = requests;
        self
    }

    /// What happens to a message that succeeded. Defaults to [`OnSuccess::Delete`].
    pub fn on_success(mut self, on_success: OnSuccess) -> Self {
        self.policy.on_success = on_success;
        self
    }

    /// What happens to a message that failed. Defaults to [`OnFailure::Leave`]: SQS delivers it again when its visibility timeout
    /// ends.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.policy.on_failure = on_failure;
        self
    }

    /// Limit on opening, which waits until the queue answers. `Duration::MAX` means no limit. Defaults to 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.access.connect_timeout = timeout;
        self
    }

    /// Limit on one attempt of a request, on top of [`wait_time`](Self::wait_time) for a poll. A request has two attempts. Values
    /// above a year count as a year. Defaults to 5 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.access.request_timeout = timeout;
        self
    }

    /// Limit on closing, which waits until the last deletes are confirmed and unsettled messages are returned. `Duration::MAX` means
    /// no limit. Defaults to 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How long closing waits for polls that are still open, as part of [`close_timeout`](Self::close_timeout). Then they are
    /// cancelled. SQS may still deliver messages to a cancelled poll until its [`wait_time`](Self::wait_time) is over; these are
    /// hidden for one visibility timeout. With at least `wait_time` no poll is cancelled, and an idle source takes that long to
    /// close. Defaults to 300 ms, in which polls of a busy queue return.
    pub fn polls_timeout(mut self, timeout: Duration) -> Self {
        self.polls_timeout = timeout;
        self
    }

    /// How long a received message is hidden from other consumers before this source must extend that time: whole seconds, 1 s to
    /// 12 hours. After a crash, messages are delivered again when it ends. Defaults to the queue's own.
    pub fn visibility_timeout(mut self, timeout: Duration) -> Self {
        self.visibility_timeout = Some(timeout);
        self
    }

    /// Long-poll wait time: whole seconds, 0 to 20. Defaults to 20 s, which costs least: 4,320 requests a day for each producer while
    /// the queue is empty.
    ///
    /// From 1 s on, a poll returns as soon as there is a message. With 0, polls of an empty queue return at once, and start 50 ms
    /// apart, then twice as far apart after each further empty response, up to one second, until a message comes: up to 86,400
    /// requests a day, and up to a second until a message is found.
    pub fn wait_time(mut self, time: Duration) -> Self {
        self.wait_time = time;
        self
    }

    /// How often [`Event::Lag`](broadway_core::telemetry::Event::Lag) reports how far the queue is behind and how old its oldest
    /// message is. [`Duration::MAX`] turns it off. Defaults to 60 s; the first report comes after 5 s.
    ///
    /// Each report costs each producer one request (`sqs:GetQueueAttributes`): 1,440 a day by default. The lag is the approximate
    /// number that SQS returns: visible messages and messages in flight, here or elsewhere, without delayed ones. The age is the age of
    /// the oldest message in the pipeline, by its `SentTimestamp`; it is unknown if
    /// [`system_attributes`](Self::system_attributes) leaves that out.
    pub fn lag_interval(mut self, interval: Duration) -> Self {
        self.lag_interval = interval;
        self
    }

    /// Checks the options without connecting.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        self.access.check(&mut checks);
        let lease_range = Duration::from_secs(1)..=VISIBILITY_MAX;
        checks.duration_within("lease_max", self.lease_max, lease_range);
        checks.within("receives_max", self.receives_max, 1..=REQUESTS_MAX);
        checks.within("deletes_max", self.deletes_max, 1..=REQUESTS_MAX);
        self.access.check_timeouts(&mut checks);
        checks.timeout("close_timeout", self.close_timeout);
        checks.require(
            self.polls_timeout <= self.close_timeout,
            "polls_timeout",
            format_args!(
                "is {:?}, longer than `close_timeout`, of which it is a part; set both",
                self.polls_timeout
            ),
        );
        let visibility = self.visibility_timeout.unwrap_or(VISIBILITY_MAX);
        checks.require(
            is_visibility_timeout(visibility),
            "visibility_timeout",
            format_args!("is {visibility:?}; give whole seconds from 1 s to 12 hours"),
        );
        checks.require(
            self.wait_time <= WAIT_MAX && self.wait_time.subsec_nanos() == 0,
            "wait_time",
            format_args!("is {:?}; give whole seconds from 0 to 20", self.wait_time),
        );
        checks.above_zero("lag_interval", self.lag_interval);
        checks.into_problems()
    }

    /// Checks the options against the pipeline, in addition to [`problems`](Self::problems).
    pub(crate) fn pipeline_problems(&self, cx: &OpenContext) -> Vec<Problem> {
        let mut checks = Checks::default();
        let size = cx.batch_size_max();
        checks.require(
            size <= IN_FLIGHT_MAX,
            "queue",
            format_args!(
                "cannot fill the pipeline's largest batch of {size} messages, which would only ever end by its timeout: SQS \
                 has at most {IN_FLIGHT_MAX} messages of a queue in flight; make batches smaller"
            ),
        );
        checks.into_problems()
    }
}

/// Whether SQS accepts this visibility timeout and leases can be extended with it.
pub(crate) fn is_visibility_timeout(timeout: Duration) -> bool {
    timeout >= Duration::from_secs(1) && timeout <= VISIBILITY_MAX && timeout.subsec_nanos() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(source: &Sqs) -> Vec<String> {
        let problems = source.problems();
        problems
            .iter()
            .map(|problem| problem.option().to_owned())
            .collect()
    }

    #[test]
    fn defaults_have_no_problem() {
        let source = Sqs::queue("https://sqs.eu-central-1.amazonaws.com/123456789012/orders");
        assert!(options(&source).is_empty());
        assert!(options(&source.region("eu-central-1")).is_empty());
    }

    #[test]
    fn every_invalid_option_is_listed() {
        let source = Sqs::queue("https://sqs.eu-central-1.amazonaws.com/123456789012/orders")
            .region("us-east-1")
            .endpoint("localhost:9324")
            .lease_max(Duration::from_secs(50_000))
            .receives_max(0)
            .deletes_max(0)
            .connect_timeout(Duration::ZERO)
            .request_timeout(Duration::ZERO)
            .close_timeout(Duration::ZERO)
            .visibility_timeout(Duration::from_millis(1_500))
            .wait_time(Duration::from_secs(21))
            .lag_interval(Duration::ZERO);
        let expected = [
            "region",
            "endpoint",
            "lease_max",
            "receives_max",
            "deletes_max",
            "connect_timeout",
            "request_timeout",
            "close_timeout",
            "polls_timeout",
            "visibility_timeout",
            "wait_time",
            "lag_interval",
        ];
        assert_eq!(options(&source), expected);
        assert_eq!(options(&Sqs::queue("orders")), ["queue"]);
    }

    #[test]
    fn a_batch_that_the_queue_cannot_fill_is_an_error() {
        let source = Sqs::queue("https://sqs.eu-central-1.amazonaws.com/123456789012/orders");
        let cx = |size| OpenContext::for_test().with_batch_size_max(size);
        assert!(source.pipeline_problems(&cx(120_000)).is_empty());
        let text = source.pipeline_problems(&cx(120_001))[0].to_string();
        assert!(text.contains("120001") && text.contains("batch"), "{text}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let source = Sqs::queue("https://host/1/orders").credentials("me", "hush");
        assert!(!format!("{source:?}").contains("hush"));
    }
}
