//! Open batches and the processors that take them, against what anyone may expect of the two together: nothing is lost, order
//! and sizes hold, no processor is idle while a batch could go, the longest due goes first, and none waits for ever.

use std::{
    collections::VecDeque,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use broadway_core::machine::{
    batch_demand::BatchDemand,
    batcher::{BatchLimits, Batcher, ClosedBatch, NeverSplit, Trigger},
};
use proptest::prelude::*;

const KEYS: u8 = 6;
const SIZE: usize = 4;
const TIMEOUT: Duration = Duration::from_millis(5);

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Wait(u64),
    /// The processor of this number, if it has a batch, has handled it.
    End(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        // One key is hot: its full batches keep the processors busy.
        4 => Just(Step::Push(0)),
        4 => (0..KEYS).prop_map(Step::Push),
        2 => (1..4u64).prop_map(Step::Wait),
        3 => (0..4usize).prop_map(Step::End),
    ];
    prop::collection::vec(step, 0..200)
}

struct Sent {
    key: u8,
    items: Vec<usize>,
}

/// Where order is kept, batches of the first key, the hot one, are of messages without a key all the same.
fn lane(ordered: bool, key: u8) -> Option<NonZeroU64> {
    NonZeroU64::new(u64::from(key)).filter(|_| ordered)
}

/// The batcher, and a naive link with naive processors behind it.
struct Rig {
    batcher: Batcher<u8, Vec<usize>>,
    demand: BatchDemand,
    ordered: bool,
    now: Instant,
    queue: VecDeque<Sent>,
    /// The batch of each processor.
    in_hand: Vec<Option<Sent>>,
    /// In the order in which they were taken.
    taken: Vec<(u8, Vec<usize>)>,
    pushed: Vec<(u8, usize)>,
    /// When the open batch of each key was opened, and how many batches ended while it was due and could go.
    open: [Option<(Instant, usize)>; KEYS as usize],
}

impl Rig {
    fn new(ordered: bool, processors: usize) -> Self {
        let limits = BatchLimits {
            size: SIZE,
            bytes: None,
            timeout: TIMEOUT,
            idle_timeout: Duration::MAX,
            open_max: 100,
            buffered_max: 1_000,
        };
        let mut demand = BatchDemand::new();
        (0..processors).for_each(|_| demand.joined());
        Self {
            batcher: Batcher::new(limits, NeverSplit),
            demand,
            ordered,
            now: Instant::now(),
            queue: VecDeque::new(),
            in_hand: (0..processors).map(|_| None).collect(),
            taken: Vec::new(),
            pushed: Vec::new(),
            open: [None; KEYS as usize],
        }
    }

    fn lane(&self, key: u8) -> Option<NonZeroU64> {
        lane(self.ordered, key)
    }

    /// Whether batches of this key are on their way, where that matters.
    fn is_busy(&self, key: u8) -> bool {
        let in_hand = self.in_hand.iter().flatten();
        self.lane(key).is_some() && self.queue.iter().chain(in_hand).any(|sent| sent.key == key)
    }

    /// Due batches that could go, the longest due first.
    fn due(&self) -> Vec<u8> {
        let mut due: Vec<_> = (0..KEYS)
            .filter_map(|key| Some((self.open[usize::from(key)]?.0, key)))
            .filter(|&(opened, key)| opened + TIMEOUT <= self.now && !self.is_busy(key))
            .collect();
        due.sort_by_key(|&(opened, _)| opened);
        due.into_iter().map(|(_, key)| key).collect()
    }

    fn send(&mut self, ready: Vec<ClosedBatch<u8, Vec<usize>>>) {
        for batch in ready {
            let key = batch.key;
            if batch.trigger == Trigger::Timeout {
                let due = self.due();
                let longest = due.first().and_then(|key| self.open[usize::from(*key)]);
                let opened = longest.map(|(opened, _)| opened);
                assert_eq!(opened, Some(batch.opened), "the longest due goes first");
            }
            assert!((1..=SIZE).contains(&batch.items.len()));
            self.open[usize::from(key)] = None;
            self.demand.sent(self.lane(key));
            let items = batch.items;
            self.queue.push_back(Sent { key, items });
        }
        self.take();
    }

