//! The machine against a naive model, which keeps a list of all records.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

const LIMITS: Limits = Limits {
    span_max: 1_000,
    waiting_max: 500,
    lease_max: 60_000,
    deliveries_max: Some(3),
};

#[derive(Debug, Clone)]
enum Step {
    Offer(usize),
    Gap(u64),
    TakeDue(usize),
    Done(usize),
    Failed(usize, Millis),
    Returned(usize),
    Wait(Millis),
    /// The process ends, with what the last snapshot has.
    Restart,
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..5_usize).prop_map(Step::Offer),
        1 => (1..4_u64).prop_map(Step::Gap),
        3 => (1..5_usize).prop_map(Step::TakeDue),
        6 => (0..20_usize).prop_map(Step::Done),
        3 => ((0..20_usize), 0..5_000_u64).prop_map(|(n, after)| Step::Failed(n, after)),
        1 => (0..20_usize).prop_map(Step::Returned),
        2 => (1..30_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        2 => Just(Step::Snapshot),
    ];
    vec(step, 1..120)
}

/// What must be true of each record, kept without cleverness.
#[derive(Debug, Clone, Default)]
struct Fate {
    settled: bool,
    /// The holder, if one may have it.
    held: Option<Lease>,
    key: u64,
}

struct Trial {
    machine: Delivery,
    is_ordered: bool,
    now: Millis,
    fates: BTreeMap<u64, Fate>,
    next: u64,
    held: Vec<Lease>,
    kept: Snapshot,
    /// Settled when the snapshot was taken.
    kept_settled: Vec<u64>,
    dead: usize,
}

impl Trial {
    fn new(is_ordered: bool) -> Self {
        Self {
            machine: Delivery::restore(&Snapshot::default(), 0, is_ordered, LIMITS),
            is_ordered,
            now: 1_000,
            fates: BTreeMap::new(),
            next: 0,
            held: Vec::new(),
            kept: Snapshot::default(),
            kept_settled: Vec::new(),
            dead: 0,
        }
    }

    fn delivered(&mut self, offered: Offered) {
        match offered {
            Offered::Deliver(lease) => {
                let fate = self.fates.get(&lease.offset).expect("it exists");
                assert!(!fate.settled, "{lease:?} is settled");
                assert!(
                    fate.held.is_none_or(|held| self.machine.is_stale(held)),
                    "{lease:?} has two holders"
                );
                let key = fate.key;
                if self.is_ordered && key != 0 {
                    // No record of a lane is given while an earlier one of it waits after a failure.
                    let waits = |earlier: &u64, fate: &Fate| {
                        fate.key == key
                            && !fate.settled
                            && fate.held.is_none_or(|held| self.machine.is_stale(held))
                            && *earlier < lease.offset
                    };
                    let earlier = self.fates.iter().find(|(offset, fate)| waits(offset, fate));
                    assert!(earlier.is_none(), "{lease:?} overtakes {earlier:?}");
                }
                self.fates.get_mut(&lease.offset).expect("it exists").held = Some(lease);
                self.held.push(lease);
            }
            Offered::Exhausted(lease) => {
                assert!(lease.delivery > 3);
                assert_eq!(
                    self.machine.settle(lease, Ended::Done, self.now),
                    Settlement::Accepted
                );
                self.fates
                    .get_mut(&lease.offset)
                    .expect("it exists")
                    .settled = true;
                self.dead += 1;
            }
            Offered::Hold => assert!(self.is_ordered),
        }
    }

