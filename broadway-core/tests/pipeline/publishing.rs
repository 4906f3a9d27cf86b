//! Publishers in a pipeline: published batches, dead letters, and the events about them.

use broadway_core::{
    Batch, BatchKey, Batching, BoxError, Callback, DeadLetters, Handler, Header, HeaderValue,
    Message, Next, NoAckOptions, NoBatcher, OneBatcher, Outcome, Outgoing, Pipeline, PublishError,
    PublishErrorKind, Publisher, Reason, Record, handler_fn,
    machine::restart::{Intensity, RestartPolicy},
    source,
    testing::{Reader, Recorder, RecordingPublisher, drained, manual_source},
};

use crate::common::{SECOND, outcomes, reason};

/// A record with a key and headers.
#[derive(Debug)]
struct Letter {
    text: &'static str,
    headers: Vec<(&'static str, &'static [u8])>,
}

impl Letter {
    fn new(text: &'static str) -> Self {
        let headers = vec![("traceparent", b"00-1-2-01".as_slice()), ("x", b"")];
        Self { text, headers }
    }
}

impl Record for Letter {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        self.text.as_bytes()
    }

    fn key(&self) -> Option<&[u8]> {
        Some(b"k")
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        headers
            .find(|(header, _)| *header == name)
            .map(|(_, value)| *value)
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        self.headers
            .iter()
            .for_each(|(name, value)| visit(Header::new(*name, *value)));
    }

    fn id(&self) -> String {
        format!("letters@{}", self.text)
    }
}

struct Bridge(RecordingPublisher);

