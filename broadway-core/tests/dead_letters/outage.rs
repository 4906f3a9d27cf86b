//! While dead letters are not confirmed: messages wait, the source is paused, and all of it ends well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use broadway_core::{
    BoxError, DeadLetters, Outgoing, Pipeline, Processors, PublishError, Publisher,
    dead_letter::headers,
    testing::{Collector, Recorder, RecordingPublisher, drained, manual_source},
};

use crate::common::{Failing, Stored, queue, text};

/// Confirms nothing while it is cut off, and keeps each attempt.
#[derive(Clone, Default)]
struct CutOff {
    is_out: Arc<AtomicBool>,
    attempts: Collector<Outgoing>,
    sent: Collector<Outgoing>,
}

impl Publisher for CutOff {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let publish = |message: Outgoing| {
            self.attempts.push(message.clone());
            match self.is_out.load(Ordering::Relaxed) {
                true => Err(PublishError::unconfirmed("no answer")),
                false => {
                    self.sent.push(message);
                    Ok(())
                }
            }
        };
        messages.into_iter().map(publish).collect()
    }

    async fn flush(&self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), BoxError> {
        Ok(())
    }
}

fn record(number: u32) -> Stored {
    Stored::new(&format!("orders[0]@{number}"), "x")
}

#[tokio::test(start_paused = true)]
async fn nothing_is_settled_before_its_letter_is_confirmed_and_the_source_is_paused_meanwhile() {
    let (cut_off, recorder) = (CutOff::default(), Recorder::new());
    cut_off.is_out.store(true, Ordering::Relaxed);
    let (source, feed) = manual_source();
    let topology = Pipeline::new(source, Failing(|| "no".into()))
        .processors(Processors::new(2).max_demand(5))
        .observe(recorder.clone())
        .dead_letters(cut_off.clone())
        .start()
        .await
        .unwrap();
    let receipts = feed.push_all((0..100).map(record));
    recorder.wait_count("dead_letters_held", 8).await;
    // An outage longer than every timeout.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(topology.is_paused());
    let delivered = feed.delivered();
    assert!(
        delivered <= 20,
        "{delivered} were delivered during the outage"
    );
    assert_eq!(feed.unsettled().len(), delivered, "nothing is settled");
    assert_eq!(recorder.count("settled"), 0);
    let held = recorder.of("dead_letters_held");
    assert_eq!(
        held[0].get("is_paused"),
        Some("false"),
        "one failure is often over at once"
    );
    assert_eq!(held.last().unwrap().get("is_paused"), Some("true"));

    cut_off.is_out.store(false, Ordering::Relaxed);
    for receipt in receipts {
        assert!(receipt.outcome().await.unwrap().is_done());
    }
    assert!(!topology.is_paused());
    let totals = drained(&topology).await;
    assert_eq!((totals.resolved, totals.failed), (100, 0));
    assert_eq!(
        cut_off.sent.len(),
        100,
        "each once, as no confirmation was lost"
    );
    assert_eq!(recorder.sum("dead_letters_sent", "count"), 100);
    feed.assert_settled_once();
    // However often it was sent, it was the same letter.
    let attempts = cut_off.attempts.all();
    let same = attempts
        .iter()
        .filter(|one| one.origin() == attempts[0].origin());
    let same: Vec<_> = same.collect();
    assert!(same.len() > 10 && same.iter().all(|one| **one == attempts[0]));
}

#[tokio::test(start_paused = true)]
async fn a_lost_confirmation_repeats_the_letter_with_the_same_id() {
    let outbox = RecordingPublisher::new();
    outbox.fail_next(PublishError::unconfirmed(
        "arrived, but the answer was lost",
    ));
    let queue = queue([record(7)]);
    queue.end();
    let attempts = CutOff::default();
    let twice = Pipeline::new(queue.source(), Failing(|| "no".into()));
    twice
        .dead_letters(outbox.clone())
        .start()
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    // The same record again, as after a process that ended before it was settled.
    let again = crate::common::queue([record(7)]);
    again.end();
    let pipeline = Pipeline::new(again.source(), Failing(|| "no".into()));
    pipeline
        .dead_letters(attempts.clone())
        .start()
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let (first, second) = (outbox.sent().all(), attempts.sent.all());
    assert_eq!(text(&first[0], headers::ID), text(&second[0], headers::ID));
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_times_out_leaves_the_message_unsettled() {
    let (cut_off, recorder) = (CutOff::default(), Recorder::new());
    cut_off.is_out.store(true, Ordering::Relaxed);
    let (source, feed) = manual_source();
    let topology = Pipeline::new(source, Failing(|| "no".into()))
        .drain_timeout(Duration::from_secs(20))
        .observe(recorder.clone())
        .dead_letters(cut_off.clone())
        .start()
        .await
        .unwrap();
    feed.push(record(1));
    recorder.wait_count("dead_letters_held", 3).await;
    topology.drain().await.unwrap_err();
    assert_eq!(feed.unsettled().len(), 1);
    assert!(cut_off.sent.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_letter_is_reported_and_pauses_nothing() {
    let (outbox, recorder) = (RecordingPublisher::new(), Recorder::new());
    outbox.fail_next(PublishError::refused("too large"));
    let (source, feed) = manual_source();
    let handler = DeadLetters::of(Failing(|| "no".into()), outbox);
    let topology = Pipeline::new(source, handler)
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    let outcome = feed.push(record(3)).outcome().await.unwrap();
    assert!(outcome.is_failed());
    drained(&topology).await;
    let refused = &recorder.of("dead_letter_refused")[0];
    assert_eq!(refused.get("origin"), Some("orders[0]@3"));
    assert_eq!(
        (
            recorder.count("paused"),
            recorder.count("dead_letters_sent")
        ),
        (0, 0)
    );
}