    fn settle(&mut self, index: usize, ended: Ended) {
        if self.held.is_empty() {
            return;
        }
        let lease = self.held.swap_remove(index % self.held.len());
        let was_stale = self.machine.is_stale(lease);
        let settlement = self.machine.settle(lease, ended, self.now);
        assert_eq!(settlement == Settlement::Late, was_stale);
        if was_stale {
            return;
        }
        let fate = self.fates.get_mut(&lease.offset).expect("it exists");
        match settlement {
            Settlement::Exhausted => {
                assert!(lease.delivery >= 3);
                assert_eq!(
                    self.machine.settle(lease, Ended::Done, self.now),
                    Settlement::Accepted
                );
                fate.settled = true;
                self.dead += 1;
            }
            _ => fate.settled = ended == Ended::Done,
        }
        if self.is_ordered
            && settlement == Settlement::Accepted
            && matches!(ended, Ended::Failed { .. })
        {
            self.repeat_behind(lease.offset);
        }
        assert!(
            self.machine.is_stale(lease),
            "{lease:?} can be settled twice"
        );
    }

    /// Leases that end count as failures.
    fn expire(&mut self) {
        let held: Vec<_> = self
            .held
            .iter()
            .copied()
            .filter(|lease| !self.machine.is_stale(*lease))
            .collect();
        self.machine.expire(self.now);
        for lease in held {
            if self.is_ordered && self.machine.is_stale(lease) {
                self.repeat_behind(lease.offset);
            }
        }
    }

    /// After a failure, the later records of its key are handled again, also those that are done.
    fn repeat_behind(&mut self, failed: u64) {
        let key = self.fates[&failed].key;
        let cursor = self.machine.cursor();
        for (_, fate) in self.fates.range_mut(failed + 1..cursor.max(failed + 1)) {
            if key != 0 && fate.key == key && fate.settled {
                fate.settled = false;
                fate.held = None;
            }
        }
    }

    fn offer(&mut self, n: usize) {
        for _ in 0..n {
            if !self.machine.has_room() {
                return;
            }
            // As a reader does: from the cursor on, what exists.
            let cursor = self.machine.cursor();
            let known = self
                .fates
                .range(cursor..)
                .next()
                .map(|(offset, fate)| (*offset, fate.key));
            let (offset, key) = known.unwrap_or_else(|| {
                let offset = self.next.max(cursor);
                let key = offset * 7 % 4;
                self.fates.insert(
                    offset,
                    Fate {
                        key,
                        ..Fate::default()
                    },
                );
                self.next = offset + 1;
                (offset, key)
            });
            let key = (key != 0).then_some(key);
            if let Some(offered) = self.machine.offer(offset, key, self.now) {
                self.delivered(offered);
            }
        }
    }

    fn restart(&mut self) {
        // Those that were settled since the snapshot come again.
        for (offset, fate) in &mut self.fates {
            fate.settled = self.kept_settled.contains(offset);
            fate.held = None;
        }
        self.held.clear();
        let bytes = self.kept.encode();
        let kept = Snapshot::decode(&bytes).expect("it was just written");
        self.machine = Delivery::restore(&kept, 0, self.is_ordered, LIMITS);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Offer(n) => self.offer(n),
            Step::Gap(n) => self.next += n,
            Step::TakeDue(n) => {
                for offered in self.machine.take_due(n, self.now) {
                    self.delivered(offered);
                }
            }
            Step::Done(n) => self.settle(n, Ended::Done),
            Step::Failed(n, after) => self.settle(n, Ended::Failed { after }),
            Step::Returned(n) => self.settle(n, Ended::Returned { after: 0 }),
            Step::Wait(time) => {
                self.now += time;
                self.expire();
            }
            Step::Restart => self.restart(),
            Step::Snapshot => {
                self.kept = self.machine.snapshot();
                let settled = self.fates.iter().filter(|(_, fate)| fate.settled);
                self.kept_settled = settled.map(|(offset, _)| *offset).collect();
            }
        }
        let first = self
            .fates
            .iter()
            .find(|(_, fate)| !fate.settled)
            .map(|(offset, _)| *offset);
        let bound = first.unwrap_or(self.next);
        assert!(
            self.machine.watermark() <= bound,
            "{bound} is not settled, and is below the watermark"
        );
    }

    /// Everything is delivered and settled in the end.
    fn finish(&mut self) {
        for _ in 0..2_000 {
            self.now += 100_000;
            self.expire();
            for offered in self.machine.take_due(100, self.now) {
                self.delivered(offered);
            }
            if self.fates.range(self.machine.cursor()..).next().is_some() {
                self.offer(100);
            }
            while !self.held.is_empty() {
                self.settle(0, Ended::Done);
            }
            if self.fates.values().all(|fate| fate.settled) {
                assert_eq!(self.machine.watermark(), self.machine.cursor());
                assert_eq!(self.machine.next_at(), None, "nothing is left to wait for");
                return;
            }
        }
        panic!(
            "never delivered: {:?}",
            self.fates.iter().find(|(_, fate)| !fate.settled)
        );
    }
}

