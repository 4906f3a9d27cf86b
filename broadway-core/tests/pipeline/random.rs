//! Thousands of random topologies against a ledger: whatever is done to one, every accepted message is settled once, with the outcome
//! that its handler intended, in order where order is guaranteed, and the totals add up.
//!
//! Time is paused, so a run of hours takes milliseconds. A failure names its seed: `SEED=17 cargo test random` runs that one
//! alone, and `RUNS=100000` sets the number of runs.

#[path = "random/load.rs"]
mod load;

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use broadway_core::{
    Batching, Callback, Outcome, Pipeline, Processors, RateLimit, Receipt, Retry, RunError,
    Topology,
    machine::restart::{Intensity, RestartPolicy},
    testing::{Fault, Feed, ManualSource, assert_order_per_key, manual_source},
};
use load::{Books, Fate, Load, Loader, NO_KEY, NO_SIZE};

use crate::common::Sink;

/// SplitMix64 (Steele, Lea, Flood): small, and the same everywhere.
pub(crate) struct Dice {
    state: u64,
    /// The duration that is used as a millisecond.
    unit: Duration,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            unit: PAUSED,
        }
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn size(&mut self, max: usize) -> usize {
        1 + self.below(max as u64) as usize
    }

    fn ms(&mut self, max: u64) -> Duration {
        self.unit * (1 + self.below(max) as u32)
    }
}

/// The duration that is used as a millisecond on paused time.
const PAUSED: Duration = Duration::from_millis(1);
/// The same on real time: shorter, so that a run is short.
const REAL: Duration = Duration::from_micros(10);

#[test]
fn every_message_is_settled_once_with_the_intended_outcome() {
    all_seeds(2_500, run_paused);
}

#[test]
fn every_message_is_settled_once_with_the_intended_outcome_on_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .expect("a runtime");
    all_seeds(200, |seed| {
        let run = runtime.spawn(Run::start(seed, REAL));
        runtime.block_on(run).expect("the run does not panic")
    });
}

fn all_seeds(runs: u64, run: impl Fn(u64) -> u64) {
    let runs = std::env::var("RUNS").map_or(runs, |runs| runs.parse().expect("RUNS is a number"));
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..runs,
    };
    let mut handled = 0;
    for seed in seeds {
        let run = catch_unwind(AssertUnwindSafe(|| run(seed)));
        handled += run.unwrap_or_else(|_| panic!("the run of SEED={seed} failed"));
    }
    assert!(handled > 0);
}

fn run_paused(seed: u64) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(Run::start(seed, PAUSED))
}

/// One random topology, and the facts about it.
struct Run {
    dice: Dice,
    books: Arc<Books>,
    feed: Feed<Load>,
    topology: Option<Topology<Load>>,
    by_key: bool,
    /// Order is kept per producer.
    ordered: bool,
    /// Pushed by the handle and accepted.
    pushed: Vec<(u64, Receipt)>,
    next_id: u64,
}

impl Run {
    async fn start(seed: u64, unit: Duration) -> u64 {
        let mut dice = Dice { state: seed, unit };
        let (mut source, feed) = manual_source::<Load>();
        if dice.one_in(3) {
            source = source.redelivers();
        }
        let (mut loader, books) = Loader::new(dice.below(5) == 0, unit);
        if dice.one_in(2) {
            loader.attempts = dice.size(4) as u32;
            loader.batch_attempts = dice.size(4) as u32;
        }
        let retries = [loader.attempts, loader.batch_attempts];
        let producers = dice.size(3);
        let by_key = dice.one_in(2);
        loader.keeps_order = by_key;
        let pipeline = options(
            Pipeline::new(source, loader),
            &mut dice,
            producers,
            by_key,
            retries,
        );
        let topology = Some(pipeline.start().await.expect("the options can work"));
        let mut run = Self {
            by_key,
            ordered: by_key && producers == 1,
            dice,
            books,
            feed,
            topology,
            pushed: Vec::new(),
            next_id: 0,
        };
        for _ in 0..run.dice.size(40) {
            run.step().await;
        }
        let ended = run.end().await;
        run.check(ended).await
    }

    fn topology(&self) -> &Topology<Load> {
        self.topology.as_ref().expect("dropped at the end only")
    }

    fn load(&mut self, key_base: u64) -> Load {
        self.next_id += 1;
        let load = Load::random(self.next_id, key_base, &mut self.dice);
        self.books.made(&load);
        load
    }

