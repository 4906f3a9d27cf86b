//! Lists: what they show, and that they leave everything where it was.

use std::time::Duration;

use broadway_core::{
    Header,
    replay::{DeadLetterQueue, StopReason},
};
use tokio::time::Instant;

use crate::{
    common::{Stored, queue},
    replayed::letter,
};

#[tokio::test(start_paused = true)]
async fn a_list_shows_letters_and_leaves_them() {
    let mut large = letter(1);
    large.payload = Some(vec![b'x'; 5_000]);
    large.headers.insert(0, Header::new("tenant", "7"));
    let queue = queue([letter(0), large, Stored::new("other", "x")]);
    let (letters, report) = DeadLetterQueue::new(queue.source()).list().await.unwrap();
    assert_eq!((letters.len(), report.listed, report.others), (2, 2, 1));
    let large = &letters[1];
    assert_eq!(large.coordinates, "orders.dead[0]@1");
    assert_eq!((large.preview.len(), large.payload_bytes), (1_024, 5_000));
    assert_eq!(large.headers, [Header::new("tenant", "7")]);
    assert_eq!(large.info.origin, "orders[0]@1");
    assert_eq!(queue.left(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_queue_is_waited_for_and_listed_as_empty() {
    let queue = queue([]);
    let began = Instant::now();
    let list = DeadLetterQueue::new(queue.source())
        .first_within(Duration::from_secs(9))
        .list();
    let (letters, report) = list.await.unwrap();
    assert!(letters.is_empty());
    assert_eq!(report.stopped, Some(StopReason::Idle));
    assert_eq!(began.elapsed().as_secs(), 9);
}

#[tokio::test(start_paused = true)]
async fn once_a_letter_has_come_only_the_idle_time_counts() {
    let queue = queue((0..4).map(letter));
    let began = Instant::now();
    let list = DeadLetterQueue::new(queue.source())
        .first_within(Duration::from_secs(90))
        .idle_after(Duration::from_secs(3))
        .list();
    let (letters, report) = list.await.unwrap();
    assert_eq!((letters.len(), report.stopped), (4, Some(StopReason::Idle)));
    // Giving them back takes 2 s more.
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_list_has_a_limit() {
    let queue = queue((0..1_500).map(letter));
    let (letters, report) = DeadLetterQueue::new(queue.source()).list().await.unwrap();
    assert_eq!(
        (letters.len(), report.stopped),
        (1_000, Some(StopReason::MaxReached))
    );
    assert_eq!(queue.left().len(), 1_500);
}
