//! Tests of [`Settlement`]: single rules, and a simulated flow with held windows.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::machine::barriers::Barriers;

fn settled(settlement: &mut Settlement<u32>) -> Vec<u32> {
    let mut out = Vec::new();
    settlement.settleable(&mut out);
    out
}

#[test]
fn an_epoch_is_settled_once_every_worker_has_reported_it() {
    let mut settlement = Settlement::new();
    settlement.workers(2);
    settlement.deliver([1, 2]);
    settlement.open();
    settlement.deliver([3]);
    assert_eq!((settlement.len(), settlement.oldest()), (3, Some(Epoch(0))));
    settlement.report(0, Epoch(0), Epoch::NONE);
    assert_eq!(settled(&mut settlement), [0_u32; 0]);
    settlement.report(1, Epoch(0), Epoch::NONE);
    assert_eq!(settled(&mut settlement), [1, 2]);
    assert_eq!((settlement.len(), settlement.oldest()), (1, Some(Epoch(1))));
}

#[test]
fn an_epoch_that_a_worker_holds_is_not_settled() {
    let mut settlement = Settlement::new();
    settlement.workers(2);
    for token in 0..3 {
        settlement.deliver([token]);
        settlement.open();
    }
    settlement.report(0, Epoch(2), Epoch(1));
    settlement.report(1, Epoch(2), Epoch::NONE);
    assert_eq!(settled(&mut settlement), [0]);
}

#[test]
fn a_newer_barrier_counts_only_once_it_is_complete() {
    let mut settlement = Settlement::new();
    settlement.workers(2);
    settlement.deliver([0]);
    settlement.open();
    settlement.open();
    settlement.report(0, Epoch(0), Epoch(0));
    settlement.report(0, Epoch(1), Epoch::NONE);
    settlement.report(1, Epoch(0), Epoch::NONE);
    assert_eq!(
        settled(&mut settlement),
        [0_u32; 0],
        "the result may be on its way"
    );
    settlement.report(1, Epoch(1), Epoch(0));
    assert_eq!(
        settled(&mut settlement),
        [0_u32; 0],
        "the second worker holds it"
    );
    settlement.open();
    settlement.report(1, Epoch(2), Epoch::NONE);
    settlement.report(0, Epoch(2), Epoch::NONE);
    assert_eq!(settled(&mut settlement), [0]);
    assert!(settlement.is_empty());
}

#[test]
fn the_current_epoch_is_settled_at_the_end_only() {
    let mut settlement = Settlement::new();
    settlement.workers(1);
    settlement.open();
    settlement.report(0, Epoch(0), Epoch::NONE);
    settlement.deliver([7]);
    assert_eq!(settled(&mut settlement), [0_u32; 0]);
    settlement.finish();
    assert_eq!(settled(&mut settlement), [7]);
}

#[test]
#[should_panic = "barriers increase"]
fn a_barrier_reported_twice_panics() {
    let mut settlement = Settlement::<u32>::new();
    settlement.workers(2);
    settlement.open();
    settlement.report(0, Epoch(0), Epoch::NONE);
    settlement.report(0, Epoch(0), Epoch::NONE);
}

/// An event or a result: the tokens it is made of, and their oldest epoch.
#[derive(Debug, Clone)]
struct Item {
    tokens: Vec<u32>,
    since: Epoch,
}

#[derive(Debug)]
enum Message {
    Item(Item),
    Barrier(Epoch),
}

/// A worker that holds items until a window closes, at random.
struct Worker {
    inputs: Vec<VecDeque<Message>>,
    barriers: Barriers,
    held: Vec<Item>,
    /// The workers downstream and the number of this input there; none if the results are output.
    downstream: Vec<(usize, usize)>,
    /// Output, but not confirmed.
    unconfirmed: VecDeque<Item>,
    confirmed: usize,
    output: usize,
    /// Reports that wait for the outputs before them, and for their way to the source.
    reports: VecDeque<(usize, Epoch, Epoch)>,
}

