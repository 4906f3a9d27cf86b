//! Google Cloud Pub/Sub. `pstest` delivers 70 to 95 messages per second on a stream, so there are several streams.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
};

use broadway::testing::Proxy;

use crate::{
    broker::Broker,
    connectors::{TestPubSub, broker::address},
    phases,
};

impl Broker for TestPubSub {
    const NAME: &'static str = "pubsub";
    const IDS: u64 = 600;
    const IS_KEYED: bool = false;
    /// The service itself may deliver twice.
    const REPEATS_MAX: Option<u64> = None;
    const PRODUCERS: usize = 4;

    fn find() -> Option<Self> {
        Self::new()
    }

    /// Only `pstest` reports when it has processed an acknowledgement.
    fn misbehaves(&self) -> Option<&'static str> {
        let server = address("pubsub").unwrap();
        let mut connection = TcpStream::connect(server).unwrap();
        write!(connection, "GET / HTTP/1.1\r\nHost: {server}\r\n\r\n").unwrap();
        let lines = BufReader::new(connection).lines().map(Result::unwrap);
        let mut head = lines.take_while(|line| !line.is_empty());
        let is_pstest = head.any(|line| line.to_ascii_lowercase().starts_with("date:"));
        (!is_pstest).then_some("Google's emulator goes on sending to streams that are gone")
    }

    fn proxy(&self) -> impl Future<Output = io::Result<Proxy>> + Send {
        Proxy::start(address("pubsub").unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_id_is_accounted_for() {
    phases::all::<TestPubSub>().await;
}