    async fn step(&mut self) {
        match self.dice.below(22) {
            0..8 => {
                let n = self.dice.size(20);
                let loads: Vec<_> = (0..n).map(|_| self.load(0)).collect();
                loads.iter().for_each(|load| self.books.fed(load.id));
                let _receipts = self.feed.push_all(loads);
            }
            8..10 => self.push().await,
            10..13 => tokio::time::sleep(self.dice.ms(1_500)).await,
            13..15 => tokio::task::yield_now().await,
            15 => self.feed.fail("connection lost"),
            16 => self.topology().pause(),
            17 => self.topology().resume(),
            18 => self.feed.make_stale(),
            19 | 20 => self.resize(),
            _ => self.disturb(),
        }
    }

    /// Pushes messages with keys of their own, since order is per producer.
    async fn push(&mut self) {
        let n = self.dice.size(9);
        let loads: Vec<_> = (0..n).map(|_| self.load(1_000)).collect();
        let ids: Vec<_> = loads.iter().map(|load| load.id).collect();
        // Refused when a producer has given up.
        if let Ok(receipts) = self.topology().push(loads).await {
            self.pushed.extend(ids.into_iter().zip(receipts));
        }
    }

    /// Changes what can be changed while the topology runs. Some changes are refused, as sizes above `buffered_max`.
    fn resize(&mut self) {
        let name = if self.dice.one_in(2) { "one" } else { "two" };
        let (what, n) = (self.dice.below(7), self.dice.size(8));
        let time = self.dice.ms(2_000);
        let topology = self.topology();
        let batcher = topology.batcher(name).expect("the name of a sink");
        let _ = match what {
            0 | 1 => topology.set_processors(n),
            2 => batcher.set_concurrency(n).map(drop),
            3 => batcher.set_size(n).map(drop),
            4 => batcher.set_timeout(time).map(drop),
            5 => batcher.set_idle_timeout(time).map(drop),
            _ => {
                topology.flush();
                Ok(())
            }
        };
    }

    fn disturb(&mut self) {
        let plan = self.feed.faults().clone();
        match self.dice.below(5) {
            0 => plan.next(Callback::Settle, Fault::error("broker away")),
            1 => plan.next(Callback::Settle, Fault::panic("broken pipe")),
            2 => plan.next(Callback::Produce, Fault::panic("bug")),
            3 => plan.next(Callback::Open, Fault::error("no route")),
            _ => {
                let (messages, interval) = (self.dice.size(50), self.dice.ms(500));
                let reset = self.dice.one_in(2);
                let limit = RateLimit::per(messages, interval);
                // On real time a first limit would make the run long.
                if self.topology().rate_limit().is_none() && self.dice.unit == REAL {
                    return;
                }
                let _ = match reset {
                    true => self.topology().reset_rate_limit(limit),
                    false => self.topology().set_rate_limit(limit),
                };
            }
        }
    }

    /// Ends the topology in one of four ways.
    async fn end(&mut self) -> Result<(), RunError> {
        match self.dice.below(4) {
            0 => self.topology().drain().await.map(drop),
            1 => {
                self.feed.end();
                self.topology().resume();
                self.topology().wait().await.map(drop)
            }
            2 => self.topology().abort().await.map(drop),
            _ => {
                let totals = self.topology().drain().await;
                assert_eq!(totals.is_ok(), self.topology().drain().await.is_ok());
                totals.map(drop)
            }
        }
    }

    async fn check(mut self, ended: Result<(), RunError>) -> u64 {
        self.feed.assert_contract();
        let orderly = matches!(ended, Ok(()) | Err(RunError::Producer { .. }));
        if orderly {
            self.feed.assert_settled_once();
        } else {
            let aborted = matches!(ended, Err(RunError::Aborted { .. }));
            assert!(aborted, "{ended:?}, left: {:?}", self.feed.unsettled());
        }
        let totals = self.topology().totals();
        self.topology = None;
        let mut counts = [0_u64; 3];
        for settled in self.feed.take_groups().iter().flatten() {
            let id = self.books.id_of_feed(settled.token.number());
            counts[self.books.check(id, &settled.outcome)] += 1;
        }
        let accepted = self.feed.delivered() as u64 + self.pushed.len() as u64;
        for (id, receipt) in std::mem::take(&mut self.pushed) {
            match receipt.outcome().await {
                Some(outcome) => counts[self.books.check(id, &outcome)] += 1,
                None => assert!(!orderly, "a pushed message was lost"),
            }
        }
        assert_eq!([totals.done, totals.failed, totals.released], counts);
        assert_eq!(totals.received, accepted);
        assert!(!orderly || totals.in_flight() == 0, "{totals:?}");
        if self.by_key {
            self.books.assert_no_overlap();
        }
        if self.ordered {
            assert_order_per_key(without_retries(self.books.handled()));
            assert_order_per_key(without_retries(self.books.batched()));
        }
        totals.received
    }
}

