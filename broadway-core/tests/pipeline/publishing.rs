//! The sending side in a pipeline: batches that are published, dead letters, and what observers hear of it.

use broadway_core::{
    Batch, BatchKey, Batching, BoxError, DeadLetters, Handler, Message, Next, NoAckOptions,
    OneBatcher, Outgoing, Pipeline, PublishError, PublishErrorKind, Publisher, Record, handler_fn,
    source,
    testing::{Outbox, Reader, Recorder, drained, hand_fed},
};

use crate::common::{SECOND, outcomes};

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

    fn for_each_header(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.headers
            .iter()
            .for_each(|(name, value)| visit(name, value));
    }

    fn id(&self) -> String {
        format!("letters@{}", self.text)
    }
}

struct Bridge(Outbox);

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
    let outbox = Outbox::new();
    outbox.fail_next(PublishError::unconfirmed("no answer"));
    let (source, feed) = hand_fed();
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
    let payloads: Vec<_> = sent.iter().map(|message| &message.payload()[..]).collect();
    assert_eq!(payloads, [b"b", b"c"]);
    feed.assert_settled_once();
}

#[test]
fn a_record_is_sent_on_with_its_key_and_all_its_headers() {
    let message = Outgoing::from_record(&Letter::new("hello"));
    assert_eq!(&message.payload()[..], b"hello");
    assert_eq!(message.message_key().unwrap(), "k");
    let headers: Vec<_> = message
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), &value[..]))
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
    assert_eq!(own.trace_of(&letter).headers()[0].1, "own");
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_dead_letter_is_done_at_its_source_and_says_why_it_failed() {
    let outbox = Outbox::new();
    let handler = handler_fn(|message: &mut Message<Letter>| match message.data().text {
        "bad" => Err("cannot be read".into()),
        _ => Ok(()),
    });
    let (source, feed) = hand_fed();
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
            .filter(|(header, _)| header == name)
            .map(|(_, value)| value.as_ref())
            .next()
    };
    assert_eq!(header("broadway-origin"), Some(b"letters@bad".as_slice()));
    let reason = b"handle_message failed: cannot be read";
    assert_eq!(header("broadway-reason"), Some(reason.as_slice()));
    assert!(header("traceparent").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_dead_letter_was_not_confirmed_stays_failed() {
    let outbox = Outbox::new();
    outbox.fail_next(PublishError::unconfirmed("no answer"));
    let handler = handler_fn(|_: &mut Message<Letter>| Err("cannot be read".into()));
    let (source, feed) = hand_fed();
    let topology = Pipeline::new(source, DeadLetters::of(handler, outbox.clone()))
        .start()
        .await
        .unwrap();
    let outcomes = outcomes(feed.push_all(["a", "b"].map(Letter::new))).await;
    drained(&topology).await;
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| outcome.is_failed())
            .count(),
        1
    );
    assert_eq!(outbox.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_observed_publisher_tells_of_each_call() {
    let (outbox, recorder) = (Outbox::new(), Recorder::new());
    let publisher = outbox.clone().observed("audit", recorder.clone());
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
async fn a_closed_publisher_says_so() {
    let outbox = Outbox::new();
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