struct Flow {
    workers: Vec<Worker>,
    /// The number of workers in the first stage.
    first: usize,
    settlement: Settlement<u32>,
    sent: u32,
    current: Epoch,
    /// The tokens that are somewhere in the flow, one for each copy.
    pending: Vec<u32>,
    settled: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Send(usize),
    Barrier,
    /// A worker processes a message of an input.
    Process(usize, usize),
    /// A worker closes a window with this many items, and sends the result to one worker downstream.
    Close(usize, usize, usize),
    Confirm(usize),
    Report(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let any = 0..100usize;
    prop_oneof![
        3 => any.clone().prop_map(Step::Send),
        2 => Just(Step::Barrier),
        8 => (any.clone(), any.clone()).prop_map(|(worker, input)| Step::Process(worker, input)),
        4 => (any.clone(), 1..4usize, any.clone()).prop_map(|(worker, n, to)| Step::Close(worker, n, to)),
        3 => any.clone().prop_map(Step::Confirm),
        4 => any.prop_map(Step::Report),
    ]
}

impl Flow {
    /// A flow of stages with this many workers each. Every worker of a stage is an input of every worker of the next one.
    fn new(stages: &[usize]) -> Self {
        let mut workers = Vec::new();
        for (n, size) in stages.iter().enumerate() {
            let inputs = if n == 0 { 1 } else { stages[n - 1] };
            let next = workers.len() + size;
            for place in 0..*size {
                let below = stages.get(n + 1).copied().unwrap_or(0);
                workers.push(Worker {
                    inputs: (0..inputs).map(|_| VecDeque::new()).collect(),
                    barriers: Barriers::new(inputs),
                    held: Vec::new(),
                    downstream: (next..next + below).map(|worker| (worker, place)).collect(),
                    unconfirmed: VecDeque::new(),
                    confirmed: 0,
                    output: 0,
                    reports: VecDeque::new(),
                });
            }
        }
        let mut settlement = Settlement::new();
        settlement.workers(workers.len());
        Self {
            workers,
            first: stages[0],
            settlement,
            sent: 0,
            current: Epoch(0),
            pending: Vec::new(),
            settled: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        let count = self.workers.len();
        match step {
            Step::Send(to) => self.send(to % self.first),
            Step::Barrier => self.barrier(),
            Step::Process(worker, input) => self.process(worker % count, input),
            Step::Close(worker, n, to) => self.close(worker % count, n, to),
            Step::Confirm(worker) => self.confirm(worker % count),
            Step::Report(worker) => self.report(worker % count),
        }
    }

    fn send(&mut self, to: usize) {
        let token = self.sent;
        self.sent += 1;
        self.settlement.deliver([token]);
        self.pending.push(token);
        self.workers[to].inputs[0].push_back(Message::Item(Item {
            tokens: vec![token],
            since: self.current,
        }));
    }

    fn barrier(&mut self) {
        for worker in &mut self.workers[..self.first] {
            worker.inputs[0].push_back(Message::Barrier(self.current));
        }
        self.current = self.settlement.open();
    }

    fn process(&mut self, n: usize, input: usize) {
        let worker = &mut self.workers[n];
        let input = input % worker.inputs.len();
        if worker.barriers.is_blocked(input) {
            return;
        }
        match worker.inputs[input].pop_front() {
            None => {}
            Some(Message::Item(item)) => worker.held.push(item),
            Some(Message::Barrier(epoch)) => {
                let Some(complete) = worker.barriers.barrier(input, epoch) else {
                    return;
                };
                let holds = worker.held.iter().map(|item| item.since).min();
                let report = (worker.output, complete, holds.unwrap_or(Epoch::NONE));
                worker.reports.push_back(report);
                for (next, input) in worker.downstream.clone() {
                    self.workers[next].inputs[input].push_back(Message::Barrier(complete));
                }
            }
        }
    }

    fn close(&mut self, n: usize, items: usize, to: usize) {
        let worker = &mut self.workers[n];
        if worker.held.is_empty() {
            return;
        }
        let closed: Vec<Item> = worker.held.drain(..items.min(worker.held.len())).collect();
        let result = Item {
            since: closed
                .iter()
                .map(|item| item.since)
                .min()
                .expect("some are held"),
            tokens: closed.into_iter().flat_map(|item| item.tokens).collect(),
        };
        if worker.downstream.is_empty() {
            worker.output += 1;
            worker.unconfirmed.push_back(result);
        } else {
            let (next, input) = worker.downstream[to % worker.downstream.len()];
            self.workers[next].inputs[input].push_back(Message::Item(result));
        }
    }

    fn confirm(&mut self, n: usize) {
        let worker = &mut self.workers[n];
        if let Some(output) = worker.unconfirmed.pop_front() {
            worker.confirmed += 1;
            self.pending.retain(|token| !output.tokens.contains(token));
        }
    }

    /// A report arrives at the source, once the outputs before it are confirmed.
    fn report(&mut self, n: usize) {
        let worker = &mut self.workers[n];
        if worker
            .reports
            .front()
            .is_some_and(|(output, ..)| *output <= worker.confirmed)
        {
            let (_, barrier, holds) = worker.reports.pop_front().expect("there is a report");
            self.settlement.report(n, barrier, holds);
        }
    }

    /// Settles, and checks that nothing settled is still in the flow.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        let mut out = Vec::new();
        self.settlement.settleable(&mut out);
        for token in &out {
            prop_assert!(
                !self.pending.contains(token),
                "token {} settled too early",
                token
            );
        }
        self.settled.extend(out);
        prop_assert_eq!(
            self.settlement.len() + self.settled.len(),
            self.sent as usize
        );
        Ok(())
    }

