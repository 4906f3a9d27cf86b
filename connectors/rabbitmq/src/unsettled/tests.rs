//! The ledger against a broker that is a set of tags, and by hand where a sentence of its documentation is at stake.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn ack(tag: u64, multiple: bool) -> AckFrame {
    AckFrame::Ack { tag, multiple }
}

fn nack(tag: u64, requeue: bool) -> AckFrame {
    AckFrame::Nack { tag, requeue }
}

fn arrival(tag: u64, offset: Option<u64>) -> NewDelivery {
    let sent = None;
    NewDelivery { tag, offset, sent }
}

fn ledger(prefetch: u16, tags: u64) -> Unsettled {
    let mut ledger = Unsettled::new(prefetch, false, None);
    let now = Instant::now();
    (1..=tags).for_each(|tag| ledger.delivered(arrival(tag, None), now));
    ledger
}

fn settle(ledger: &mut Unsettled, tags: &[u64], ending: Settlement, now: Instant) -> Vec<AckFrame> {
    let mut out = Vec::new();
    tags.iter()
        .for_each(|&tag| ledger.settle(tag, ending, now, &mut out));
    ledger.flush(now, &mut out);
    out
}

#[test]
fn a_completed_prefix_is_one_frame() {
    let (mut ledger, now) = (ledger(100, 10), Instant::now());
    let out = settle(&mut ledger, &[2, 3, 1], Settlement::Ack, now);
    assert_eq!(out, [ack(3, true)]);
    let out = settle(&mut ledger, &[4], Settlement::Ack, now);
    assert_eq!(out, [ack(4, false)]);
    assert_eq!((ledger.unsettled(), ledger.due()), (6, None));
}

#[test]
fn what_is_beyond_a_straggler_waits_for_it_but_not_for_ever() {
    let (mut ledger, now) = (ledger(100, 4), Instant::now());
    assert_eq!(settle(&mut ledger, &[2, 4], Settlement::Ack, now), []);
    assert_eq!(ledger.due(), Some(now + HELD_TIME));
    let mut out = Vec::new();
    ledger.flush(now + HELD_TIME, &mut out);
    assert_eq!(out, [ack(2, false), ack(4, false)]);
    assert_eq!(ledger.due(), None);
    // The prefix closes over what was told already.
    let out = settle(&mut ledger, &[1, 3], Settlement::Ack, now + HELD_TIME);
    assert_eq!(out, [ack(3, true)]);
}

#[test]
fn a_straggler_never_fills_the_prefetch_window() {
    let (mut ledger, now) = (ledger(8, 8), Instant::now());
    assert_eq!(settle(&mut ledger, &[2], Settlement::Ack, now), []);
    let out = settle(&mut ledger, &[3], Settlement::Ack, now);
    assert_eq!(out, [ack(2, false), ack(3, false)]);
}

#[test]
fn a_failure_is_requeued_after_its_pause_and_holds_nobody_up() {
    let (mut ledger, now) = (ledger(100, 3), Instant::now());
    let pause = Duration::from_secs(1);
    let out = settle(&mut ledger, &[1], Settlement::RequeueAfter(pause), now);
    assert_eq!(out, []);
    assert_eq!(settle(&mut ledger, &[2], Settlement::Ack, now), []);
    let mut out = Vec::new();
    ledger.flush(now + HELD_TIME, &mut out);
    assert_eq!(out, [ack(2, false)]);
    assert_eq!(ledger.due(), Some(now + pause));
    out.clear();
    ledger.flush(now + pause, &mut out);
    assert_eq!(out, [nack(1, true)]);
    assert_eq!(
        settle(&mut ledger, &[3], Settlement::Reject, now),
        [nack(3, false)]
    );
    assert_eq!(ledger.unsettled(), 0);
}

