//! The embedded queue, in folders of its own.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use broadway::{
    BoxError,
    queue::{OnFailure, Queue, QueueFolder, QueuePublisher, TopicOptions, admin::QueueAdmin},
    testing::conformance::{Capabilities, ConnectorUnderTest, Redelivery},
};

use crate::connectors::broker::{IN_FLIGHT_MAX, unique};

const TOPIC: &str = "messages";
const BYTES_MAX: usize = 1 << 20;

#[derive(Clone)]
pub(crate) struct TestQueue;

impl TestQueue {
    #[allow(
        clippy::unnecessary_wraps,
        reason = "as the connectors that need a broker"
    )]
    pub(crate) fn new() -> Option<Self> {
        Some(Self)
    }
}

/// Folders stay until the build folder is cleaned, as other processes use them.
fn folder(place: &str) -> QueueFolder {
    let path: PathBuf = [env!("CARGO_TARGET_TMPDIR"), place].iter().collect();
    QueueFolder::new(path)
}

impl ConnectorUnderTest for TestQueue {
    type Source = Queue;
    type Publisher = QueuePublisher;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(None)
            .orders_keys(true)
            .payload_max(BYTES_MAX - 1_024)
            .headers_max(50)
            .payload_refused_from(BYTES_MAX + 1)
            .outlives_its_process(true)
            .in_flight_max(IN_FLIGHT_MAX as u64)
            .redelivers(Redelivery::ToAnyone)
            .delays(true)
            .counts_deliveries(true)
    }

    async fn create(&self, promise: &str) -> Result<String, BoxError> {
        Ok(unique(promise))
    }

    fn source(&self, place: &str, _: Option<SocketAddr>) -> Queue {
        Queue::topic(folder(place), TOPIC)
            .create_with(TopicOptions::new().partitions(4))
            .on_failure(OnFailure::RedeliverAfter(Duration::from_secs(1)))
    }

    async fn publisher(
        &self,
        place: &str,
        _: Option<SocketAddr>,
    ) -> Result<QueuePublisher, BoxError> {
        QueuePublisher::topic(folder(place), TOPIC)
            .create_with(TopicOptions::new().partitions(4))
            .in_flight_max(IN_FLIGHT_MAX)
            .bytes_max(BYTES_MAX)
            .open()
            .await
    }

    /// Known while this process has the folder open. Opening it here could keep it from another process.
    async fn unacknowledged(&self, place: &str) -> Result<Option<u64>, BoxError> {
        let Some(admin) = QueueAdmin::of_this_process(folder(place).path()) else {
            return Ok(None);
        };
        let topics = admin.topics();
        let topic = topics.iter().find(|topic| topic.name == TOPIC);
        let group = topic.and_then(|topic| topic.groups.first());
        Ok(group.map(|group| group.unsettled))
    }
}
