//! The lag of a queue, as the source reports it.

use std::time::Duration;

use broadway_core::testing::Reader;
use broadway_sqs::Sqs;

use crate::common::{
    Queue, broker, client,
    fake::{Fake, Fault},
    lags::Measured,
};

const OFTEN: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_counts_visible_and_in_flight_messages_and_the_age_is_of_the_oldest_in_the_pipeline()
 {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "lag", 30).await;
    queue.send(0..25).await;
    let mut measured = Measured::open(&queue.source().lag_interval(OFTEN)).await;
    let name = queue.url.rsplit('/').next().unwrap();
    let (_, oldest) = measured.wait(name, |lag| lag.0 == Some(25)).await;
    assert_eq!(oldest, None, "nothing is here yet");
    let received = measured.exactly(15).await;
    let (_, oldest) = measured
        .wait(name, |lag| lag.0 == Some(25) && lag.1.is_some())
        .await;
    let sent = received.iter().map(|one| one.item.sent_time().unwrap());
    let most = sent.min().unwrap().elapsed().unwrap();
    assert!(oldest.unwrap() <= most, "{oldest:?} {most:?}");
    measured.done(received).await;
    measured.wait(name, |lag| *lag == (Some(10), None)).await;
    assert_eq!(measured.close().await, Some((None, None)));
}

fn source(fake: &Fake) -> Sqs {
    Sqs::queue(fake.url())
        .client(client(&format!("http://{}", fake.address)))
        .wait_time(Duration::from_secs(1))
        .request_timeout(Duration::from_secs(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_reported_once_and_the_lag_is_unknown() {
    let fake = Fake::start().await;
    let source = source(&fake).lag_interval(OFTEN);
    let mut reader = Reader::open(&source).await.unwrap();
    for _ in 0..3 {
        let denied = Fault::Explain(
            400,
            "AccessDeniedException",
            "no GetQueueAttributes for you",
        );
        fake.fault("GetQueueAttributes", denied);
    }
    let recorder = reader.recorder().clone();
    let known =
        recorder.wait_for(|event| event.name() == "lag" && event.get("messages") == Some("0"));
    let asked = async {
        while fake.of("GetQueueAttributes").len() < 6 {
            fake.requests.wait_len(fake.requests.len() + 1).await;
        }
    };
    reader.nothing_until(asked).await;
    known.await;
    let lags = recorder.of("lag");
    let unknown = lags
        .iter()
        .filter(|lag| lag.get("messages") == Some("unknown"));
    assert_eq!(unknown.count(), 3);
    let events = recorder.of("source_error");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0]
            .to_string()
            .contains("no GetQueueAttributes for you")
    );
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_made_when_the_lag_is_turned_off() {
    let fake = Fake::start().await;
    let source = source(&fake).lag_interval(Duration::MAX);
    let mut reader = Reader::open(&source).await.unwrap();
    // Longer than the 5 s after which the first report is made by default.
    let polled = async {
        while fake.of("ReceiveMessage").len() < 8 {
            fake.requests.wait_len(fake.requests.len() + 1).await;
        }
    };
    reader.nothing_until(polled).await;
    let recorder = reader.close().await.unwrap();
    assert_eq!(fake.of("GetQueueAttributes").len(), 1, "that of opening");
    assert_eq!(recorder.count("lag"), 0);
}
