//! Kafka, with its three membership protocols.

use std::{io, net::SocketAddr, time::Duration};

use broadway::{
    OnDrain,
    kafka::{GroupProtocol, Kafka, StartOffset},
    testing::{Proxy, conformance::ConnectorUnderTest},
};

use crate::{
    broker::Broker,
    connectors::{TestKafka, broker::address},
    phases,
};

const PARTITIONS: u64 = 4;
const UNCOMMITTED_MAX: usize = 1_000;

impl Broker for TestKafka {
    const NAME: &'static str = "kafka";
    const IDS: u64 = 4_000;
    const IS_KEYED: bool = true;
    /// How many messages one worker may have done and not committed.
    const REPEATS_MAX: Option<u64> = Some(PARTITIONS * UNCOMMITTED_MAX as u64);
    /// With slow keys, a released message is followed by messages that were done, which are then repeated.
    const ON_DRAIN: OnDrain = OnDrain::Finish;
    const VARIANTS: usize = 3;
    /// The proxy has a port that the broker must know.
    const PROXIES: usize = 1;

    fn find() -> Option<Self> {
        Self::new()
    }

    fn member(&self, place: &str, via: Option<SocketAddr>, variant: usize) -> Kafka {
        let source = match variant {
            0 => self.source(place, via),
            1 => self.source(place, via).protocol(GroupProtocol::Range),
            // The broker sets the timeouts of the new protocol.
            _ => Kafka::topics([place])
                .brokers(address("kafka").unwrap().to_string())
                .group(place)
                .start_offset(StartOffset::Earliest)
                .protocol(GroupProtocol::Consumer),
        };
        source
            .uncommitted_max(UNCOMMITTED_MAX)
            .commit_interval(Duration::from_millis(200))
    }

    fn proxy(&self) -> impl Future<Output = io::Result<Proxy>> + Send {
        // The listener whose clients are sent to the proxy, and the proxy: see `scripts/brokers.env`.
        let [listener, proxy] =
            ["kafka_proxied", "kafka_proxy"].map(broadway_test_brokers::loopback);
        Proxy::start_at(proxy, listener)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_id_is_accounted_for() {
    phases::all::<TestKafka>().await;
}
