//! What to read and how: [`Sqs`], the source, and its options.

use std::time::Duration;

use aws_sdk_sqs::types::MessageSystemAttributeName;
use broadway_core::{Checks, OpenContext, Problem};

use crate::{
    connect::{Access, given},
    options::{HIDDEN_MAX, OnFailure, OnSuccess, Policy},
};

/// The longest that SQS lets a poll wait.
const WAIT_MAX: Duration = Duration::from_secs(20);
const POLLS_MAX: usize = 1_000;
/// The most messages of a queue that SQS hands out before some of them are deleted.
const IN_FLIGHT_MAX: usize = 120_000;

/// Reads a queue.
///
/// ```
/// use std::time::Duration;
/// use broadway_sqs::{OnFailure, Sqs};
///
/// let source = Sqs::queue("https://sqs.eu-central-1.amazonaws.com/123456789012/orders")
///     .visibility_timeout(Duration::from_secs(60))
///     .on_failure(OnFailure::VisibleAfter(Duration::from_secs(30)));
/// # let _ = source;
/// ```
///
/// One producer is enough for thousands of messages a second; each has [`receives_max`](Self::receives_max) polls of its own.
#[derive(Debug, Clone)]
#[must_use = "a source does nothing until a pipeline is started with it"]
pub struct Sqs {
    pub(crate) access: Access,
    pub(crate) wait_time: Duration,
    pub(crate) receives_max: usize,
    pub(crate) deletes_max: usize,
    pub(crate) visibility_timeout: Option<Duration>,
    pub(crate) hold_max: Duration,
    pub(crate) policy: Policy,
    pub(crate) close_timeout: Duration,
    pub(crate) polls_timeout: Duration,
    pub(crate) lag_interval: Duration,
    pub(crate) message_attributes: Vec<String>,
    pub(crate) system_attributes: Vec<MessageSystemAttributeName>,
}

impl Sqs {
    /// The queue of this URL. A name that ends with `.fifo` is a FIFO queue.
    pub fn queue(url: impl Into<String>) -> Self {
        Self {
            access: Access::new(url.into()),
            wait_time: WAIT_MAX,
            receives_max: 8,
            deletes_max: 8,
            visibility_timeout: None,
            hold_max: HIDDEN_MAX,
            policy: Policy::default(),
            close_timeout: Duration::from_secs(10),
            polls_timeout: Duration::from_millis(300),
            lag_interval: Duration::from_secs(60),
            message_attributes: vec!["All".to_owned()],
            system_attributes: vec![MessageSystemAttributeName::All],
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
    /// of this source, for long polls need their own.
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

    /// How long an empty queue holds a poll back: whole seconds, 0 to 20. Default: 20 s, the cheapest: 4,320 requests a day for each
    /// producer while the queue is empty.
    ///
    /// With 0 polls come back empty at once. Then they are made 50 ms apart, and twice as far with each further empty answer, up to
    /// one second, until a message comes: up to 86,400 requests a day, and up to a second until a message is found. From 1 s on a
    /// message is found at once.
    pub fn wait_time(mut self, time: Duration) -> Self {
        self.wait_time = time;
        self
    }

    /// The most polls at the queue at once, for each producer: 1 to 1,000. There is one while the queue is empty, and one more
    /// with each answer that is at least half full. Default: 8.
    pub fn receives_max(mut self, polls: usize) -> Self {
        self.receives_max = polls;
        self
    }

    /// The most requests at once that delete messages or make them visible; extensions have 4 of their own. While more than
    /// 40 entries for each of them wait, no polls begin. 1 to 1,000. Default: 8.
    pub fn deletes_max(mut self, requests: usize) -> Self {
        self.deletes_max = requests;
        self
    }

    /// How long a message is hidden from others before it must be extended: whole seconds, 1 s to 12 hours. A crash
    /// delays its messages by that. Default: the queue's own.
    pub fn visibility_timeout(mut self, timeout: Duration) -> Self {
        self.visibility_timeout = Some(timeout);
        self
    }

    /// How long after it was received a message is still extended. Then it is given up: it comes again, nobody begins it
    /// here, and a late result is ignored. Default: 12 hours, the most that SQS allows.
    pub fn hold_max(mut self, time: Duration) -> Self {
        self.hold_max = time;
        self
    }

    /// What happens to a message that succeeded. Default: [`OnSuccess::Delete`].
    pub fn on_success(mut self, on_success: OnSuccess) -> Self {
        self.policy.on_success = on_success;
        self
    }

    /// What happens to a message that failed. Default: [`OnFailure::Leave`]: it comes again when its visibility ends.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.policy.on_failure = on_failure;
        self
    }

    /// Which message attributes to ask for, by name or by prefix (`trace.*`). Those in which the publisher carries what SQS does not
    /// take as it is (`broadway-encoding` and the like) are always asked for. Default: all. No others: an empty list.
    pub fn message_attributes<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.message_attributes = names.into_iter().map(Into::into).collect();
        self
    }

