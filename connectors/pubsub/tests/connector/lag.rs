//! The lag of a subscription, as the source reports it.

use std::time::Duration;

use crate::common::{Fixture, lags::Measured};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_age_is_of_the_oldest_unsettled_message_and_the_number_is_unknown() {
    let Some(fixture) = Fixture::new("lag").await else {
        return;
    };
    fixture.publish_numbers(0..3).await;
    let source = fixture.source().lag_interval(Duration::from_millis(20));
    let mut measured = Measured::open(&source).await;
    let received = measured.exactly(3).await;
    let (messages, oldest) = measured
        .wait(&fixture.subscription, |lag| lag.1.is_some())
        .await;
    assert_eq!(messages, None);
    let published = received.iter().map(|one| one.item.publish_time().unwrap());
    let most = published.min().unwrap().elapsed().unwrap();
    assert!(oldest.unwrap() <= most, "{oldest:?} {most:?}");
    measured.done(received).await;
    measured
        .wait(&fixture.subscription, |lag| *lag == (None, None))
        .await;
    measured.close().await;
}
