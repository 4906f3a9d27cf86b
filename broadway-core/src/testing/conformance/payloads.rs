//! Payloads arrive as they were sent, to the byte.

use bytes::Bytes;

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, must},
};
use crate::{message::Record, publish_error::PublishErrorKind, publisher::Publisher};

/// The smallest and the largest payload arrive as they were sent.
pub async fn smallest_and_largest_payloads_arrive<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::new(connector, "sizes").await;
    let capabilities = fixture.capabilities();
    let large = "0123456789abcdef".repeat(capabilities.payload_max / 16 + 1);
    let largest = Bytes::from(large).slice(..capabilities.payload_max);
    let smallest = Bytes::from("x".repeat(capabilities.payload_min));
    for payload in [smallest, largest] {
        fixture
            .send(vec![fixture.message(payload.clone(), 0)])
            .await;
        let mut reader = fixture.open().await;
        let came = reader.exactly(1).await;
        assert!(
            came[0].item.payload() == payload,
            "changed: {} bytes were sent and {} came",
            payload.len(),
            came[0].item.payload().len()
        );
        reader.done(came).await;
        must("close", reader.close().await);
    }
    Verdict::Kept
}

/// Any bytes arrive as they were sent; if payloads are text, other bytes are refused and not changed.
pub async fn any_bytes_arrive_or_are_refused<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::new(connector, "bytes").await;
    let all: Vec<u8> = (0..=255).collect();
    let publisher = fixture.publisher().await;
    let result = publisher.publish_one(fixture.message(all.clone(), 0)).await;
    must("close the publisher", publisher.close().await);
    if !fixture.capabilities().is_binary {
        let error = result.expect_err("changed: bytes that are not text were accepted");
        assert_eq!(error.kind(), PublishErrorKind::Refused, "{error}");
        return Verdict::Kept;
    }
    must("publish all bytes", result.map_err(Into::into));
    let mut reader = fixture.open().await;
    let came = reader.exactly(1).await;
    assert!(
        came[0].item.payload() == all,
        "changed: not all bytes came as they were"
    );
    reader.done(came).await;
    must("close", reader.close().await);
    Verdict::Kept
}
