//! Unsettled deliveries against a model broker, which is a set of tags, and example by example for what the documentation promises.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn ack(tag: u64, multiple: bool) -> AckFrame {
    AckFrame::Ack { tag, multiple }
}

fn nack(tag: u64, requeue: bool) -> AckFrame {
    AckFrame::Nack { tag, requeue }
}

fn delivery(tag: u64, offset: Option<u64>) -> NewDelivery {
    NewDelivery {
        tag,
        offset,
        sent_secs: None,
    }
}

fn with_tags(prefetch: u16, tags: u64) -> Unsettled {
    let mut unsettled = Unsettled::new(prefetch, false, None);
    let now = Instant::now();
    (1..=tags).for_each(|tag| unsettled.deliver(delivery(tag, None), now));
    unsettled
}

fn settle(
    unsettled: &mut Unsettled,
    tags: &[u64],
    settlement: Settlement,
    now: Instant,
) -> Vec<AckFrame> {
    let mut out = Vec::new();
    tags.iter()
        .for_each(|&tag| unsettled.settle(tag, settlement, now, &mut out));
    unsettled.flush(now, &mut out);
    out
}

#[test]
fn a_completed_prefix_is_one_frame() {
    let (mut unsettled, now) = (with_tags(100, 10), Instant::now());
    let out = settle(&mut unsettled, &[2, 3, 1], Settlement::Ack, now);
    assert_eq!(out, [ack(3, true)]);
    let out = settle(&mut unsettled, &[4], Settlement::Ack, now);
    assert_eq!(out, [ack(4, false)]);
    assert_eq!((unsettled.len(), unsettled.next_due()), (6, None));
}

#[test]
fn acks_after_a_straggler_are_held_back_for_a_limited_time() {
    let (mut unsettled, now) = (with_tags(100, 4), Instant::now());
    assert_eq!(settle(&mut unsettled, &[2, 4], Settlement::Ack, now), []);
    assert_eq!(unsettled.next_due(), Some(now + ACK_DELAY_MAX));
    let mut out = Vec::new();
    unsettled.flush(now + ACK_DELAY_MAX, &mut out);
    assert_eq!(out, [ack(2, false), ack(4, false)]);
    assert_eq!(unsettled.next_due(), None);
    // The prefix includes what was acknowledged already.
    let out = settle(
        &mut unsettled,
        &[1, 3],
        Settlement::Ack,
        now + ACK_DELAY_MAX,
    );
    assert_eq!(out, [ack(3, true)]);
}

#[test]
fn a_straggler_never_fills_the_prefetch_window() {
    let (mut unsettled, now) = (with_tags(8, 8), Instant::now());
    assert_eq!(settle(&mut unsettled, &[2], Settlement::Ack, now), []);
    let out = settle(&mut unsettled, &[3], Settlement::Ack, now);
    assert_eq!(out, [ack(2, false), ack(3, false)]);
}

#[test]
fn a_failure_is_requeued_after_its_pause_and_delays_no_other() {
    let (mut unsettled, now) = (with_tags(100, 3), Instant::now());
    let pause = Duration::from_secs(1);
    let out = settle(&mut unsettled, &[1], Settlement::RequeueAfter(pause), now);
    assert_eq!(out, []);
    assert_eq!(settle(&mut unsettled, &[2], Settlement::Ack, now), []);
    let mut out = Vec::new();
    unsettled.flush(now + ACK_DELAY_MAX, &mut out);
    assert_eq!(out, [ack(2, false)]);
    assert_eq!(unsettled.next_due(), Some(now + pause));
    out.clear();
    unsettled.flush(now + pause, &mut out);
    assert_eq!(out, [nack(1, true)]);
    assert_eq!(
        settle(&mut unsettled, &[3], Settlement::Reject, now),
        [nack(3, false)]
    );
    assert_eq!(unsettled.len(), 0);
}

#[test]
fn a_pause_ends_before_the_consumer_timeout_and_is_reported_once() {
    let second = Duration::from_secs(1);
    let (mut unsettled, begun) = (
        Unsettled::new(100, false, Some(10 * second)),
        Instant::now(),
    );
    (1..=2).for_each(|tag| unsettled.deliver(delivery(tag, None), begun));
    let now = begun + 4 * second;
    let pause = Settlement::RequeueAfter(120 * second);
    assert_eq!(settle(&mut unsettled, &[1], pause, now), []);
    assert_eq!(unsettled.next_due(), Some(begun + 10 * second));
    let shortened = ShortenedPause {
        requested: 120 * second,
        actual: 6 * second,
    };
    assert_eq!(
        (
            unsettled.take_shortened_pause(),
            unsettled.take_shortened_pause()
        ),
        (Some(shortened), None)
    );
    assert_eq!(
        unsettled.oldest(now),
        Some(OldestUnsettled::Paused(4 * second))
    );
    // A message that was in the pipeline for longer than the limit goes back at once.
    let late = begun + 11 * second;
    let out = settle(&mut unsettled, &[2], pause, late);
    assert_eq!(out, [nack(1, true), nack(2, true)]);
}