    /// Lets every worker process, close, confirm and report all it has.
    fn drain(&mut self) {
        for n in 0..self.workers.len() {
            for _ in 0..300 {
                for input in 0..self.workers[n].inputs.len() {
                    self.process(n, input);
                }
                self.close(n, 1, 0);
                self.confirm(n);
            }
            for _ in 0..300 {
                self.report(n);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_token_is_settled_before_its_outputs_are_confirmed_and_all_are_in_the_end(
        stages in proptest::collection::vec(1..3usize, 1..4),
        steps in proptest::collection::vec(step(), 0..200),
        by_barrier in any::<bool>(),
    ) {
        let mut flow = Flow::new(&stages);
        for step in steps {
            flow.step(step);
            flow.settle()?;
        }
        flow.drain();
        prop_assert!(flow.pending.is_empty(), "everything is confirmed");
        if by_barrier {
            flow.barrier();
            flow.drain();
        } else {
            flow.settlement.finish();
        }
        flow.settle()?;
        prop_assert!(flow.settlement.is_empty());
        prop_assert_eq!(&flow.settled, &(0..flow.sent).collect::<Vec<_>>(), "in order, each once");
    }

    #[test]
    fn epochs_match_a_recomputation_from_all_reports(
        workers in 1..4usize,
        epochs in 1..6u64,
        reports in proptest::collection::vec((0..4usize, 0..8u64), 0..30),
    ) {
        let mut settlement = Settlement::new();
        settlement.workers(workers);
        for epoch in 0..epochs {
            settlement.deliver([epoch as u32]);
            settlement.open();
        }
        let mut all: Vec<Vec<(u64, u64)>> = vec![Vec::new(); workers];
        let mut seen = BTreeSet::new();
        for (worker, holds) in reports {
            let worker = worker % workers;
            let barrier = all[worker].len() as u64;
            if barrier >= epochs {
                continue;
            }
            // State at a barrier is made of events held at the barrier before, or newer ones.
            let before = all[worker].last().map_or(0, |(_, holds)| *holds);
            let holds = holds.max(before);
            all[worker].push((barrier, holds));
            settlement.report(worker, Epoch(barrier), Epoch(holds));
            let mut out = Vec::new();
            settlement.settleable(&mut out);
            seen.extend(out.into_iter().map(u64::from));
            let complete = all.iter().map(Vec::len).min().unwrap_or(0);
            let expected: BTreeSet<u64> = (0..epochs)
                .filter(|epoch| {
                    complete > *epoch as usize
                        && all.iter().all(|reports| reports[complete - 1].1 > *epoch)
                })
                .collect();
            prop_assert_eq!(&seen, &expected);
        }
    }
}