#[test]
fn a_pause_ends_before_the_broker_loses_its_patience_and_is_told_once() {
    let second = Duration::from_secs(1);
    let (mut ledger, begun) = (
        Unsettled::new(100, false, Some(10 * second)),
        Instant::now(),
    );
    (1..=2).for_each(|tag| ledger.delivered(arrival(tag, None), begun));
    let now = begun + 4 * second;
    let pause = Settlement::RequeueAfter(120 * second);
    assert_eq!(settle(&mut ledger, &[1], pause, now), []);
    assert_eq!(ledger.due(), Some(begun + 10 * second));
    let cut = ShortenedPause {
        asked: 120 * second,
        given: 6 * second,
    };
    assert_eq!((ledger.take_cut(), ledger.take_cut()), (Some(cut), None));
    assert_eq!(
        ledger.oldest(now),
        Some(OldestUnsettled::Pausing(4 * second))
    );
    // One that was in work for too long goes back at once.
    let late = begun + 11 * second;
    let out = settle(&mut ledger, &[2], pause, late);
    assert_eq!(out, [nack(1, true), nack(2, true)]);
}

#[test]
fn what_was_set_aside_stays_unsettled_and_is_not_in_work() {
    let (mut ledger, now) = (ledger(100, 3), Instant::now());
    ledger.set_aside(2);
    assert_eq!(
        settle(&mut ledger, &[1, 3], Settlement::Ack, now),
        [ack(1, false)]
    );
    assert_eq!(ledger.open(), 0);
    let mut out = Vec::new();
    ledger.finish(&mut out);
    assert_eq!(out, [ack(3, false)]);
    assert_eq!(ledger.unsettled(), 1);
}

#[test]
fn closing_waits_for_no_pause() {
    let (mut ledger, now) = (ledger(100, 3), Instant::now());
    let pause = Settlement::RequeueAfter(Duration::from_secs(3_600));
    assert_eq!(settle(&mut ledger, &[2], pause, now), []);
    assert_eq!(settle(&mut ledger, &[3], Settlement::Ack, now), []);
    let mut out = Vec::new();
    ledger.finish(&mut out);
    assert_eq!(out, [nack(2, true), ack(3, false)]);
    assert_eq!(ledger.unsettled(), 1);
}

#[test]
fn a_stream_is_read_again_from_the_oldest_that_did_not_succeed() {
    let (mut ledger, now) = (Unsettled::new(100, true, None), Instant::now());
    assert_eq!(ledger.resume(), None);
    (1..=4).for_each(|tag| ledger.delivered(arrival(tag, Some(100 + 2 * tag)), now));
    assert_eq!(ledger.resume(), Some(102));
    settle(&mut ledger, &[1, 2, 4], Settlement::Ack, now);
    assert_eq!(ledger.resume(), Some(106));
    let pause = Duration::from_secs(1);
    settle(&mut ledger, &[3], Settlement::RequeueAfter(pause), now);
    let mut out = Vec::new();
    ledger.flush(now + pause, &mut out);
    assert_eq!(out.first(), Some(&AckFrame::Reopen));
    assert_eq!(ledger.resume(), Some(106));
}

#[test]
fn a_stream_that_succeeded_is_read_on_after_its_last() {
    let (mut ledger, now) = (Unsettled::new(100, true, None), Instant::now());
    (1..=4).for_each(|tag| ledger.delivered(arrival(tag, Some(tag)), now));
    settle(&mut ledger, &[1, 2, 3, 4], Settlement::Ack, now);
    assert_eq!(ledger.resume(), Some(5));
}

#[test]
fn a_rejected_message_of_a_stream_is_passed_over() {
    let (mut ledger, now) = (Unsettled::new(100, true, None), Instant::now());
    ledger.delivered(arrival(1, Some(7)), now);
    let out = settle(&mut ledger, &[1], Settlement::Reject, now);
    assert_eq!((out, ledger.resume()), (vec![ack(1, false)], Some(8)));
}

/// A step of a run: settle the `pick`-th open message so, after a while.
#[derive(Debug, Clone)]
struct Step {
    deliver: u64,
    pick: Vec<usize>,
    ending: Settlement,
    wait_ms: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ending = prop_oneof![
        6 => Just(Settlement::Ack),
        1 => Just(Settlement::Reject),
        1 => Just(Settlement::Requeue),
        1 => (0_u64..200).prop_map(|ms| Settlement::RequeueAfter(Duration::from_millis(ms))),
    ];
    let pick = prop::collection::vec(any::<usize>(), 0..6);
    let step =
        (0_u64..6, pick, ending, 0_u64..80).prop_map(|(deliver, pick, ending, wait_ms)| Step {
            deliver,
            pick,
            ending,
            wait_ms,
        });
    prop::collection::vec(step, 1..60)
}