#[test]
fn a_message_can_wait_until_the_consumer_timeout_and_in_a_stream_not_at_all() {
    let (max, now) = (Duration::from_secs(60), Instant::now());
    let delay_max = |is_stream, pause_max, age| {
        let mut unsettled = Unsettled::new(100, is_stream, pause_max);
        unsettled.deliver(delivery(1, None), now);
        unsettled.delay_max(1, now + age)
    };
    assert_eq!(delay_max(false, Some(max), max / 4), Some(max / 4 * 3));
    assert_eq!(delay_max(false, Some(max), max), None);
    assert_eq!(delay_max(false, None, max), Some(Duration::MAX));
    assert_eq!(delay_max(true, None, max), None);
    assert_eq!(with_tags(100, 1).delay_max(2, now), None, "it is settled");
}

#[test]
fn a_withdrawn_delivery_stays_unsettled_and_is_not_in_the_pipeline() {
    let (mut unsettled, now) = (with_tags(100, 3), Instant::now());
    unsettled.withdraw(2);
    assert_eq!(
        settle(&mut unsettled, &[1, 3], Settlement::Ack, now),
        [ack(1, false)]
    );
    assert_eq!(unsettled.in_pipeline(), 0);
    let mut out = Vec::new();
    unsettled.finish(&mut out);
    assert_eq!(out, [ack(3, false)]);
    assert_eq!(unsettled.len(), 1);
}

#[test]
fn closing_waits_for_no_pause() {
    let (mut unsettled, now) = (with_tags(100, 3), Instant::now());
    let pause = Settlement::RequeueAfter(Duration::from_secs(3_600));
    assert_eq!(settle(&mut unsettled, &[2], pause, now), []);
    assert_eq!(settle(&mut unsettled, &[3], Settlement::Ack, now), []);
    let mut out = Vec::new();
    unsettled.finish(&mut out);
    assert_eq!(out, [nack(2, true), ack(3, false)]);
    assert_eq!(unsettled.len(), 1);
}

#[test]
fn a_stream_is_read_again_from_the_oldest_that_did_not_succeed() {
    let (mut unsettled, now) = (Unsettled::new(100, true, None), Instant::now());
    assert_eq!(unsettled.resume_offset(), None);
    (1..=4).for_each(|tag| unsettled.deliver(delivery(tag, Some(100 + 2 * tag)), now));
    assert_eq!(unsettled.resume_offset(), Some(102));
    settle(&mut unsettled, &[1, 2, 4], Settlement::Ack, now);
    assert_eq!(unsettled.resume_offset(), Some(106));
    let pause = Duration::from_secs(1);
    settle(&mut unsettled, &[3], Settlement::RequeueAfter(pause), now);
    let mut out = Vec::new();
    unsettled.flush(now + pause, &mut out);
    assert_eq!(out.first(), Some(&AckFrame::Reopen));
    assert_eq!(unsettled.resume_offset(), Some(106));
}

#[test]
fn a_stream_that_succeeded_is_read_on_after_its_last() {
    let (mut unsettled, now) = (Unsettled::new(100, true, None), Instant::now());
    (1..=4).for_each(|tag| unsettled.deliver(delivery(tag, Some(tag)), now));
    settle(&mut unsettled, &[1, 2, 3, 4], Settlement::Ack, now);
    assert_eq!(unsettled.resume_offset(), Some(5));
}

#[test]
fn a_rejected_message_of_a_stream_is_passed_over() {
    let (mut unsettled, now) = (Unsettled::new(100, true, None), Instant::now());
    unsettled.deliver(delivery(1, Some(7)), now);
    let out = settle(&mut unsettled, &[1], Settlement::Reject, now);
    assert_eq!(
        (out, unsettled.resume_offset()),
        (vec![ack(1, false)], Some(8))
    );
}

/// A step of a run: deliver some messages, settle the picked ones, and wait.
#[derive(Debug, Clone)]
struct SettleStep {
    deliver: u64,
    pick: Vec<usize>,
    settlement: Settlement,
    wait_ms: u64,
}

fn steps() -> impl Strategy<Value = Vec<SettleStep>> {
    let settlement = prop_oneof![
        6 => Just(Settlement::Ack),
        1 => Just(Settlement::Reject),
        1 => Just(Settlement::Requeue),
        1 => (0_u64..200).prop_map(|ms| Settlement::RequeueAfter(Duration::from_millis(ms))),
    ];
    let pick = prop::collection::vec(any::<usize>(), 0..6);
    let step =
        (0_u64..6, pick, settlement, 0_u64..80).prop_map(|(deliver, pick, settlement, wait_ms)| {
            SettleStep {
                deliver,
                pick,
                settlement,
                wait_ms,
            }
        });
    prop::collection::vec(step, 1..60)
}

