//! The publisher: confirmed messages are at the broker.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, must},
};
use crate::{
    publish_error::{PublishError, PublishErrorKind},
    publisher::Publisher,
};

/// Every confirmed message can be read, and each message has its own result.
pub async fn confirmed_messages_can_be_read<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::new(connector, "confirmed").await;
    let publisher = fixture.publisher().await;
    let messages =
        |from: u64| (from..from + 150).map(|number| fixture.message(number.to_string(), number));
    // Three calls at once: each caller gets its own results.
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
    let mut reader = fixture.open().await;
    fixture.finish_all(&mut reader, 0..450).await;
    must("close", reader.close().await);
    Verdict::Kept
}

/// A closed publisher refuses messages, and can be closed again.
pub async fn a_closed_publisher_returns_errors<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::new(connector, "closed").await;
    let publisher = fixture.publisher().await;
    must(
        "publish",
        publisher
            .publish_one(fixture.message("1", 1))
            .await
            .map_err(Into::into),
    );
    must("flush", publisher.flush().await);
    must("close the publisher", publisher.close().await);
    must("close the publisher again", publisher.close().await);
    let error = publisher
        .publish_one(fixture.message("2", 2))
        .await
        .expect_err("a closed publisher accepted a message");
    assert_eq!(error.kind(), PublishErrorKind::Closed, "{error}");
    Verdict::Kept
}

/// Messages passed to the publisher before a flush are confirmed when the flush ends: they can be read, even if no
/// caller waited for the results and the publisher is dropped without a close.
pub async fn a_flush_waits_for_messages_in_flight<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::new(connector, "flush").await;
    let publisher = fixture.publisher().await;
    let messages = (0..200).map(|number| fixture.numbered(number)).collect();
    {
        let sent = pin!(publisher.publish(messages));
        let flushed = pin!(publisher.flush());
        // The messages are passed first, because `select` polls its left side first.
        match select(sent, flushed).await {
            Either::Left((results, flushed)) => {
                for result in results {
                    must("publish", result.map_err(Into::into));
                }
                must("flush", flushed.await);
            }
            Either::Right((result, _unheard)) => must("flush", result),
        }
    }
    drop(publisher);
    let mut reader = fixture.open().await;
    fixture.finish_all(&mut reader, 0..200).await;
    must("close", reader.close().await);
    Verdict::Kept
}

/// A message that the broker cannot take fails alone, and its error has the message's index.
pub async fn an_oversized_message_fails_at_its_index<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::new(connector, "too_large").await;
    let Some(bytes) = fixture.capabilities().refused_from else {
        return Verdict::DoesNotApply("no size is known that is always refused");
    };
    let publisher = fixture.publisher().await;
    let large = fixture.message("x".repeat(bytes), 3);
    let messages = vec![fixture.numbered(1), large, fixture.numbered(2)];
    let results = publisher.publish(messages).await;
    let kinds: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().err().map(PublishError::kind))
        .collect();
    assert_eq!(
        kinds,
        [None, Some(PublishErrorKind::Refused), None],
        "of three messages the second, of {bytes} bytes, should be refused, and no other"
    );
    must("close the publisher", publisher.close().await);
    let mut reader = fixture.open().await;
    let came = fixture.read_all(&mut reader, 1..3).await;
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// Of many messages in one call, the one that the broker cannot take is refused, alone; the others are confirmed, and
/// arrive once.
pub async fn a_refused_message_does_not_affect_its_neighbours<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::new(connector, "neighbours").await;
    let Some(bytes) = fixture.capabilities().refused_from else {
        return Verdict::DoesNotApply("no size is known that is always refused");
    };
    let publisher = fixture.publisher().await;
    let mut messages: Vec<_> = (0..40).map(|number| fixture.numbered(number)).collect();
    messages.insert(20, fixture.message("x".repeat(bytes), 40));
    let results = publisher.publish(messages).await;
    let failed: Vec<_> = (0..results.len())
        .filter(|at| results[*at].is_err())
        .collect();
    assert_eq!(failed, [20], "one of 41 is refused, and no other");
    must("close the publisher", publisher.close().await);
    let mut reader = fixture.open().await;
    let counts = fixture.finish_all(&mut reader, 0..40).await;
    must("close", reader.close().await);
    assert!(
        counts.values().all(|count| *count == 1),
        "repeated: neighbours of a refused message were sent more than once: {counts:?}"
    );
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// Publishing no messages returns no results, and does not hang.
pub async fn publishing_nothing_returns_no_results<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::new(connector, "nothing").await;
    let publisher = fixture.publisher().await;
    assert!(publisher.publish(Vec::new()).await.is_empty());
    must("flush", publisher.flush().await);
    must("close the publisher", publisher.close().await);
    Verdict::Kept
}
