//! SQS, as a standard queue and as a FIFO queue.

use std::{net::SocketAddr, time::Duration};

use broadway::{
    BoxError,
    sqs::{OnFailure, Sqs, SqsPublisher},
    testing::conformance::{Capabilities, ConnectorUnderTest, Redelivery},
};

use super::broker::{IN_FLIGHT_MAX, address, get, unique};

const VISIBILITY: Duration = Duration::from_secs(4);

#[derive(Clone)]
pub(crate) struct TestSqs {
    broker: SocketAddr,
    is_fifo: bool,
}

impl TestSqs {
    pub(crate) fn new(is_fifo: bool) -> Option<Self> {
        let broker = address("sqs")?;
        Some(Self { broker, is_fifo })
    }

    fn url(&self, place: &str) -> String {
        format!("http://{}/000000000000/{place}", self.broker)
    }

    fn endpoint(&self, via: Option<SocketAddr>) -> String {
        format!("http://{}", via.unwrap_or(self.broker))
    }
}

impl ConnectorUnderTest for TestSqs {
    type Source = Sqs;
    type Publisher = SqsPublisher;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Some(self.broker))
            .orders_keys(self.is_fifo)
            .payload_max(250_000)
            .headers_max(50)
            .lease(Some(VISIBILITY))
            .payload_refused_from((1 << 20) + 1)
            .outlives_its_process(true)
            .in_flight_max(IN_FLIGHT_MAX as u64)
            .redelivers(Redelivery::ToAnyone)
            .delays(true)
            .counts_deliveries(true)
    }

    async fn create(&self, promise: &str) -> Result<String, BoxError> {
        let suffix = if self.is_fifo { ".fifo" } else { "" };
        // Names of queues have 80 characters at most.
        let mut name = unique(promise);
        name.truncate(75);
        Ok(name + suffix)
    }

    fn source(&self, place: &str, via: Option<SocketAddr>) -> Sqs {
        Sqs::queue(self.url(place))
            .region("elasticmq")
            .endpoint(self.endpoint(via))
            .credentials("test", "test")
            .create_if_missing()
            .visibility_timeout(VISIBILITY)
            .wait_time(Duration::from_secs(1))
            .polls_timeout(Duration::from_millis(1_500))
            .on_failure(OnFailure::VisibleAfter(Duration::from_secs(1)))
    }

    async fn publisher(
        &self,
        place: &str,
        via: Option<SocketAddr>,
    ) -> Result<SqsPublisher, BoxError> {
        let publisher = SqsPublisher::queue(self.url(place))
            .region("elasticmq")
            .endpoint(self.endpoint(via))
            .credentials("test", "test")
            .create_if_missing()
            .in_flight_max(IN_FLIGHT_MAX);
        publisher.open().await
    }

    /// Waiting, in-flight and delayed messages.
    async fn unacknowledged(&self, place: &str) -> Result<Option<u64>, BoxError> {
        let path = format!("/000000000000/{place}?Action=GetQueueAttributes&AttributeName.1=All");
        let answer = get(self.broker, path).await?;
        let mut total = 0;
        for count in ["", "NotVisible", "Delayed"] {
            let name = format!("<Name>ApproximateNumberOfMessages{count}</Name>");
            let (_, value) = answer.split_once(&name).ok_or("no such attribute")?;
            let (_, value) = value.split_once("<Value>").ok_or("no value")?;
            let (value, _) = value.split_once('<').ok_or("no end of the value")?;
            total += value.parse::<u64>()?;
        }
        Ok(Some(total))
    }
}
