//! Replays: the message of a dead letter comes back as it was, and its dead letter is gone.

use std::{collections::HashMap, time::Duration};

use super::{
    ConnectorUnderTest, Verdict,
    dead_letters::hostile,
    fixture::{Fixture, PATIENCE, must},
};
use crate::{
    dead_letter::{DeadLetter, headers},
    error::{BoxError, Callback, Reason},
    header::HeaderValue,
    message::Record,
    publisher::Publisher,
    replay::DeadLetterQueue,
};

/// Every message that failed comes back from its dead letter with its payload, key and headers unchanged, and the replay leaves no dead
/// letter.
pub async fn replayed_messages_are_as_they_were<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let dead = Fixture::new(connector, "dead").await;
    let back = Fixture::new(connector, "back").await;
    let reason = Reason::error(Callback::HandleMessage, "cannot be read");
    let records: Vec<_> = hostile()
        .into_iter()
        .filter(|record| !is_reserved(record))
        .collect();
    let mut by_id = HashMap::new();
    let publisher = dead.publisher().await;
    for record in &records {
        let letter = DeadLetter::new(&reason).of(record);
        let id = letter
            .headers()
            .iter()
            .find(|header| header.name == headers::ID);
        let id = id
            .and_then(|header| header.value.as_bytes())
            .map(<[u8]>::to_vec);
        by_id.insert(id.unwrap_or_default(), record);
        must(
            "publish a dead letter",
            publisher.publish_one(letter).await.map_err(BoxError::from),
        );
    }
    must("close the publisher", publisher.close().await);

    let replay = DeadLetterQueue::new(dead.source())
        .first_within(PATIENCE)
        .idle_after(Duration::from_secs(20))
        .max(records.len() as u64)
        // As many as come: a source refuses batches that its prefetch could never fill.
        .hold_max(records.len().min(100))
        .replay(back.publisher().await)
        .to(|_| None);
    let report = must("replay", replay.run().await.map_err(BoxError::from));
    assert_eq!(report.replayed, records.len() as u64, "lost: {report:?}");

    let mut reader = back.open().await;
    for _ in &records {
        // Settled one by one: a queue may hold back the messages of a key behind those that are in flight.
        let came = reader.exactly(1).await;
        let item = &came[0].item;
        let id = item.header(headers::ID).unwrap_or_default();
        let record = by_id.remove(id);
        let record =
            record.unwrap_or_else(|| panic!("delivered twice: the message with id {id:?}"));
        assert!(
            item.payload() == record.payload() && item.is_tombstone() == record.is_tombstone(),
            "changed: the payload of {record:?}"
        );
        assert_eq!(item.key(), record.key(), "changed: the key of {record:?}");
        assert_no_trace(item, record);
        reader.done(came).await;
    }
    must("close", reader.close().await);
    dead.assert_nothing_left().await;
    Verdict::Kept
}

/// Whether a broker gives a header of the record a meaning of its own. RabbitMQ routes a message by `CC` and `BCC`, so it takes them in a
/// dead letter, where they are data, and refuses them in a replayed message, whose dead letter then stays.
fn is_reserved<R: Record>(record: &R) -> bool {
    let mut found = false;
    record.for_each_header(&mut |header| found |= header.name == *"CC" || header.name == *"BCC");
    found
}

/// The headers of the record are there, and none of the dead letter but its id and the count of replays.
fn assert_no_trace<R: Record, O: Record>(item: &R, original: &O) {
    let (came, sent) = (values(item), values(original));
    for (name, values) in sent {
        assert_eq!(
            came.get(&name),
            Some(&values),
            "changed: the header {}",
            name.escape_ascii()
        );
    }
    for name in headers::ALL {
        let stays = name == headers::ID || name == headers::REPLAYS;
        assert_eq!(
            came.contains_key(name.as_bytes()),
            stays,
            "the header {name} of a replayed message"
        );
    }
}

/// The values of each header.
fn values<R: Record>(record: &R) -> HashMap<Vec<u8>, Vec<HeaderValue>> {
    let mut all: HashMap<Vec<u8>, Vec<HeaderValue>> = HashMap::new();
    record.for_each_header(&mut |header| {
        let values = all.entry(header.name.as_bytes().to_vec()).or_default();
        values.push(header.value);
    });
    all
}