/// The model broker: the unsettled tags, and the settled ones. An unknown tag, for which a broker closes the channel, fails the test.
#[derive(Default)]
struct ModelBroker {
    out: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    requeued: BTreeSet<u64>,
    rejected: BTreeSet<u64>,
}

impl ModelBroker {
    fn receive(&mut self, frame: AckFrame) {
        match frame {
            AckFrame::Ack { tag, multiple } => {
                assert!(self.out.remove(&tag), "{tag} is unknown");
                self.acked.insert(tag);
                if multiple {
                    let later = self.out.split_off(&tag);
                    self.acked.append(&mut self.out);
                    self.out = later;
                }
            }
            AckFrame::Nack { tag, requeue } => {
                assert!(self.out.remove(&tag), "{tag} is unknown");
                let into = if requeue {
                    &mut self.requeued
                } else {
                    &mut self.rejected
                };
                into.insert(tag);
            }
            AckFrame::Reopen => panic!("this is not a stream"),
        }
    }
}

proptest! {
    /// The broker receives the settlement of each message once, in time, and none of a message in the pipeline.
    #[test]
    fn the_broker_receives_the_settlement_of_each_once(
        prefetch in 1_u16..40,
        pause_max in prop::option::of(0_u64..150),
        steps in steps(),
    ) {
        let pause_max = pause_max.map(Duration::from_millis);
        let (mut unsettled, mut broker) = (Unsettled::new(prefetch, false, pause_max), ModelBroker::default());
        let (mut now, mut tag) = (Instant::now(), 0);
        let mut open = Vec::new();
        let (mut acked, mut requeued, mut rejected) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut frames = Vec::new();
        for step in steps {
            for _ in 0..step.deliver {
                tag += 1;
                unsettled.deliver(delivery(tag, None), now);
                broker.out.insert(tag);
                open.push(tag);
            }
            for pick in step.pick {
                if open.is_empty() {
                    break;
                }
                let tag = open.swap_remove(pick % open.len());
                unsettled.settle(tag, step.settlement, now, &mut frames);
                match step.settlement {
                    Settlement::Ack => acked.insert(tag),
                    Settlement::Reject => rejected.insert(tag),
                    Settlement::Requeue | Settlement::RequeueAfter(_) => requeued.insert(tag),
                };
            }
            unsettled.flush(now, &mut frames);
            now += Duration::from_millis(step.wait_ms);
            if unsettled.next_due().is_some_and(|due| due <= now) {
                unsettled.flush(now, &mut frames);
            }
            frames.drain(..).for_each(|frame| broker.receive(frame));
            prop_assert!(broker.acked.is_subset(&acked));
            prop_assert!(open.iter().all(|tag| broker.out.contains(tag)));
            let held = acked.len() - broker.acked.len();
            prop_assert!(held < usize::from(prefetch / 4).max(1), "{held} are held back");
            prop_assert_eq!(unsettled.len(), broker.out.len());
            prop_assert_eq!(unsettled.in_pipeline(), open.len());
            // A paused message is requeued before the consumer timeout.
            if let (Some(OldestUnsettled::Paused(age)), Some(max)) = (unsettled.oldest(now), pause_max) {
                prop_assert!(age <= max, "{age:?}");
            }
            prop_assert!(unsettled.next_due().is_none_or(|due| due > now));
        }
        unsettled.finish(&mut frames);
        frames.drain(..).for_each(|frame| broker.receive(frame));
        prop_assert_eq!(&broker.acked, &acked);
        prop_assert_eq!(&broker.requeued, &requeued);
        prop_assert_eq!(&broker.rejected, &rejected);
        prop_assert_eq!(broker.out, open.into_iter().collect::<BTreeSet<_>>());
    }
}

#[test]
fn the_oldest_is_the_one_sent_first_of_those_with_a_time() {
    let (mut unsettled, now) = (Unsettled::new(100, false, None), Instant::now());
    assert_eq!(
        (unsettled.oldest_sent_secs(), unsettled.last_tag()),
        (None, 0)
    );
    for (tag, sent_secs) in [(1, None), (2, Some(70)), (3, Some(50)), (4, Some(60))] {
        let offset = None;
        unsettled.deliver(
            NewDelivery {
                tag,
                offset,
                sent_secs,
            },
            now,
        );
    }
    assert_eq!(
        (unsettled.oldest_sent_secs(), unsettled.last_tag()),
        (Some(50), 4)
    );
    settle(&mut unsettled, &[3], Settlement::Reject, now);
    assert_eq!(
        (unsettled.oldest_sent_secs(), unsettled.last_tag()),
        (Some(60), 4)
    );
}
