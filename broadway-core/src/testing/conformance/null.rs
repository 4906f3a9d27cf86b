//! Null and empty are distinct.

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, must},
};
use crate::{
    header::{Header, HeaderValue},
    publisher::Outgoing,
};

/// A missing payload, key or header does not arrive as an empty one, nor an empty one as missing.
pub async fn null_and_empty_payloads_stay_distinct<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::new(connector, "null").await;
    let mut reader = fixture.open().await;
    let cases = [
        Outgoing::tombstone().key("k"),
        Outgoing::new("").key("k"),
        Outgoing::new("no key"),
        Outgoing::new("an empty key").key(""),
        Outgoing::new("headers")
            .header("null", None::<&str>)
            .header("empty", "")
            .header("full", "f"),
    ];
    for sent in cases {
        fixture.send(vec![sent.clone()]).await;
        let came = reader.exactly(1).await;
        let copy = Outgoing::from_record(&came[0].item);
        assert!(
            copy.payload() == sent.payload(),
            "changed: {sent:?} came with another payload: {copy:?}"
        );
        assert!(
            copy.message_key() == sent.message_key(),
            "changed: {sent:?} came with another key: {copy:?}"
        );
        for Header { name, value } in sent.headers() {
            let mut came = copy.headers().iter().filter(|header| header.name == *name);
            let came: Option<&HeaderValue> = came.next().map(|header| &header.value);
            assert!(
                came == Some(value),
                "changed: the header {name} was sent as {value:?} and came as {came:?}"
            );
        }
        reader.done(came).await;
    }
    must("close", reader.close().await);
    Verdict::Kept
}
