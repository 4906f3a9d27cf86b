//! Histories of a store on a device with faults, against a model that keeps a list of all messages.
//!
//! No threads: the test commits and works in their place, so each history is the same each time. `QUEUE_HISTORIES` sets how many are tried.

mod trial;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

use self::trial::Trial;
use crate::storage::memory::Fault;

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// This many calls of this many messages, in one commit.
    Publish(usize, usize),
    Take(usize),
    Done(usize),
    Failed(usize),
    Acks,
    /// The n-th commit from now fails, and its writes are there when the store is opened again, or not.
    FailCommit(usize, Fault, bool),
    FailReads(usize),
    /// The device has room for this many more bytes.
    Fill(u64),
    Empty,
    /// The power is lost. The device keeps this number of the commits that were not synced.
    Crash(usize),
    Kill,
    Reopen,
    FlipBit(usize, usize, usize, bool),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![Just(Fault::Full), Just(Fault::Failed)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..4_usize, 1..6_usize).prop_map(|(calls, n)| Step::Publish(calls, n)),
        6 => (1..12_usize).prop_map(Step::Take),
        8 => (0..30_usize).prop_map(Step::Done),
        3 => (0..30_usize).prop_map(Step::Failed),
        5 => Just(Step::Acks),
        2 => (0..3_usize, fault(), any::<bool>()).prop_map(|(n, fault, stays)| Step::FailCommit(n, fault, stays)),
        1 => (1..4_usize).prop_map(Step::FailReads),
        1 => (0..2_000_u64).prop_map(Step::Fill),
        2 => Just(Step::Empty),
        2 => (0..4_usize).prop_map(Step::Crash),
        2 => Just(Step::Kill),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..40)
}

fn histories(default: u32) -> Config {
    let cases = std::env::var("QUEUE_HISTORIES")
        .ok()
        .and_then(|n| n.parse().ok());
    Config {
        cases: cases.unwrap_or(default),
        ..Config::default()
    }
}

/// Whatever fails, and whenever the power goes, a confirmed message is delivered unless it was settled, and one whose settlement was written is not
/// delivered again.
#[test]
fn no_confirmed_message_is_lost_and_no_acknowledged_one_repeated() {
    let mut runner = TestRunner::new(histories(400));
    let result = runner.run(
        &(steps(), any::<bool>(), any::<bool>()),
        |(steps, is_ordered, is_synced)| {
            let mut trial = Trial::new(is_ordered, is_synced);
            for step in &steps {
                trial.step(step);
            }
            trial.finish();
            Ok(())
        },
    );
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// A flipped bit costs at most what is reported as lost, or the store is not opened. Nothing else than what was published is ever delivered.
#[test]
fn every_flipped_bit_is_found() {
    let flips = vec(
        (
            any::<usize>(),
            any::<usize>(),
            any::<usize>(),
            any::<bool>(),
        ),
        1..4,
    );
    let mut runner = TestRunner::new(histories(400));
    let result = runner.run(
        &(steps(), flips, any::<bool>()),
        |(steps, flips, is_ordered)| {
            let mut trial = Trial::new(is_ordered, true);
            for step in &steps {
                trial.step(step);
            }
            trial.reopen();
            for (space, index, bit, is_noticed) in flips {
                trial.step(&Step::FlipBit(space, index, bit, is_noticed));
            }
            trial.finish();
            Ok(())
        },
    );
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// A source that opens while the last member leaves must not be left with a group of its own, beside the group of the next one.
#[test]
fn a_group_that_a_producer_has_is_not_made_again_when_its_last_member_leaves() {
    Trial::new(true, true).share_a_group();
}
