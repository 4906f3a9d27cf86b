//! Headers and keys arrive unchanged.

use bytes::Bytes;

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, must},
};
use crate::{
    message::Record,
    publish_error::PublishErrorKind,
    publisher::{Outgoing, Publisher},
};

/// The headers that continue a trace arrive, and so does the key if there are keys.
pub async fn trace_context_and_key_survive<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::new(connector, "trace").await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let message = fixture.message("traced", 4).header("traceparent", trace);
    fixture.send(vec![message]).await;
    let mut reader = fixture.open().await;
    let came = reader.exactly(1).await;
    let record = &came[0].item;
    assert_eq!(record.header("traceparent"), Some(trace.as_bytes()));
    if fixture.capabilities().orders_keys {
        assert_eq!(record.key(), Some(b"key-4".as_slice()));
    }
    let again = Outgoing::from_record(record);
    let headers = again.headers().iter();
    let carried = headers
        .filter(|header| header.name == "traceparent")
        .count();
    assert_eq!(carried, 1, "a bridge would lose the trace");
    reader.done(came).await;
    must("close", reader.close().await);
    Verdict::Kept
}

/// Unusual headers arrive as they were sent, or their message is refused; they are never changed or dropped.
pub async fn unusual_headers_arrive_or_are_refused<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::new(connector, "headers").await;
    let many = (0..fixture.capabilities().headers_max)
        .map(|n| (format!("name-{n}"), format!("value-{n}").into()));
    let cases: Vec<Vec<(String, Bytes)>> = vec![
        vec![("empty".to_owned(), Bytes::new())],
        vec![("unicode".to_owned(), "grüße 🦀".into())],
        vec![("long".to_owned(), "x".repeat(1_000).into())],
        vec![("binary".to_owned(), Bytes::from_static(&[0xff, 0, 0xfe]))],
        vec![("name.with-marks_1".to_owned(), "v".into())],
        many.collect(),
    ];
    let mut reader = fixture.open().await;
    let publisher = fixture.publisher().await;
    for (case, headers) in (0..).zip(cases) {
        let message = headers.iter().fold(
            fixture.message(format!("odd-{case}"), case),
            |message, (name, value)| message.header(name, value.clone()),
        );
        if let Err(error) = publisher.publish_one(message).await {
            assert_eq!(error.kind(), PublishErrorKind::Refused, "{error}");
            assert!(
                headers.len() == 1,
                "{} headers, as many as the capabilities declare, were refused: {error}",
                headers.len()
            );
            continue;
        }
        let came = reader.exactly(1).await;
        for (name, value) in &headers {
            assert_eq!(
                came[0].item.header(name),
                Some(&value[..]),
                "header {name:?} was changed on its way"
            );
        }
        reader.done(came).await;
    }
    must("close the publisher", publisher.close().await);
    must("close", reader.close().await);
    Verdict::Kept
}
