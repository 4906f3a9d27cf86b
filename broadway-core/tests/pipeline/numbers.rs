//! All counts agree: in totals, events, metrics and the summary, received = done + failed + resolved + released +
//! delayed.

use broadway_core::{
    Batching, Callback, DeadLetters, Message, Next, NoAckOptions, Outcome, Processors, Record,
    RunError, Totals,
    telemetry::Summary,
    testing::{Fault, Feed, Recorder, RecordingPublisher, drained},
};

use crate::common::{SECOND, Script, Sink, Wait, fed, outcomes, settle_down};

const KINDS: [&str; 5] = ["done", "failed", "resolved", "released", "delayed"];

fn of(totals: &Totals) -> [u64; 5] {
    [
        totals.done,
        totals.failed,
        totals.resolved,
        totals.released,
        totals.delayed,
    ]
}

fn assert_one_model(totals: &Totals, recorder: &Recorder, summary: &Summary) {
    assert_eq!(
        totals.received,
        of(totals).iter().sum::<u64>(),
        "{totals:?}"
    );
    assert_eq!(totals.in_flight(), 0);
    let reported = |kind| recorder.sum("settled", kind) + recorder.sum("pushed_settled", kind);
    let reported = KINDS.map(reported);
    assert_eq!(reported, of(totals), "events");
    let summed = [
        summary.ok(),
        summary.failed(),
        summary.resolved(),
        summary.released(),
        summary.delayed(),
    ];
    assert_eq!(summed, of(totals), "summary");
    assert_eq!(summary.read(), totals.received);
}

/// 0 succeeds, 1 fails, 2 is resolved; those above 9 go through a batcher.
fn fate(n: u64) -> u64 {
    n % 3
}

fn mixed() -> Script<u64> {
    let refuse = |n: u64| match fate(n) {
        0 => None,
        kind => Some(if kind == 1 { "bad" } else { "resolvable" }),
    };
    Script::new()
        .message(move |message: &mut Message<u64>| {
            let n = *message.data();
            match refuse(n) {
                Some(error) if n < 10 => Err(error.into()),
                None if n < 10 => Ok(Next::Ack),
                _ => Ok(Next::batch(Sink::One, n)),
            }
        })
        .batch(move |_, batch| {
            let bad: Vec<_> = batch
                .rows()
                .filter_map(|row| Some((row.id(), refuse(**row)?)))
                .collect();
            for (row, error) in bad {
                batch.fail(row, error);
            }
            Ok(())
        })
        .failed(|failed| {
            for failed in failed {
                if fate(*failed.message().data()) == 2 {
                    failed.resolve();
                }
            }
        })
}

#[tokio::test(start_paused = true)]
async fn received_messages_are_done_failed_resolved_or_released_in_all_counts() {
    let (recorder, summary) = (Recorder::new(), Summary::new());
    let (pipeline, feed) = fed(mixed());
    let pipeline = pipeline
        .processors(Processors::new(2))
        .batchers(|_| Batching::new(7, SECOND))
        .observe(recorder.clone())
        .observe(summary.clone());
    let topology = pipeline.start().await.unwrap();
    let ended = outcomes(feed.push_all(0..30)).await;
    let failed = ended
        .iter()
        .filter(|outcome| matches!(outcome, Outcome::Failed(_)));
    assert_eq!(
        failed.count(),
        10,
        "a resolved message is done for its source"
    );
    let totals = drained(&topology).await;
    assert_eq!(of(&totals), [10, 10, 10, 0, 0]);
    assert_one_model(&totals, &recorder, &summary);
    feed.assert_settled_once();
}

#[derive(Debug, Clone, Copy)]
struct Text;

impl Record for Text {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        b"text"
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_became_dead_letters_are_counted_as_resolved() {
    let (recorder, summary) = (Recorder::new(), Summary::new());
    let script = Script::<Text>::new().message(|_| Err("refused".into()));
    let (pipeline, feed) = fed(DeadLetters::of(script, RecordingPublisher::new()));
    let pipeline = pipeline.observe(recorder.clone()).observe(summary.clone());
    let topology = pipeline.start().await.unwrap();
    outcomes(feed.push_all([Text; 100])).await;
    let totals = drained(&topology).await;
    assert_eq!(of(&totals), [0, 0, 100, 0, 0]);
    assert_one_model(&totals, &recorder, &summary);
    let table = summary.to_string();
    assert!(table.contains("resolved"), "{table}");
    assert!(summary.progress_line().contains("100 resolved"));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn pushed_messages_that_are_resolved_are_counted_so() {
    let (recorder, summary) = (Recorder::new(), Summary::new());
    let (pipeline, feed) = fed(mixed());
    let pipeline = pipeline.observe(recorder.clone()).observe(summary.clone());
    let topology = pipeline.start().await.unwrap();
    let ended = outcomes(topology.push(0..9).await.unwrap()).await;
    assert_eq!(ended.iter().filter(|outcome| outcome.is_done()).count(), 6);
    outcomes(topology.try_push(0..3).unwrap().receipts).await;
    outcomes(feed.push_all(0..3)).await;
    let totals = drained(&topology).await;
    assert_eq!(of(&totals), [5, 5, 5, 0, 0]);
    assert_one_model(&totals, &recorder, &summary);
    assert_eq!(recorder.sum("pushed", "count"), 12);
}

async fn hanging(feed: &Feed<u64>) {
    feed.push_all(0..3);
    feed.wait_delivered(3).await;
    settle_down().await;
}

/// The topology returns one error only; a close that failed too is an event.
#[tokio::test(start_paused = true)]
async fn a_producer_that_cannot_close_is_reported_beside_another_error() {
    for abort in [true, false] {
        let recorder = Recorder::new();
        let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::Ever));
        feed.faults()
            .at(Callback::Close, 0, Fault::error("flush timed out"));
        let pipeline = pipeline.producers(2).observe(recorder.clone());
        let topology = pipeline.start().await.unwrap();
        hanging(&feed).await;
        let ended = match abort {
            true => topology.abort().await,
            false => topology.drain_within(SECOND).await,
        };
        let error = ended.unwrap_err();
        assert!(
            matches!(
                error,
                RunError::Aborted { unsettled: 3 } | RunError::DrainTimedOut { unsettled: 3, .. }
            ),
            "{error}"
        );
        let reported = recorder.of("close_failed");
        assert_eq!(reported.len(), 1);
        assert!(
            reported[0]
                .get("error")
                .unwrap()
                .contains("flush timed out")
        );
    }
}
