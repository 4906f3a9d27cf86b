//! What a dead letter carries, and what is read of it.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::{
    Callback, Classify, ErrorClass, Header, Outgoing, Pipeline, Reason, Retry,
    dead_letter::{DeadLetter, DeadLetterInfo, headers},
    testing::RecordingPublisher,
};

use crate::common::{Failing, Stored, queue, text};

#[derive(Debug)]
struct Layered(&'static str, Option<Box<Layered>>);

impl fmt::Display for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Layered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.1.as_deref()?)
    }
}

fn layered() -> Layered {
    let inner = Layered("refused\nby the host", None);
    let middle = Layered("no connection", Some(Box::new(inner)));
    Layered("cannot write the order", Some(Box::new(middle)))
}

fn reason() -> Reason {
    Reason::error(Callback::HandleBatch, "cannot be read")
}

#[tokio::test(start_paused = true)]
async fn a_letter_of_a_pipeline_says_all_about_the_failure() {
    let outbox = RecordingPublisher::new();
    let (now, time) = (
        SystemTime::now(),
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
    );
    let queue = queue([Stored {
        time: Some(time),
        deliveries: Some(4),
        headers: vec![
            Header::new("traceparent", "00-1-2-01"),
            Header::new("x", ""),
        ],
        key: Some(b"k".to_vec()),
        ..Stored::new("orders[3]@88127", "{}")
    }]);
    queue.end();
    let failing = || Err::<(), _>(layered()).poison().unwrap_err();
    Pipeline::new(queue.source(), Failing(failing))
        .name("orders")
        .on_failure(
            Retry::fixed(Duration::from_millis(200))
                .attempts(3)
                .then_dead_letter(),
        )
        .dead_letters(outbox.clone())
        .start()
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let letter = Stored::of(&outbox.sent().all()[0], "orders.dead[0]@1");
    let info = DeadLetterInfo::of(&letter).unwrap();
    assert_eq!(info.origin, "orders[3]@88127");
    assert_eq!(info.reason, "handle_message failed: cannot write the order");
    assert_eq!(info.error_chain, ["no connection", "refused by the host"]);
    assert_eq!(info.class, Some(ErrorClass::Poison));
    assert_eq!(info.stage.as_deref(), Some("handle_message"));
    assert_eq!((info.attempts, info.deliveries), (Some(1), Some(4)));
    assert_eq!(info.pipeline.as_deref(), Some("orders"));
    assert_eq!(info.time, Some(time));
    assert!(info.failed_at.unwrap() + Duration::from_millis(1) > now);
    assert_eq!((info.id.unwrap().len(), info.replays), (32, 0));
    assert_eq!(
        (letter.payload, letter.key),
        (Some(b"{}".to_vec()), Some(b"k".to_vec()))
    );
    let first: Vec<_> = letter.headers.iter().take(2).cloned().collect();
    assert_eq!(
        first,
        [
            Header::new("traceparent", "00-1-2-01"),
            Header::new("x", "")
        ]
    );
    assert_eq!(letter.time, None, "the broker dates it");
}

#[test]
fn the_same_record_has_the_same_id_and_others_have_others() {
    let id = |record: &Stored, pipeline: &str| {
        let reason = reason();
        let letter = DeadLetter::new(&reason).pipeline(pipeline).of(record);
        text(&letter, headers::ID).unwrap().to_owned()
    };
    let record = Stored::new("orders[3]@7", "a");
    let first = id(&record, "p");
    assert_eq!(first, id(&record, "p"));
    let later = Stored {
        time: Some(UNIX_EPOCH),
        ..record.clone()
    };
    let others = [
        id(&record, "q"),
        id(&Stored::new("orders[3]@8", "a"), "p"),
        // The topic was deleted and created again.
        id(&Stored::new("orders[3]@7", "b"), "p"),
        id(&later, "p"),
    ];
    assert!(!others.contains(&first), "{others:?}");
    // A delivery tag, or nothing, identifies no record: two equal messages may have it.
    for origin in ["orders#7", ""] {
        let record = Stored::new(origin, "a");
        assert_ne!(id(&record, "p"), id(&record, "p"), "{origin:?}");
    }
}

#[test]
fn texts_are_bounded_between_characters() {
    let long = "ä".repeat(5_000);
    let inner: &'static str = Box::leak(long.clone().into_boxed_str());
    let error = Layered(inner, Some(Box::new(Layered(inner, None))));
    let reason = Reason::error(Callback::HandleMessage, error);
    let record = Stored::new(&long, "x");
    let letter = DeadLetter::new(&reason)
        .pipeline(&long)
        .batcher(&long)
        .of(&record);
    let own: usize = letter
        .headers()
        .iter()
        .map(|header| header.name.as_bytes().len() + header.value.as_bytes().unwrap().len())
        .sum();
    assert!(own < 5_000, "{own}");
    for name in [headers::ORIGIN, headers::REASON, headers::ERROR_CHAIN] {
        let length = text(&letter, name).unwrap().len();
        assert!((1_000..=1_024).contains(&length), "{name}: {length}");
    }
}

#[test]
fn a_letter_of_a_letter_replaces_the_headers_of_the_first() {
    let first = Outgoing::dead_letter(&Stored::new("orders[0]@1", "a"), &reason());
    let mut record = Stored::of(&first, "orders.dead[0]@9");
    record.headers.push(Header::new(headers::REPLAYS, "2"));
    let second = DeadLetter::new(&reason()).of(&record);
    for name in headers::ALL {
        let count = second
            .headers()
            .iter()
            .filter(|header| header.name == name)
            .count();
        assert!(count <= 1, "{name}: {count}");
    }
    let info = DeadLetterInfo::of(&Stored::of(&second, "")).unwrap();
    assert_eq!((&*info.origin, info.replays), ("orders.dead[0]@9", 2));
    assert_ne!(text(&first, headers::ID), text(&second, headers::ID));
}

#[test]
fn what_another_program_wrote_is_read_as_far_as_it_goes() {
    assert_eq!(DeadLetterInfo::of(&Stored::new("a", "b")), None);
    let odd = Stored {
        headers: vec![
            Header::new(headers::ORIGIN, "x"),
            Header::new(headers::CLASS, "grave"),
            Header::new(headers::ATTEMPTS, "many"),
            Header::new(headers::TIME, "99999999999999999999"),
            Header::new(headers::REASON, vec![0xff]),
        ],
        ..Stored::default()
    };
    let info = DeadLetterInfo::of(&odd).unwrap();
    assert_eq!((info.class, info.attempts, info.time), (None, None, None));
    assert_eq!((&*info.reason, info.id), ("", None));
}

#[test]
fn an_origin_names_its_topic_or_queue() {
    let named = |origin: &str| {
        let headers = vec![Header::new(headers::ORIGIN, origin)];
        let info = DeadLetterInfo::of(&Stored {
            headers,
            ..Stored::default()
        })
        .unwrap();
        let topic = info.origin_topic().map(str::to_owned);
        (topic, info.origin_name().map(str::to_owned))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(named("a.b[3]@7"), (some("a.b"), some("a.b")));
    assert_eq!(named("orders@a@b"), (None, some("orders")));
    assert_eq!(named("orders#7"), (None, some("orders")));
    assert_eq!(named("orders[x]@7"), (None, some("orders[x]")));
    assert_eq!(named("8127364"), (None, None));
    assert_eq!(named("[3]@7").0, None);
}
