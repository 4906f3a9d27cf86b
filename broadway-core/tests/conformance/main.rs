//! The conformance suite, put to the test: it lets an honest connector pass, and catches every defect of the list.
//!
//! - `broker`: a queue in memory, with leases and keys.
//! - `link`: a network between them, where a proxy is to stand.
//! - `connector`, `publisher`: a source and a publisher for it, and the [`Defect`] that may be built into them.
//! - `bites`: a test for each defect, which names the promise that catches it and the words it says.

mod bites;
mod broker;
mod connector;
mod link;
mod publisher;

use std::{net::SocketAddr, time::Duration};

use broadway_core::{
    BoxError, Outgoing,
    testing::conformance::{Capabilities, ConnectorUnderTest},
};
use broker::Broker;
use connector::{Defect, FETCHED_AHEAD, MemorySource, UNREADABLE};
use publisher::{IN_FLIGHT_MAX, MemoryPublisher, PAYLOAD_MAX};

const LEASE: Duration = Duration::from_secs(1);

/// The connector with its broker, and perhaps a defect.
struct Memory {
    broker: Broker,
    defect: Option<Defect>,
}

impl Memory {
    fn new(defect: Option<Defect>) -> Self {
        Self {
            broker: Broker::new(LEASE),
            defect,
        }
    }
}

impl ConnectorUnderTest for Memory {
    type Source = MemorySource;
    type Publisher = MemoryPublisher;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Some(link::echo()))
            .orders_keys(true)
            .delays(true)
            .counts_deliveries(true)
            .lease(Some(LEASE))
            .fetch_max(FETCHED_AHEAD)
            .in_flight_max(IN_FLIGHT_MAX as u64)
            .payload_max(PAYLOAD_MAX)
            .payload_refused_from(PAYLOAD_MAX + 1)
    }

    async fn create(&self, promise: &str) -> Result<String, BoxError> {
        Ok(promise.to_owned())
    }

    fn source(&self, _place: &str, via: Option<SocketAddr>) -> MemorySource {
        MemorySource::new(self.broker.clone(), via, self.defect)
    }

    async fn publisher(
        &self,
        _place: &str,
        via: Option<SocketAddr>,
    ) -> Result<MemoryPublisher, BoxError> {
        MemoryPublisher::open(self.broker.clone(), via, self.defect).await
    }

    async fn send_unreadable(&self, _place: &str) -> Result<bool, BoxError> {
        self.broker.publish(Outgoing::new("?").to(UNREADABLE));
        Ok(true)
    }

    async fn unacknowledged(&self, _place: &str) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.broker.unacknowledged()))
    }
}

broadway_core::testing::conformance! {
    mod honest { connector: Some(Memory::new(None)) }
}