    /// Which attributes of the system to ask for, in the words of SQS (`SentTimestamp`). Default: all. The group of a message of a FIFO
    /// queue is always asked for.
    pub fn system_attributes<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.system_attributes = names
            .into_iter()
            .map(|name| MessageSystemAttributeName::from(name.as_ref()))
            .collect();
        self
    }

    /// How long opening waits for a queue that answers. `Duration::MAX` means no limit. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.access.connect_timeout = timeout;
        self
    }

    /// How long a request may take, a poll beyond its [`wait_time`](Self::wait_time). It is tried twice, the second time
    /// within the same again. More than a year counts as a year. Default: 5 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.access.request_timeout = timeout;
        self
    }

    /// How long closing waits until the last deletes are confirmed and the rest is given back. `Duration::MAX` means no limit.
    /// Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How long closing waits for polls that are at the queue, part of [`close_timeout`](Self::close_timeout). A poll that is cut may
    /// take messages with it that come later, as long as its [`wait_time`](Self::wait_time) lasts: they are hidden for one
    /// visibility time-out. As long as `wait_time`, nothing is cut, and an idle source takes that long to close.
    /// Default: 300 ms, in which polls of a busy queue come back.
    pub fn polls_timeout(mut self, timeout: Duration) -> Self {
        self.polls_timeout = timeout;
        self
    }

    /// How often [`Event::Lag`](broadway_core::telemetry::Event::Lag) tells how far the queue is behind, and how old its oldest
    /// message is. [`Duration::MAX`] turns it off. Defaults to 60 s; the first report comes after 5 s.
    ///
    /// Each producer asks the queue with one request (`sqs:GetQueueAttributes`), which SQS charges: 1,440 a day for each producer by
    /// default. The lag is what SQS says, approximately: messages that are visible and messages in flight, here or elsewhere, without
    /// delayed ones. The age is that of the oldest message in the pipeline, by its `SentTimestamp`; unknown if
    /// [`system_attributes`](Self::system_attributes) leaves that out.
    pub fn lag_interval(mut self, interval: Duration) -> Self {
        self.lag_interval = interval;
        self
    }

    /// All that cannot work.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(self.access.problems());
        checks.require(
            self.wait_time <= WAIT_MAX && self.wait_time.subsec_nanos() == 0,
            "wait_time",
            format_args!(
                "is {:?}; SQS takes whole seconds from 0 to 20",
                self.wait_time
            ),
        );
        let visibility = self.visibility_timeout.unwrap_or(HIDDEN_MAX);
        checks.require(
            is_visibility(visibility),
            "visibility_timeout",
            format_args!("is {visibility:?}; give whole seconds from 1 s to 12 hours"),
        );
        checks.require(
            self.hold_max >= Duration::from_secs(1) && self.hold_max <= HIDDEN_MAX,
            "hold_max",
            format_args!(
                "is {:?}; give 1 s to 12 hours, the most that SQS hides a message",
                self.hold_max
            ),
        );
        checks.within("receives_max", self.receives_max, 1..=POLLS_MAX);
        checks.within("deletes_max", self.deletes_max, 1..=POLLS_MAX);
        checks.above_zero("close_timeout", self.close_timeout);
        checks.require(
            self.polls_timeout <= self.close_timeout,
            "polls_timeout",
            format_args!(
                "is {:?}, longer than close_timeout, of which it is a part; give both",
                self.polls_timeout
            ),
        );
        checks.above_zero("lag_interval", self.lag_interval);
        checks.into_problems()
    }
}

impl Sqs {
    /// All that cannot work in this pipeline, beside [`problems`](Self::problems).
    pub(crate) fn problems_in(&self, cx: &OpenContext) -> Vec<Problem> {
        let mut checks = Checks::default();
        let size = cx.batch_size_max();
        checks.require(
            size <= IN_FLIGHT_MAX,
            "queue",
            format_args!(
                "cannot fill the pipeline's largest batch of {size} messages, which would only ever end by its timeout: SQS \
                 hands out {IN_FLIGHT_MAX} messages of a queue at most before some of them are deleted; make batches smaller"
            ),
        );
        checks.into_problems()
    }
}

/// Whether messages can be held with this time-out.
pub(crate) fn is_visibility(timeout: Duration) -> bool {
    timeout >= Duration::from_secs(1) && timeout <= HIDDEN_MAX && timeout.subsec_nanos() == 0
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
    fn every_option_that_cannot_work_is_listed() {
        let source = Sqs::queue("https://sqs.eu-central-1.amazonaws.com/123456789012/orders")
            .region("us-east-1")
            .endpoint("localhost:9324")
            .wait_time(Duration::from_secs(21))
            .visibility_timeout(Duration::from_millis(1_500))
            .hold_max(Duration::from_secs(50_000))
            .receives_max(0)
            .deletes_max(0)
            .connect_timeout(Duration::ZERO)
            .request_timeout(Duration::ZERO)
            .close_timeout(Duration::ZERO)
            .lag_interval(Duration::ZERO);
        let expected = [
            "region",
            "endpoint",
            "connect_timeout",
            "request_timeout",
            "wait_time",
            "visibility_timeout",
            "hold_max",
            "receives_max",
            "deletes_max",
            "close_timeout",
            "polls_timeout",
            "lag_interval",
        ];
        assert_eq!(options(&source), expected);
        assert_eq!(options(&Sqs::queue("orders")), ["queue"]);
    }

    #[test]
    fn a_batch_that_the_queue_cannot_fill_is_refused() {
        let source = Sqs::queue("https://sqs.eu-central-1.amazonaws.com/123456789012/orders");
        let cx = |size| OpenContext::for_test().with_batch_size_max(size);
        assert!(source.problems_in(&cx(120_000)).is_empty());
        let told = source.problems_in(&cx(120_001))[0].to_string();
        assert!(told.contains("120001") && told.contains("batch"), "{told}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let source = Sqs::queue("https://host/1/orders").credentials("me", "hush");
        assert!(!format!("{source:?}").contains("hush"));
    }
}