impl Handler for Bridge {
    type In = Letter;
    type Out = Outgoing;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Letter>,
    ) -> Result<Next<Outgoing, OneBatcher>, BoxError> {
        Ok(Next::batch(
            OneBatcher,
            Outgoing::from_record(message.data()),
        ))
    }

    async fn handle_batch(
        &self,
        _: OneBatcher,
        batch: &mut Batch<Outgoing>,
    ) -> Result<(), BoxError> {
        assert_eq!(*batch.key(), BatchKey::None);
        self.0.publish_batch(batch).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_not_confirmed_fails_alone_in_its_batch() {
    let outbox = RecordingPublisher::new();
    outbox.fail_next(PublishError::unconfirmed("no answer"));
    let (source, feed) = manual_source();
    let topology = Pipeline::new(source, Bridge(outbox.clone()))
        .batchers(|OneBatcher| Batching::new(3, SECOND))
        .start()
        .await
        .unwrap();
    let outcomes = outcomes(feed.push_all(["a", "b", "c"].map(Letter::new))).await;
    drained(&topology).await;
    let done: Vec<_> = outcomes.iter().map(|outcome| outcome.is_done()).collect();
    assert_eq!(done, [false, true, true]);
    let sent = outbox.sent().all();
    let payloads: Vec<_> = sent
        .iter()
        .map(|message| &message.payload().unwrap()[..])
        .collect();
    assert_eq!(payloads, [b"b", b"c"]);
    feed.assert_settled_once();
}

#[test]
fn a_record_is_sent_on_with_its_key_and_all_its_headers() {
    let message = Outgoing::from_record(&Letter::new("hello"));
    assert_eq!(&message.payload().unwrap()[..], b"hello");
    assert_eq!(message.message_key().unwrap(), "k");
    let headers: Vec<_> = message
        .headers()
        .iter()
        .map(|header| {
            (
                header.name.as_str().unwrap(),
                header.value.as_bytes().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        headers,
        [("traceparent", b"00-1-2-01".as_slice()), ("x", b"")]
    );
}

#[test]
fn a_trace_is_continued_once() {
    let letter = Letter::new("hello");
    let message = Outgoing::new("answer").trace_of(&letter).trace_of(&letter);
    assert_eq!(message.headers().len(), 1);
    let own = Outgoing::new("answer").header("traceparent", "own");
    assert_eq!(
        own.trace_of(&letter).headers()[0].value.as_str(),
        Some("own")
    );
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_dead_letter_is_done_at_its_source_and_has_the_reason() {
    let outbox = RecordingPublisher::new();
    let handler = handler_fn(|message: &mut Message<Letter>| match message.data().text {
        "bad" => Err("cannot be read".into()),
        _ => Ok(()),
    });
    let (source, feed) = manual_source();
    let handler = DeadLetters::of(handler, outbox.clone()).to("letters.dead");
    let topology = Pipeline::new(source, handler).start().await.unwrap();
    let outcomes = outcomes(feed.push_all(["good", "bad"].map(Letter::new))).await;
    drained(&topology).await;
    assert!(outcomes.iter().all(|outcome| outcome.is_done()));
    let sent = outbox.sent().all();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].destination(), Some("letters.dead"));
    let header = |name| {
        let headers = sent[0].headers().iter();
        headers
            .filter(|header| header.name == name)
            .filter_map(|header| header.value.as_bytes())
            .next()
    };
    assert_eq!(header("broadway-origin"), Some(b"letters@bad".as_slice()));
    let reason = b"handle_message failed: cannot be read";
    assert_eq!(header("broadway-reason"), Some(reason.as_slice()));
    assert!(header("traceparent").is_some());
}

async fn two_failures(handler: DeadLetters<Unreadable, RecordingPublisher>) -> Vec<Outcome> {
    let (source, feed) = manual_source();
    let topology = Pipeline::new(source, handler).start().await.unwrap();
    let outcomes = outcomes(feed.push_all(["a", "b"].map(Letter::new))).await;
    drained(&topology).await;
    outcomes
}

struct Unreadable;

impl Handler for Unreadable {
    type In = Letter;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        _: &mut Message<Letter>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        Err("cannot be read".into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_dead_letter_is_refused_stays_failed() {
    let outbox = RecordingPublisher::new();
    outbox.fail_next(PublishError::refused("too large"));
    let outcomes = two_failures(DeadLetters::of(Unreadable, outbox.clone())).await;
    let failed: Vec<_> = outcomes.iter().filter(|one| one.is_failed()).collect();
    assert_eq!(failed.len(), 1);
    let why = "handle_message failed: cannot be read; its dead letter cannot be sent: the message was refused: too large";
    assert_eq!(reason(failed[0]), why);
    assert_eq!(outbox.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_not_confirmed_is_sent_again_however_long_that_takes() {
    let outbox = RecordingPublisher::new();
    for _ in 0..200 {
        outbox.fail_next(PublishError::unconfirmed("no answer"));
    }
    let began = tokio::time::Instant::now();
    let outcomes = two_failures(DeadLetters::of(Unreadable, outbox.clone())).await;
    assert!(outcomes.iter().all(Outcome::is_done), "{outcomes:?}");
    assert_eq!(outbox.sent().len(), 2);
    // On paused time: an outage longer than every timeout.
    assert!(began.elapsed() > SECOND * 600);
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_sending_dead_letters_again_leaves_the_message_failed() {
    let outbox = RecordingPublisher::new();
    for _ in 0..20 {
        outbox.fail_next(PublishError::unconfirmed("no answer"));
    }
    let retry = RestartPolicy::default().intensity(Intensity {
        restarts_max: 2,
        window: SECOND * 60,
    });
    let outcomes = two_failures(DeadLetters::of(Unreadable, outbox.clone()).retry(retry)).await;
    assert!(outcomes.iter().all(Outcome::is_failed), "{outcomes:?}");
}

#[test]
fn a_dead_letter_of_a_dead_letter_has_one_origin_and_no_time_of_its_own() {
    let because = |text: &str| Reason::error(Callback::HandleMessage, text.to_owned());
    let letter = Outgoing::dead_letter(&Letter::new("a"), &because("first"));
    assert_eq!(letter.origin(), Some("letters@a"));
    assert!(letter.is_dead_letter() && letter.time().is_none());
    struct Again(Outgoing);
    impl Record for Again {
        type AckOptions = NoAckOptions;
        fn payload(&self) -> &[u8] {
            self.0.payload().unwrap()
        }
        fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
            self.0.headers().iter().cloned().for_each(visit);
        }
        fn id(&self) -> String {
            "dead@1".to_owned()
        }
    }
    let again = Outgoing::dead_letter(&Again(letter), &because("second"));
    let ours = |name: &str| {
        let ours = again.headers().iter();
        let ours = ours.filter(|header| header.name == name);
        ours.map(|header| header.value.as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(ours("broadway-origin"), ["dead@1"]);
    assert_eq!(ours("broadway-reason"), ["handle_message failed: second"]);
    assert_eq!(ours("broadway-time").len(), 0);
}

#[test]
fn null_stays_null_on_its_way_through_a_record() {
    struct Tombstone;
    impl Record for Tombstone {
        type AckOptions = NoAckOptions;
        fn payload(&self) -> &[u8] {
            &[]
        }
        fn is_tombstone(&self) -> bool {
            true
        }
        fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
            visit(Header::new("gone", None::<&str>));
            visit(Header::new("empty", ""));
        }
    }
    let copy = Outgoing::from_record(&Tombstone);
    assert_eq!(copy.payload(), None);
    assert_eq!(copy.message_key(), None);
    assert_eq!(copy.headers()[0].value, HeaderValue::Null);
    assert_eq!(copy.headers()[1].value.as_bytes(), Some(b"".as_slice()));
    assert_ne!(
        copy,
        Outgoing::new("")
            .header("gone", None::<&str>)
            .header("empty", "")
    );
}

#[tokio::test(start_paused = true)]
async fn an_observed_publisher_reports_each_call() {
    let (outbox, recorder) = (RecordingPublisher::new(), Recorder::new());
    let publisher = outbox.clone().observed("audit", recorder.clone());
    let publisher = publisher.clone();
    outbox.fail_next(PublishError::refused("too large"));
    let results = publisher
        .publish(vec![Outgoing::new("a"), Outgoing::new("b")])
        .await;
    assert_eq!(
        results[0].as_ref().unwrap_err().kind(),
        PublishErrorKind::Refused
    );
    assert!(publisher.publish(Vec::new()).await.is_empty());
    assert_eq!(recorder.count("published"), 1);
    assert_eq!(recorder.sum("published", "done"), 1);
    assert_eq!(recorder.sum("published", "failed"), 1);
}

#[tokio::test]
async fn a_closed_publisher_returns_errors() {
    let outbox = RecordingPublisher::new();
    outbox.publish_one(Outgoing::new("in time")).await.unwrap();
    outbox.close().await.unwrap();
    let error = outbox.publish_one(Outgoing::new("late")).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Closed);
    assert!(!error.is_retryable());
}

#[test]
fn neither_payloads_nor_values_of_headers_are_shown() {
    let message = Outgoing::new("secret-1")
        .key("secret-2")
        .header("name", "secret-3");
    let text = format!("{message:?}");
    assert!(text.contains("name") && !text.contains("secret"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_stands_for_the_engine() {
    let mut reader = Reader::open(&source::from_iter(|_| 0..5)).await.unwrap();
    let some = reader.some(2).await.unwrap();
    assert_eq!(some.len(), 2);
    assert_eq!(reader.exactly(3).await[0].item, 2);
    reader.done(some).await;
    reader.close().await.unwrap();
    let mut idle = Reader::open(&source::idle::<u8>()).await.unwrap();
    idle.nothing_until(tokio::time::sleep(SECOND)).await;
}