proptest! {
    #[test]
    fn every_record_has_one_holder_and_is_settled_in_the_end(steps in steps(), is_ordered: bool) {
        let mut trial = Trial::new(is_ordered);
        for step in &steps {
            trial.step(step);
        }
        trial.finish();
    }
}

fn machine(is_ordered: bool) -> Delivery {
    Delivery::restore(&Snapshot::default(), 0, is_ordered, LIMITS)
}

/// A lease as a record gets it that fails each time.
fn lease(offset: u64, delivery: u32) -> Lease {
    turn(offset, delivery, delivery - 1)
}

fn turn(offset: u64, delivery: u32, turn: u32) -> Lease {
    Lease {
        offset,
        delivery,
        turn,
    }
}

#[test]
fn a_failed_record_comes_again_after_its_pause() {
    let mut machine = machine(false);
    assert_eq!(
        machine.offer(0, None, 0),
        Some(Offered::Deliver(lease(0, 1)))
    );
    let failed = Ended::Failed { after: 500 };
    assert_eq!(
        machine.settle(lease(0, 1), failed, 100),
        Settlement::Accepted
    );
    assert_eq!(machine.next_at(), Some(600));
    assert_eq!(machine.take_due(10, 599), []);
    assert_eq!(machine.take_due(10, 600), [Offered::Deliver(lease(0, 2))]);
    assert_eq!(
        machine.settle(lease(0, 1), Ended::Done, 700),
        Settlement::Late
    );
    assert_eq!(
        machine.settle(lease(0, 2), Ended::Done, 700),
        Settlement::Accepted
    );
    assert_eq!(machine.watermark(), 1);
}

#[test]
fn a_failure_holds_back_the_later_records_of_its_key_alone() {
    let mut machine = machine(true);
    for (offset, key) in [(0, 1), (1, 2), (2, 1)] {
        machine.offer(offset, Some(key), 0);
    }
    machine.settle(lease(0, 1), Ended::Failed { after: 0 }, 0);
    assert!(machine.is_stale(lease(2, 1)), "its holder lost it");
    assert!(!machine.is_stale(lease(1, 1)));
    assert_eq!(machine.offer(3, Some(1), 0), Some(Offered::Hold));
    assert_eq!(
        machine.offer(4, Some(2), 0),
        Some(Offered::Deliver(lease(4, 1)))
    );
    assert_eq!(
        machine.take_due(10, 0),
        [Offered::Deliver(lease(0, 2))],
        "one of a key at a time"
    );
    machine.settle(lease(0, 2), Ended::Done, 0);
    assert_eq!(machine.take_due(10, 0), [Offered::Deliver(turn(2, 1, 1))]);
    machine.settle(turn(2, 1, 1), Ended::Done, 0);
    assert_eq!(machine.take_due(10, 0), [Offered::Deliver(turn(3, 1, 1))]);
}

#[test]
fn a_record_that_fails_too_often_is_exhausted() {
    let mut machine = machine(false);
    machine.offer(0, None, 0);
    for delivery in 1..3 {
        let settlement = machine.settle(lease(0, delivery), Ended::Failed { after: 0 }, 0);
        assert_eq!(settlement, Settlement::Accepted);
        assert_eq!(
            machine.take_due(1, 0),
            [Offered::Deliver(lease(0, delivery + 1))]
        );
    }
    let settlement = machine.settle(lease(0, 3), Ended::Failed { after: 0 }, 0);
    assert_eq!(settlement, Settlement::Exhausted);
    assert!(
        !machine.is_stale(lease(0, 3)),
        "it is still leased, to be moved"
    );
}

