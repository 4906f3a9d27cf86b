//! Replays: what is sent, what is settled, and when they end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use broadway_core::{
    BoxError, Callback, ErrorClass, Outgoing, PublishError, Publisher, RateLimit, Reason,
    dead_letter::{DeadLetter, headers},
    permanent,
    replay::{DeadLetterQueue, Leave, StopReason},
    testing::{Collector, QueueEnd, RecordingPublisher},
    transient,
};
use tokio::time::Instant;

use crate::common::{Stored, queue, text};

/// The dead letter of message `number` of the topic `orders`, as its queue delivers it.
pub(crate) fn letter(number: usize) -> Stored {
    let error = match number % 2 {
        0 => transient("timed out"),
        _ => permanent("forbidden"),
    };
    let reason = Reason::error(Callback::HandleMessage, error);
    let record = Stored::new(&format!("orders[0]@{number}"), &number.to_string());
    let letter = DeadLetter::new(&reason).pipeline("orders").of(&record);
    Stored::of(&letter, &format!("orders.dead[0]@{number}"))
}

fn payloads(messages: &[Outgoing]) -> Vec<String> {
    let payloads = messages.iter().filter_map(Outgoing::payload);
    payloads
        .map(|payload| String::from_utf8(payload.to_vec()).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn matching_letters_are_sent_and_removed_and_the_others_stay() {
    let outbox = RecordingPublisher::new();
    let queue = queue(
        (0..10)
            .map(letter)
            .chain([Stored::new("orders.dead[0]@10", "not a letter")]),
    );
    let report = DeadLetterQueue::new(queue.source())
        .filter(|letter, _| letter.class == Some(ErrorClass::Transient))
        .replay(outbox.clone())
        .run()
        .await
        .unwrap();
    assert_eq!((report.listed, report.matched, report.replayed), (10, 5, 5));
    assert_eq!((report.failed, report.others), (0, 1));
    assert_eq!(report.stopped, Some(StopReason::Idle));
    assert_eq!(queue.acknowledged(), [0, 2, 4, 6, 8]);
    assert_eq!(queue.left(), [1, 3, 5, 7, 9, 10]);
    let sent = outbox.sent().all();
    assert_eq!(payloads(&sent), ["0", "2", "4", "6", "8"], "in their order");
    assert_eq!(sent[0].destination(), Some("orders"));
    assert_eq!(text(&sent[0], headers::REPLAYS), Some("1"));
    let names: Vec<_> = sent[0]
        .headers()
        .iter()
        .map(|header| header.name.to_string())
        .collect();
    assert_eq!(names, ["broadway-id", "broadway-replays"]);
    assert!(!sent[0].is_dead_letter());
}

#[tokio::test(start_paused = true)]
async fn a_second_replay_sends_the_same_ids() {
    let ids = async || {
        let outbox = RecordingPublisher::new();
        let queue = queue((0..3).map(letter));
        queue.end();
        let report = DeadLetterQueue::new(queue.source())
            .replay(outbox.clone())
            .run()
            .await
            .unwrap();
        assert_eq!(report.stopped, Some(StopReason::SourceEnded));
        let sent = outbox.sent().all();
        sent.iter()
            .map(|one| text(one, headers::ID).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids().await, ids().await);
}

/// Checks, when a message is sent, that its letter is not settled.
#[derive(Clone)]
struct Watching {
    queue: broadway_core::testing::MemoryQueue<Stored>,
    sent: Collector<usize>,
}

impl Publisher for Watching {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let publish = |message: Outgoing| {
            let number: usize = std::str::from_utf8(message.payload().unwrap())
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(
                self.queue.end_of(number),
                None,
                "settled before it was confirmed"
            );
            self.sent.push(number);
            Ok(())
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

#[tokio::test(start_paused = true)]
async fn a_letter_is_settled_only_after_its_message_is_confirmed() {
    let queue = queue((0..250).map(letter));
    let publisher = Watching {
        queue: queue.clone(),
        sent: Collector::new(),
    };
    let report = DeadLetterQueue::new(queue.source())
        .idle_after(Duration::from_secs(1))
        .replay(publisher.clone())
        .run()
        .await
        .unwrap();
    assert_eq!((report.replayed, report.failed), (250, 0), "{report:?}");
    assert_eq!(publisher.sent.all(), (0..250).collect::<Vec<_>>());
    assert_eq!(queue.acknowledged().len(), 250);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_leaves_its_letter_and_is_tried_once() {
    let outbox = RecordingPublisher::new();
    outbox.fail_next(PublishError::refused("no such topic"));
    let queue = queue((0..5).map(letter));
    let report = DeadLetterQueue::new(queue.source())
        .replay(outbox.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(
        (report.matched, report.replayed, report.failed),
        (5, 4, 1),
        "{report:?}"
    );
    assert_eq!(
        report.first_error.as_deref(),
        Some("the message was refused: no such topic")
    );
    assert_eq!(report.stopped, Some(StopReason::Idle));
    assert_eq!((queue.left(), outbox.sent().len()), (vec![0], 4));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_confirms_nothing_ends_the_replay_and_every_letter_stays() {
    let outbox = RecordingPublisher::new();
    for _ in 0..10_000 {
        outbox.fail_next(PublishError::unconfirmed("no answer"));
    }
    let queue = queue((0..300).map(letter));
    let report = DeadLetterQueue::new(queue.source())
        .replay(outbox.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(
        (report.replayed, report.stopped),
        (0, Some(StopReason::NotConfirmed))
    );
    assert!(report.failed > 0 && outbox.sent().is_empty());
    assert_eq!(queue.left().len(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_confirmed_at_first_is_sent_again() {
    let outbox = RecordingPublisher::new();
    for _ in 0..4 {
        outbox.fail_next(PublishError::unconfirmed("no answer"));
    }
    let queue = queue([letter(0)]);
    let report = DeadLetterQueue::new(queue.source())
        .replay(outbox.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(
        (report.replayed, report.failed, outbox.sent().len()),
        (1, 0, 1)
    );
    assert_eq!(queue.end_of(0), Some(QueueEnd::Acknowledged));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_sends_and_settles_nothing() {
    let outbox = RecordingPublisher::new();
    let queue = queue((0..20).map(letter));
    let replay = DeadLetterQueue::new(queue.source()).replay(outbox.clone());
    let report = replay.dry_run().run().await.unwrap();
    assert_eq!((report.matched, report.replayed), (20, 0));
    assert!(outbox.sent().is_empty());
    assert_eq!(queue.left().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_replay_ends_after_the_most_that_it_may_send() {
    let outbox = RecordingPublisher::new();
    let queue = queue((0..250).map(letter));
    let report = DeadLetterQueue::new(queue.source())
        .max(7)
        .replay(outbox.clone())
        .run()
        .await
        .unwrap();
    assert_eq!((report.matched, report.replayed), (7, 7));
    assert_eq!(report.stopped, Some(StopReason::MaxReached));
    assert_eq!((queue.acknowledged().len(), queue.left().len()), (7, 243));
}

#[tokio::test(start_paused = true)]
async fn letters_that_stay_are_bounded() {
    let outbox = RecordingPublisher::new();
    let queue = queue((0..500).map(letter));
    let report = DeadLetterQueue::new(queue.source())
        .filter(|_, _| false)
        .hold_max(100)
        .replay(outbox)
        .run()
        .await
        .unwrap();
    assert_eq!(report.stopped, Some(StopReason::HoldFull));
    assert!(report.listed < 400, "{report:?}");
    assert_eq!(queue.left().len(), 500);
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_counts_what_is_sent() {
    let outbox = RecordingPublisher::new();
    let queue = queue((0..200).map(letter));
    let began = Instant::now();
    let report = DeadLetterQueue::new(queue.source())
        .filter(|letter, _| letter.class == Some(ErrorClass::Transient))
        .replay(outbox.clone())
        .rate_limit(RateLimit::per(10, Duration::from_secs(10)))
        .run()
        .await
        .unwrap();
    // 100 messages: ten intervals, the first of which begins at once.
    assert_eq!(report.replayed, 100, "{report:?}");
    let took = began.elapsed().as_secs();
    assert!((90..=100).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_log_is_passed_over() {
    let outbox = RecordingPublisher::new();
    outbox.fail_next(PublishError::refused("too large"));
    let queue = queue((0..10).map(letter));
    let report = DeadLetterQueue::new(queue.source())
        .filter(|letter, _| letter.class == Some(ErrorClass::Transient))
        .leave(Leave::PassOver)
        .replay(outbox.clone())
        .run()
        .await
        .unwrap();
    assert_eq!((report.replayed, report.failed), (4, 1));
    assert_eq!(
        queue.acknowledged().len(),
        10,
        "the position of the reader is behind them"
    );
}

#[tokio::test(start_paused = true)]
async fn destinations_times_and_progress_are_as_chosen() {
    let (outbox, calls) = (RecordingPublisher::new(), Arc::new(AtomicU64::new(0)));
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut dated = letter(4);
    dated
        .headers
        .push(broadway_core::Header::new(headers::TIME, "1700000000000"));
    let queue = queue([dated]);
    let seen = Arc::clone(&calls);
    DeadLetterQueue::new(queue.source())
        .on_progress(move |report| seen.store(report.replayed, Ordering::Relaxed))
        .replay(outbox.clone())
        .to(|letter| letter.origin_name().map(|name| format!("{name}.again")))
        .keep_times()
        .run()
        .await
        .unwrap();
    let sent = outbox.sent().all();
    assert_eq!(sent[0].destination(), Some("orders.again"));
    assert_eq!(
        (sent[0].time(), calls.load(Ordering::Relaxed)),
        (Some(time), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn options_that_mean_nothing_are_refused() {
    let queue = queue([]);
    let replay = DeadLetterQueue::new(queue.source())
        .max(0)
        .hold_max(0)
        .idle_after(Duration::ZERO);
    let replay = replay.replay(RecordingPublisher::new());
    let error = replay
        .rate_limit(RateLimit::per(0, Duration::ZERO))
        .run()
        .await
        .unwrap_err();
    let text = error.to_string();
    for option in ["max: is 0", "hold_max", "idle_after", "rate_limit"] {
        assert!(text.contains(option), "{text}");
    }
}