/// The broker: what it has out, and what became of the rest. A tag that it does not know closes the channel.
#[derive(Default)]
struct Broker {
    out: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    requeued: BTreeSet<u64>,
    rejected: BTreeSet<u64>,
}

impl Broker {
    fn hear(&mut self, frame: AckFrame) {
        match frame {
            AckFrame::Ack { tag, multiple } => {
                assert!(self.out.remove(&tag), "{tag} is not known");
                self.acked.insert(tag);
                if multiple {
                    let later = self.out.split_off(&tag);
                    self.acked.append(&mut self.out);
                    self.out = later;
                }
            }
            AckFrame::Nack { tag, requeue } => {
                assert!(self.out.remove(&tag), "{tag} is not known");
                let into = if requeue {
                    &mut self.requeued
                } else {
                    &mut self.rejected
                };
                into.insert(tag);
            }
            AckFrame::Reopen => panic!("this is no stream"),
        }
    }
}

proptest! {
    /// The broker learns of each message what became of it, once, in time, and never of one that is in work.
    #[test]
    fn the_broker_learns_what_became_of_each(
        prefetch in 1_u16..40,
        pause_max in prop::option::of(0_u64..150),
        steps in steps(),
    ) {
        let pause_max = pause_max.map(Duration::from_millis);
        let (mut ledger, mut broker) = (Unsettled::new(prefetch, false, pause_max), Broker::default());
        let (mut now, mut tag) = (Instant::now(), 0);
        let mut open = Vec::new();
        let (mut acked, mut requeued, mut rejected) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut frames = Vec::new();
        for step in steps {
            for _ in 0..step.deliver {
                tag += 1;
                ledger.delivered(arrival(tag, None), now);
                broker.out.insert(tag);
                open.push(tag);
            }
            for pick in step.pick {
                if open.is_empty() {
                    break;
                }
                let tag = open.swap_remove(pick % open.len());
                ledger.settle(tag, step.ending, now, &mut frames);
                match step.ending {
                    Settlement::Ack => acked.insert(tag),
                    Settlement::Reject => rejected.insert(tag),
                    Settlement::Requeue | Settlement::RequeueAfter(_) => requeued.insert(tag),
                };
            }
            ledger.flush(now, &mut frames);
            now += Duration::from_millis(step.wait_ms);
            if ledger.due().is_some_and(|due| due <= now) {
                ledger.flush(now, &mut frames);
            }
            frames.drain(..).for_each(|frame| broker.hear(frame));
            prop_assert!(broker.acked.is_subset(&acked));
            prop_assert!(open.iter().all(|tag| broker.out.contains(tag)));
            let held = acked.len() - broker.acked.len();
            prop_assert!(held < usize::from(prefetch / 4).max(1), "{held} are held back");
            prop_assert_eq!(ledger.unsettled(), broker.out.len());
            prop_assert_eq!(ledger.open(), open.len());
            // A message that pauses is given back before the broker loses its patience.
            if let (Some(OldestUnsettled::Pausing(age)), Some(max)) = (ledger.oldest(now), pause_max) {
                prop_assert!(age <= max, "{age:?}");
            }
            prop_assert!(ledger.due().is_none_or(|due| due > now));
        }
        ledger.finish(&mut frames);
        frames.drain(..).for_each(|frame| broker.hear(frame));
        prop_assert_eq!(&broker.acked, &acked);
        prop_assert_eq!(&broker.requeued, &requeued);
        prop_assert_eq!(&broker.rejected, &rejected);
        prop_assert_eq!(broker.out, open.into_iter().collect::<BTreeSet<_>>());
    }
}

#[test]
fn the_oldest_is_that_which_was_sent_first_of_those_that_say_so() {
    let (mut ledger, now) = (Unsettled::new(100, false, None), Instant::now());
    assert_eq!((ledger.oldest_sent(), ledger.last_tag()), (None, 0));
    for (tag, sent) in [(1, None), (2, Some(70)), (3, Some(50)), (4, Some(60))] {
        let offset = None;
        ledger.delivered(NewDelivery { tag, offset, sent }, now);
    }
    assert_eq!((ledger.oldest_sent(), ledger.last_tag()), (Some(50), 4));
    settle(&mut ledger, &[3], Settlement::Reject, now);
    assert_eq!((ledger.oldest_sent(), ledger.last_tag()), (Some(60), 4));
}