#[test]
fn a_lease_that_ends_is_given_to_another_holder() {
    let mut machine = machine(false);
    machine.offer(0, None, 0);
    assert_eq!(machine.expire(59_999), 0);
    assert_eq!(machine.expire(60_000), 1);
    assert!(machine.is_stale(lease(0, 1)));
    assert_eq!(machine.take_due(1, 60_000), [Offered::Deliver(lease(0, 2))]);
}

#[test]
fn a_returned_record_does_not_count_as_a_failure() {
    let mut machine = machine(false);
    machine.offer(0, None, 0);
    for holder in 0..10 {
        machine.settle(turn(0, 1, holder), Ended::Returned { after: 0 }, 0);
        let next = turn(0, 1, holder + 1);
        assert_eq!(machine.take_due(1, 0), [Offered::Deliver(next)]);
    }
}

#[test]
fn a_record_that_ends_the_process_each_time_is_exhausted() {
    let mut kept = Snapshot::default();
    for _ in 0..3 {
        let mut machine = Delivery::restore(&kept, 0, false, LIMITS);
        let offered = machine
            .offer(0, None, 0)
            .into_iter()
            .chain(machine.take_due(1, 0));
        assert!(matches!(
            offered.collect::<Vec<_>>()[..],
            [Offered::Deliver(_)]
        ));
        kept = machine.snapshot();
    }
    let mut machine = Delivery::restore(&kept, 0, false, LIMITS);
    let exhausted = Offered::Exhausted(turn(0, 4, 0));
    assert_eq!(machine.offer(0, None, 0), Some(exhausted));
}

#[test]
fn offsets_near_the_largest_do_not_overflow() {
    let start = u64::MAX - 10;
    let mut machine = Delivery::restore(&Snapshot::at(start), 0, true, LIMITS);
    for offset in start..start + 5 {
        assert_eq!(
            machine.offer(offset, Some(1), 0),
            Some(Offered::Deliver(lease(offset, 1)))
        );
        machine.settle(lease(offset, 1), Ended::Done, 0);
    }
    assert_eq!(machine.watermark(), start + 5);
}

#[test]
fn what_was_done_before_an_earlier_record_of_its_key_failed_is_done_again_behind_it() {
    let mut machine = machine(true);
    for (offset, key) in [(0, 1), (1, 1), (2, 2)] {
        machine.offer(offset, Some(key), 0);
    }
    machine.settle(lease(1, 1), Ended::Done, 0);
    machine.settle(lease(2, 1), Ended::Done, 0);
    machine.settle(lease(0, 1), Ended::Failed { after: 0 }, 0);
    assert_eq!(machine.take_due(10, 0), [Offered::Deliver(lease(0, 2))]);
    machine.settle(lease(0, 2), Ended::Done, 0);
    assert_eq!(machine.take_due(10, 0), [Offered::Deliver(turn(1, 1, 1))]);
    machine.settle(turn(1, 1, 1), Ended::Done, 0);
    assert_eq!(machine.watermark(), 3, "other keys are not repeated");
}

#[test]
fn records_that_were_returned_come_in_their_place_after_a_restart() {
    let mut machine = machine(false);
    for offset in 0..3 {
        machine.offer(offset, None, 0);
        let returned = Ended::Returned { after: 0 };
        let settled = machine.settle(lease(offset, 1), returned, 100);
        assert_eq!(settled, Settlement::Accepted);
    }
    let kept = machine.snapshot();
    let mut machine = Delivery::restore(&kept, 0, false, LIMITS);
    for offset in 0..5 {
        let offered = machine.offer(offset, None, 200);
        assert!(
            matches!(offered, Some(Offered::Deliver(lease)) if lease.offset == offset && lease.delivery == 1),
            "{offset}: {offered:?}"
        );
    }
    assert_eq!(machine.next_at(), None);
}
