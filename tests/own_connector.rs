//! The connector of the guide keeps the promises of every connector.

#![allow(dead_code, reason = "the example uses what this test does not")]

#[path = "../examples/own_connector/spool/mod.rs"]
pub mod spool;

use std::{
    fs,
    net::SocketAddr,
    num::NonZeroUsize,
    panic::catch_unwind,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use broadway::{
    BoxError, Record,
    source::{
        Acknowledger, Delivery, OpenContext, Outcome, Produced, Settled, Source, SourceProducer,
    },
    testing::{
        Reader,
        conformance::{Capabilities, ConnectorUnderTest, Redelivery, keep, resumes_after_a_kill},
    },
};
use spool::{Folders, Spool, SpoolPublisher, SpoolRecord};

const LEASE: Duration = Duration::from_secs(2);

/// Spools below a folder of this run, which is deleted with the last of them.
struct TestSpool {
    root: PathBuf,
}

impl TestSpool {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let n = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("broadway-spool-test-{}-{n}", std::process::id());
        Self {
            root: std::env::temp_dir().join(name),
        }
    }
}

impl Drop for TestSpool {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.root));
    }
}

impl ConnectorUnderTest for TestSpool {
    type Source = Spool;
    type Publisher = SpoolPublisher;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(None)
            .lease(Some(LEASE))
            .outlives_its_process(true)
            .redelivers(Redelivery::ToAnyone)
    }

    async fn create(&self, promise: &str) -> Result<String, BoxError> {
        let folder = self.root.join(promise);
        fs::create_dir_all(&folder)?;
        // The full path, by which another process finds it too.
        Ok(folder.into_os_string().into_string().expect("in UTF-8"))
    }

    fn source(&self, place: &str, _via: Option<SocketAddr>) -> Spool {
        Spool::folder(place)
            .lease(LEASE)
            .pause(Duration::from_millis(200))
            .poll(Duration::from_millis(10))
    }

    async fn publisher(
        &self,
        place: &str,
        _via: Option<SocketAddr>,
    ) -> Result<SpoolPublisher, BoxError> {
        SpoolPublisher::folder(place).open().await
    }

    async fn send_unreadable(&self, place: &str) -> Result<bool, BoxError> {
        let folders = Folders::new(place);
        folders.create()?;
        fs::write(folders.path("new", "0000~garbage"), [0xff, 0])?;
        Ok(true)
    }

    async fn unacknowledged(&self, place: &str) -> Result<Option<u64>, BoxError> {
        let folders = Folders::new(place);
        let n = folders.waiting()?.len() + folders.taken()?.len();
        Ok(Some(n.try_into()?))
    }
}

broadway::testing::conformance! {
    mod spool_folder { connector: Some(TestSpool::new()) }
}

#[tokio::test]
async fn a_message_of_a_process_that_died_comes_again() -> Result<(), BoxError> {
    let connector = TestSpool::new();
    let place = connector.create("died").await?;
    let folders = Folders::new(&place);
    folders.create()?;
    fs::write(folders.path("taken", "1000~left"), "spool 1\n\nhello")?;
    let mut reader = Reader::open(&connector.source(&place, None)).await?;
    let received = reader.exactly(1).await;
    assert_eq!(received[0].item.payload(), b"hello");
    reader.done(received).await;
    reader.close().await?;
    assert_eq!(connector.unacknowledged(&place).await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_late_result_changes_nothing() -> Result<(), BoxError> {
    let connector = TestSpool::new();
    let place = connector.create("late").await?;
    let folders = Folders::new(&place);
    folders.create()?;
    fs::write(folders.path("new", "one"), "spool 1\n\nhello")?;
    let mut reader = Reader::open(&connector.source(&place, None)).await?;
    let received = reader.exactly(1).await;
    // Acts as a consumer whose lease is over.
    folders.give_back_expired(u64::MAX)?;
    reader.done(received).await;
    assert_eq!(folders.waiting()?, ["one"]);
    reader.close().await?;
    Ok(())
}

type SpoolProducer = <Spool as Source>::Producer;
type SpoolAcknowledger = <SpoolProducer as SourceProducer>::Acknowledger;
type Token = <SpoolAcknowledger as Acknowledger>::Token;

/// The same connector, with early acknowledgements: every delivered message is acknowledged at once.
struct Hasty<T>(T);

impl ConnectorUnderTest for Hasty<TestSpool> {
    type Source = Hasty<Spool>;
    type Publisher = SpoolPublisher;

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn create(&self, promise: &str) -> Result<String, BoxError> {
        self.0.create(promise).await
    }

    fn source(&self, place: &str, via: Option<SocketAddr>) -> Hasty<Spool> {
        Hasty(self.0.source(place, via))
    }

    async fn publisher(
        &self,
        place: &str,
        via: Option<SocketAddr>,
    ) -> Result<SpoolPublisher, BoxError> {
        self.0.publisher(place, via).await
    }

    async fn unacknowledged(&self, place: &str) -> Result<Option<u64>, BoxError> {
        self.0.unacknowledged(place).await
    }
}

impl Source for Hasty<Spool> {
    type Producer = Hasty<SpoolProducer>;

    async fn open(&self, cx: &OpenContext) -> Result<Hasty<SpoolProducer>, BoxError> {
        Ok(Hasty(self.0.open(cx).await?))
    }
}

impl SourceProducer for Hasty<SpoolProducer> {
    type Item = SpoolRecord;
    type Acknowledger = SpoolAcknowledger;

    fn acknowledger(&self) -> Arc<SpoolAcknowledger> {
        self.0.acknowledger()
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<SpoolRecord, Token>>,
    ) -> Result<Produced, BoxError> {
        let produced = self.0.produce(demand, out).await?;
        let done = out.iter().map(|delivery| delivery.token);
        let done = done.map(|token| Settled::for_test(token, Outcome::Done));
        self.acknowledger().settle(&mut done.collect()).await?;
        Ok(produced)
    }

    async fn close(self) -> Result<(), BoxError> {
        self.0.close().await
    }
}

#[test]
fn a_kill_catches_who_acknowledges_what_is_not_done() {
    let attempt = || {
        keep(
            concat!(
                module_path!(),
                "::a_kill_catches_who_acknowledges_what_is_not_done"
            ),
            Some(Hasty(TestSpool::new())),
            async |connector| resumes_after_a_kill(connector).await,
        );
    };
    let broken = catch_unwind(attempt).expect_err("it was not caught");
    let said = broken.downcast::<String>().expect("a text");
    assert!(said.starts_with("lost"), "not lost, but {said}");
}