/// Leaves out the further attempts at messages.
fn without_retries<K>(handled: Vec<(K, u64)>) -> Vec<(K, u64)> {
    let mut seen = HashSet::new();
    let is_first = |(_, id): &(K, u64)| seen.insert(*id);
    handled.into_iter().filter(is_first).collect()
}

fn options(
    pipeline: Pipeline<ManualSource<Load>, Loader>,
    dice: &mut Dice,
    producers: usize,
    by_key: bool,
    [attempts, batch_attempts]: [u32; 2],
) -> Pipeline<ManualSource<Load>, Loader> {
    let max_demand = dice.size(12);
    let mut processors = Processors::<Load>::new(dice.size(6))
        .max_demand(max_demand)
        .min_demand(dice.below(max_demand as u64) as usize);
    if by_key {
        processors = processors.partition_by(|message| {
            assert!(message.data().key != NO_KEY, "no key");
            message.data().key
        });
    }
    if dice.one_in(3) {
        let in_flight = 6 + dice.size(20);
        processors = processors.in_flight(in_flight);
    }
    let pause = dice.ms(3_000);
    let retry = move |attempts| Retry::exponential(pause, pause * 4).attempts(attempts);
    let batchings = [batching(dice), batching(dice)];
    let mut batchings = [Some(batchings[0]), Some(batchings[1])];
    let options = std::sync::Mutex::new(&mut batchings);
    let mut pipeline = pipeline
        .producers(producers)
        .processors(processors)
        .batchers(|sink| {
            let plain = options.lock().expect("no panic")[usize::from(sink == Sink::Two)].take();
            let batching = plain.expect("asked once for each").build();
            batching.on_failure(retry(batch_attempts))
        })
        .on_failure(retry(attempts))
        .waiting_max(dice.size(30));
    if dice.one_in(3) && dice.unit == PAUSED {
        pipeline = pipeline.rate_limit(RateLimit::per(dice.size(40), dice.ms(1_000)));
    }
    let intensity = dice.one_in(4).then_some(Intensity {
        restarts_max: 2,
        window: dice.unit * 5_000,
    });
    let mut policy = RestartPolicy::default()
        .first(dice.unit * 200)
        .max(dice.unit * 30_000)
        .healthy_after(dice.unit * 60_000);
    policy.intensity = intensity;
    let pipeline = pipeline.restart(policy);
    // Far longer than any run takes; on paused time a run that hangs is over at once all the same.
    let days = if dice.unit == PAUSED { 30 } else { 1 };
    pipeline.drain_timeout(Duration::from_secs(86_400 * days))
}

#[derive(Clone, Copy)]
struct Plain {
    size: usize,
    timeout: Duration,
    bytes: Option<usize>,
    concurrency: usize,
    open_max: usize,
    buffered: usize,
}

fn batching(dice: &mut Dice) -> Plain {
    Plain {
        size: dice.size(10),
        timeout: dice.ms(2_000),
        bytes: dice.one_in(3).then(|| dice.size(30)),
        concurrency: dice.size(3),
        open_max: dice.size(8),
        buffered: dice.size(20),
    }
}

impl Plain {
    fn build(self) -> Batching<Load> {
        let batching = Batching::new(self.size, self.timeout)
            .concurrency(self.concurrency)
            .open_max(self.open_max)
            .buffered_max(self.size + self.buffered);
        match self.bytes {
            None => batching,
            Some(bytes) => batching.bytes(bytes, |load: &Load| {
                assert!(load.fate != Fate::Batch(NO_SIZE), "no size");
                (load.id % 7) as usize
            }),
        }
    }
}

/// 0 done, 1 failed, 2 released.
pub(crate) fn index_of(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Done => 0,
        Outcome::Failed(_) => 1,
        _ => 2,
    }
}
