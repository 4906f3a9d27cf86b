//! The lag that the source reports.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway_rabbitmq::{Declare, StreamOffset};
use lapin::BasicProperties;

use crate::common::{Queue, broker, lags::Measured, proxy};

const OFTEN: Duration = Duration::from_millis(20);
const HOUR: Duration = Duration::from_secs(3_600);

fn an_hour_ago() -> BasicProperties {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    BasicProperties::default().with_timestamp((since - HOUR).as_secs())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_counts_what_is_ready_in_the_client_and_in_work_and_the_age_is_that_of_the_oldest()
{
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "lag").await;
    queue.send_with(0..1, an_hour_ago()).await;
    queue.send(1..50).await;
    // 5 of 20 that the broker sends are asked for.
    let source = queue.source().prefetch(20).lag_interval(OFTEN);
    let mut measured = Measured::open(&source).await;
    let received = measured.exactly(5).await;
    let (_, oldest) = measured.wait(&queue.name, |lag| lag.0 == Some(50)).await;
    assert!(oldest.is_some_and(|age| age >= HOUR), "{oldest:?}");
    measured.done(received).await;
    let (_, oldest) = measured.wait(&queue.name, |lag| lag.0 == Some(45)).await;
    assert_eq!(oldest, None, "no sender says when");
    for _ in 0..9 {
        let received = measured.exactly(5).await;
        measured.done(received).await;
    }
    measured
        .wait(&queue.name, |lag| *lag == (Some(0), None))
        .await;
    assert_eq!(measured.close().await, Some((None, None)));
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_unknown_without_a_connection_and_known_again_with_the_next() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "lag-lost").await;
    queue.send(0..10).await;
    let (proxy, uri) = proxy(&address).await;
    let source = queue.source().uri(uri).lag_interval(OFTEN);
    let mut measured = Measured::open(&source).await;
    let first = measured.exactly(1).await;
    measured.wait(&queue.name, |lag| lag.0 == Some(10)).await;
    proxy.refuse(true);
    proxy.cut();
    measured.wait(&queue.name, |lag| lag.0.is_none()).await;
    proxy.refuse(false);
    let again = measured.exactly(1).await;
    measured.wait(&queue.name, |lag| lag.0 == Some(10)).await;
    measured.done(first).await;
    measured.done(again).await;
    measured.wait(&queue.name, |lag| lag.0 == Some(9)).await;
    measured.close().await;
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_a_stream_is_unknown() {
    let Some(address) = broker() else { return };
    let queue = Queue::open(&address, "lag-stream").await;
    let source = queue
        .source()
        .declare(Declare::stream())
        .stream_offset(StreamOffset::First)
        .lag_interval(OFTEN);
    let mut measured = Measured::open(&source).await;
    queue.send_with(0..3, an_hour_ago()).await;
    let received = measured.exactly(3).await;
    let (messages, _) = measured
        .wait(&queue.name, |lag| lag.1.is_some_and(|age| age >= HOUR))
        .await;
    assert_eq!(messages, None);
    measured.done(received).await;
    measured.close().await;
    queue.delete().await;
}
