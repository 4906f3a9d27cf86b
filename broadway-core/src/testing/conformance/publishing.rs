//! The sending side: what is confirmed is there.

use super::{
    Subject, Verdict,
    place::{Place, must},
};
use crate::publisher::{PublishErrorKind, Publisher};

/// Every message that was confirmed can be read, and each has its own result.
pub async fn what_is_confirmed_can_be_read<S: Subject>(subject: &S) -> Verdict {
    let place = Place::new(subject, "confirmed").await;
    let publisher = place.publisher().await;
    let messages =
        |from: u64| (from..from + 150).map(|number| place.message(number.to_string(), number));
    // Three calls at once: results go to those who sent.
    let (a, b, c) = futures_util::join!(
        publisher.publish(messages(0).collect()),
        publisher.publish(messages(150).collect()),
        publisher.publish(messages(300).collect()),
    );
    for results in [a, b, c] {
        assert_eq!(results.len(), 150, "one result for each message");
        for result in results {
            must("publish", result.map_err(Into::into));
        }
    }
    must("close the publisher", publisher.close().await);
    let mut reader = place.open().await;
    let came = place.read_all(&mut reader, 0..450).await;
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    Verdict::Kept
}

/// A closed publisher refuses, and can be closed again.
pub async fn a_closed_publisher_says_so<S: Subject>(subject: &S) -> Verdict {
    let place = Place::new(subject, "closed").await;
    let publisher = place.publisher().await;
    must(
        "publish",
        publisher
            .publish_one(place.message("1", 1))
            .await
            .map_err(Into::into),
    );
    must("flush", publisher.flush().await);
    must("close the publisher", publisher.close().await);
    must("close the publisher again", publisher.close().await);
    let error = publisher
        .publish_one(place.message("2", 2))
        .await
        .expect_err("a closed publisher accepted a message");
    assert_eq!(error.kind(), PublishErrorKind::Closed, "{error}");
    Verdict::Kept
}

/// Publishing nothing is nothing, and does not hang.
pub async fn no_messages_have_no_results<S: Subject>(subject: &S) -> Verdict {
    let place = Place::new(subject, "nothing").await;
    let publisher = place.publisher().await;
    assert!(publisher.publish(Vec::new()).await.is_empty());
    must("flush", publisher.flush().await);
    must("close the publisher", publisher.close().await);
    Verdict::Kept
}