    /// Idle processors take what they may.
    fn take(&mut self) {
        for processor in 0..self.in_hand.len() {
            if self.in_hand[processor].is_some() {
                continue;
            }
            let keys: Vec<_> = self.in_hand.iter().flatten().map(|sent| sent.key).collect();
            let free = |sent: &Sent| self.lane(sent.key).is_none() || !keys.contains(&sent.key);
            let Some(at) = self.queue.iter().position(free) else {
                continue;
            };
            let sent = self.queue.remove(at).expect("it is there");
            self.taken.push((sent.key, sent.items.clone()));
            self.in_hand[processor] = Some(sent);
        }
    }

    fn expire(&mut self, max: usize) {
        let mut ready = Vec::new();
        let demand = &self.demand;
        let ordered = self.ordered;
        let may = |key: &u8| demand.may(lane(ordered, *key));
        self.batcher.expire(self.now, max, may, &mut ready);
        self.send(ready);
    }

    fn step(&mut self, number: usize, step: &Step) {
        match *step {
            Step::Push(key) => {
                let mut ready = Vec::new();
                let pushed = self
                    .batcher
                    .push(&key, number, 0, false, self.now, &mut ready);
                assert_eq!(pushed, Ok(()));
                self.pushed.push((key, number));
                self.open[usize::from(key)].get_or_insert((self.now, 0));
                self.send(ready);
                self.expire(self.demand.wanted());
            }
            Step::Wait(millis) => {
                self.now += Duration::from_millis(millis);
                self.expire(self.demand.wanted());
            }
            Step::End(processor) => self.end(processor),
        }
        let idle = self.in_hand.iter().any(Option::is_none);
        assert!(
            !idle || self.due().is_empty(),
            "a processor idles and a batch waits"
        );
    }

    fn end(&mut self, processor: usize) {
        let Some(sent) = self.in_hand.get_mut(processor).and_then(Option::take) else {
            return;
        };
        for key in self.due() {
            let (_, ends) = self.open[usize::from(key)].as_mut().expect("it is open");
            *ends += 1;
            assert!(*ends <= 2 * usize::from(KEYS), "key {key} starves");
        }
        let max = self.demand.ended(self.lane(sent.key));
        self.take();
        self.expire(max);
    }

    fn finish(mut self) {
        let mut ready = Vec::new();
        self.batcher.drain(&mut ready);
        self.send(ready);
        while self.in_hand.iter().any(Option::is_some) {
            (0..self.in_hand.len()).for_each(|processor| self.end(processor));
        }
        for key in 0..KEYS {
            let pushed = self.pushed.iter().filter(|(pushed, _)| *pushed == key);
            let pushed: Vec<_> = pushed.map(|&(_, item)| item).collect();
            let taken = self.taken.iter().filter(|(taken, _)| *taken == key);
            let taken: Vec<_> = taken.flat_map(|(_, items)| items.clone()).collect();
            assert_eq!(taken, pushed, "messages of key {key}");
        }
    }
}

fn check(ordered: bool, processors: usize, steps: &[Step]) {
    let mut rig = Rig::new(ordered, processors);
    for (number, step) in steps.iter().enumerate() {
        rig.step(number, step);
    }
    rig.finish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn due_batches_wait_for_a_free_processor_and_go_the_longest_due_first(
        steps in steps(),
        processors in 1..4usize,
    ) {
        check(false, processors, &steps);
    }

    #[test]
    fn with_order_due_batches_wait_for_their_lane_too(
        steps in steps(),
        processors in 1..4usize,
    ) {
        check(true, processors, &steps);
    }
}
