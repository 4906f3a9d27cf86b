//! debug
mod common;
use common::Fixture;
use std::time::{Duration, Instant};
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dbg() {
    let Some(fixture) = Fixture::new("dbg").await else { return };
    let t = Instant::now();
    for i in 0..20u64 {
        fixture.publish_numbers(i..i + 1).await;
        eprintln!("{:?} published", t.elapsed());
        let client = google_cloud_pubsub::client::Subscriber::builder().with_endpoint(&fixture.endpoint).with_credentials(google_cloud_auth::credentials::anonymous::Builder::new().build()).build().await.unwrap();
        let mut source = fixture.source().max_lease_extension(Duration::from_secs(10));
        if std::env::var("CLIENT").is_ok() { source = source.client(client.clone()); }
        let mut reader = broadway_core::testing::Reader::open(&source).await.unwrap();
        eprintln!("{:?} open", t.elapsed());
        let received = reader.exactly(1).await;
        eprintln!("{:?} got {:?}", t.elapsed(), common::texts(&received));
        reader.done(received).await;
        tokio::time::sleep(Duration::from_millis(std::env::var("HOLD").unwrap().parse().unwrap())).await;
        reader.stop().await;
        eprintln!("{:?} stopped", t.elapsed());
        reader.close().await.unwrap();
        eprintln!("{:?} closed", t.elapsed());
        tokio::time::sleep(Duration::from_millis(std::env::var("WAIT").unwrap().parse().unwrap())).await;
    }
}
