//! A property: whatever bytes a message has, it comes back from its dead letter as it was.

use broadway_core::{
    DeadLetters, Header, HeaderName, HeaderValue, Outgoing, Pipeline, Record, dead_letter::headers,
    replay::DeadLetterQueue, testing::RecordingPublisher,
};
use proptest::prelude::*;

use crate::common::{Failing, Stored, queue};

fn value() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        Just(HeaderValue::Null),
        any::<Vec<u8>>().prop_map(HeaderValue::from),
        any::<String>().prop_map(HeaderValue::from),
        any::<bool>().prop_map(HeaderValue::from),
        any::<i64>().prop_map(HeaderValue::from),
    ]
}

fn header() -> impl Strategy<Value = Header> {
    let name = prop_oneof![
        any::<Vec<u8>>(),
        any::<String>().prop_map(String::into_bytes),
        Just(b"traceparent".to_vec()),
        Just(b"twice".to_vec()),
        Just(b"broadway-key".to_vec()),
    ];
    (name, value()).prop_map(|(name, value)| Header::new(HeaderName::from(&name[..]), value))
}

fn record() -> impl Strategy<Value = Stored> {
    let payload = proptest::option::of(any::<Vec<u8>>());
    let key = proptest::option::of(any::<Vec<u8>>());
    let headers = proptest::collection::vec(header(), 0..20);
    (payload, key, headers).prop_map(|(payload, key, headers)| Stored {
        payload,
        key,
        headers,
        id: "orders[3]@88127".to_owned(),
        ..Stored::default()
    })
}

/// Through a pipeline that fails it, and through a replay.
async fn there_and_back(record: Stored) -> Outgoing {
    let (dead, outbox) = (RecordingPublisher::new(), RecordingPublisher::new());
    let source = queue([record]);
    source.end();
    let handler = DeadLetters::of(Failing(|| "no".into()), dead.clone());
    Pipeline::new(source.source(), handler)
        .without_logs()
        .start()
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let letters = queue([Stored::of(&dead.sent().all()[0], "orders.dead[0]@1")]);
    letters.end();
    DeadLetterQueue::new(letters.source())
        .replay(outbox.clone())
        .run()
        .await
        .unwrap();
    outbox.sent().all().remove(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_message_comes_back_from_its_dead_letter_byte_for_byte(record in record()) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        let message = runtime.block_on(there_and_back(record.clone()));
        let original = Outgoing::from_record(&record);
        prop_assert_eq!(message.payload(), original.payload());
        prop_assert_eq!(message.message_key(), original.message_key());
        let own = |header: &&Header| headers::ALL.iter().all(|name| header.name != *name);
        let came: Vec<_> = message.headers().iter().filter(own).collect();
        let sent: Vec<_> = original.headers().iter().collect();
        prop_assert_eq!(came, sent, "{:?}", record.id());
    }
}
