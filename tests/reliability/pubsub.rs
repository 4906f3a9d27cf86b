//! Google Cloud Pub/Sub. `pstest` delivers 70 to 95 messages a second on a stream, so there are several.

use std::io;

use broadway::testing::Proxy;

use crate::{
    broker::Broker,
    phases,
    subjects::{TestPubSub, broker::address},
};

impl Broker for TestPubSub {
    const NAME: &'static str = "pubsub";
    const IDS: u64 = 1_000;
    const IS_KEYED: bool = false;
    /// The service itself may deliver twice.
    const REPEATS_MAX: Option<u64> = None;
    const PRODUCERS: usize = 4;

    fn find() -> Option<Self> {
        Self::new()
    }

    fn proxy(&self) -> impl Future<Output = io::Result<Proxy>> + Send {
        Proxy::start(address("pubsub", 19085).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_id_is_accounted_for() {
    phases::all::<TestPubSub>().await;
}
