//! SQS: a standard queue.

use std::io;

use broadway::testing::Proxy;

use crate::{
    broker::Broker,
    connectors::{TestSqs, broker::address},
    phases,
};

impl Broker for TestSqs {
    const NAME: &'static str = "sqs";
    const IDS: u64 = 1_500;
    const IS_KEYED: bool = false;
    /// The service itself may deliver twice.
    const REPEATS_MAX: Option<u64> = None;

    fn find() -> Option<Self> {
        Self::new(false)
    }

    fn proxy(&self) -> impl Future<Output = io::Result<Proxy>> + Send {
        Proxy::start(address("sqs").unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_id_is_accounted_for() {
    phases::all::<TestSqs>().await;
}
