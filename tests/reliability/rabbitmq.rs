//! RabbitMQ, with a quorum queue, which counts deliveries and survives restarts.

use std::{io, time::Duration};

use broadway::testing::Proxy;

use crate::{
    broker::Broker,
    connectors::{TestRabbitMq, broker::address},
    phases,
};

impl Broker for TestRabbitMq {
    const NAME: &'static str = "rabbitmq";
    const IDS: u64 = 4_000;
    /// A message that returns to a queue may come after others of its key.
    const IS_KEYED: bool = false;
    /// The prefetch of a worker.
    const REPEATS_MAX: Option<u64> = Some(100);

    /// It identifies a delivery, not a message.
    const HAS_ORIGINS: bool = false;

    fn find() -> Option<Self> {
        let connector = Self::new(true)?;
        Some(connector.with_heartbeat(Duration::from_secs(20)))
    }

    fn proxy(&self) -> impl Future<Output = io::Result<Proxy>> + Send {
        Proxy::start(address("rabbitmq").unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_id_is_accounted_for() {
    phases::all::<TestRabbitMq>().await;
}
