//! The batcher against a model that searches lists, ten thousand runs each without and with a
//! splitter that keeps state.

use std::time::{Duration, Instant};

use broadway_core::machine::batcher::{
    BatchLimits, Batcher, ClosedBatch, NeverSplit, SplitDecision, Splitter, Trigger,
};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    /// Rises with every push.
    number: usize,
    value: u8,
}

#[derive(Clone, Debug)]
enum Step {
    Push {
        key: u8,
        value: u8,
        bytes: usize,
        flush: bool,
        /// How far behind the clock of this processor is.
        late: u64,
    },
    EndChunk,
    Wait(u64),
    /// As many as this, and not this key.
    Expire(usize, u8),
    Flush,
    Size(usize),
    Timeouts(u64, Option<u64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = (0..5u8, 0..8u8, 0..6usize, 0..8u8, 0..3u64).prop_map(
        |(key, value, bytes, flush, late)| Step::Push {
            key,
            value,
            bytes,
            flush: flush == 0,
            late,
        },
    );
    let step = prop_oneof![
        12 => push,
        3 => Just(Step::EndChunk),
        2 => (0..8u64).prop_map(Step::Wait),
        2 => (0..4usize, 0..8u8).prop_map(|(max, not)| Step::Expire(max, not)),
        1 => changes(),
    ];
    prop::collection::vec(step, 0..60)
}

/// What is changed while batches are open.
fn changes() -> impl Strategy<Value = Step> {
    let timeouts = (0..20u64, idle_timeout());
    prop_oneof![
        Just(Step::Flush),
        (1..6usize).prop_map(Step::Size),
        timeouts.prop_map(|(timeout, idle)| Step::Timeouts(timeout, idle)),
    ]
}

fn idle_timeout() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(0..8u64)
}

fn idle_of(millis: Option<u64>) -> Duration {
    millis.map_or(Duration::MAX, Duration::from_millis)
}

fn limits() -> impl Strategy<Value = BatchLimits> {
    let bytes = prop::option::of(1..12usize);
    let timeouts = (0..20u64, idle_timeout());
    (1..6usize, bytes, timeouts, 1..5usize, 1..10usize).prop_map(
        |(size, bytes, (timeout, idle), open_max, buffered_max)| BatchLimits {
            size,
            bytes,
            timeout: Duration::from_millis(timeout),
            idle_timeout: idle_of(idle),
            open_max,
            buffered_max,
        },
    )
}

/// Emits when the sum of a key reaches ten, carries the excess on, and refuses 7.
struct SumOfTen;

impl Splitter<Item> for SumOfTen {
    type State = u8;

    fn start(&self) -> u8 {
        0
    }

    fn split(&self, sum: &mut u8, item: &Item) -> SplitDecision {
        if item.value == 7 {
            return SplitDecision::Refuse;
        }
        *sum += item.value;
        if *sum < 10 {
            return SplitDecision::Continue;
        }
        *sum -= 10;
        SplitDecision::Emit
    }
}

struct Open {
    key: u8,
    items: Vec<Item>,
    bytes: usize,
    opened: Instant,
    /// When the last message came, while quiet periods count.
    last: Instant,
    /// Rises with the first message at each time.
    touched: usize,
    flush: Option<usize>,
}

type Delivered = (u8, Vec<Item>, usize, Trigger, Instant);

/// The same rules over plain lists.
struct Model<S: Splitter<Item>> {
    limits: BatchLimits,
    splitter: S,
    keeps_state: bool,
    /// In the order of opening.
    open: Vec<Open>,
    states: Vec<(u8, S::State)>,
    /// Keys with state and no batch, in the order their last batch left.
    idle: Vec<u8>,
    flushes: usize,
    touches: usize,
    latest: Option<Instant>,
    delivered: Vec<Delivered>,
}

impl<S: Splitter<Item>> Model<S> {
    fn position(&self, key: u8) -> Option<usize> {
        self.open.iter().position(|open| open.key == key)
    }

    fn buffered(&self) -> usize {
        self.open.iter().map(|open| open.items.len()).sum()
    }

    fn forget(&mut self, key: u8) {
        self.idle.retain(|&idle| idle != key);
        self.states.retain(|&(known, _)| known != key);
    }

    /// `stays`: the key is about to open its next batch.
    fn deliver(&mut self, at: usize, trigger: Trigger, stays: bool) {
        let open = self.open.remove(at);
        if self.keeps_state || stays {
            self.idle.push(open.key);
        } else {
            self.forget(open.key);
        }
        self.delivered
            .push((open.key, open.items, open.bytes, trigger, open.opened));
    }

    fn push(&mut self, key: u8, item: Item, bytes: usize, flush: bool, now: Instant) -> bool {
        match self.states.iter_mut().find(|(known, _)| *known == key) {
            Some((_, state)) => match self.splitter.split(state, &item) {
                SplitDecision::Refuse => return false,
                split => self.add(key, item, bytes, flush, now, split),
            },
            None => {
                let mut state = self.splitter.start();
                let split = self.splitter.split(&mut state, &item);
                if split == SplitDecision::Refuse {
                    return false;
                }
                self.make_room_for_a_key();
                self.states.push((key, state));
                self.add(key, item, bytes, flush, now, split);
            }
        }
        true
    }

    fn make_room_for_a_key(&mut self) {
        if self.states.len() < self.limits.open_max {
            return;
        }
        if self.idle.is_empty() {
            self.deliver(0, Trigger::Limit, true);
        }
        self.forget(self.idle[0]);
    }

    fn add(
        &mut self,
        key: u8,
        item: Item,
        bytes: usize,
        flush: bool,
        now: Instant,
        split: SplitDecision,
    ) {
        if let (Some(limit), Some(at)) = (self.limits.bytes, self.position(key))
            && self.open[at].bytes + bytes > limit
        {
            self.deliver(at, Trigger::Bytes, true);
        }
        if self.buffered() == self.limits.buffered_max {
            let stays = self.open[0].key == key;
            self.deliver(0, Trigger::Limit, stays);
        }
        // Every message of a batch of one has a time, and so has every message whose quiet period counts.
        let alone = self.limits.size == 1 && !self.keeps_state;
        if alone || self.counts_quiet() || self.position(key).is_none() {
            self.latest = Some(self.latest.map_or(now, |latest| latest.max(now)));
        }
        self.touches += 1;
        let (latest, touched) = (self.latest.unwrap_or(now), self.touches);
        let at = self.position(key).unwrap_or_else(|| {
            let opened = latest;
            self.idle.retain(|&idle| idle != key);
            self.open.push(Open {
                key,
                items: Vec::new(),
                bytes: 0,
                opened,
                last: opened,
                touched,
                flush: None,
            });
            self.open.len() - 1
        });
        if self.counts_quiet() && self.open[at].last != latest {
            self.open[at].last = latest;
            self.open[at].touched = touched;
        }
        let open = &mut self.open[at];
        open.items.push(item);
        open.bytes += bytes;
        if flush && open.flush.is_none() {
            open.flush = Some(self.flushes);
            self.flushes += 1;
        }
        if split == SplitDecision::Emit {
            self.deliver(at, Trigger::Split, false);
        } else if open.items.len() == self.limits.size {
            self.deliver(at, Trigger::Size, false);
        } else if self.limits.bytes.is_some_and(|limit| open.bytes >= limit) {
            self.deliver(at, Trigger::Bytes, false);
        }
    }

    fn end_chunk(&mut self) {
        let first_asked = |model: &Self| {
            let flushing = model.open.iter().enumerate();
            let flushing = flushing.filter_map(|(at, open)| Some((open.flush?, at)));
            flushing.min().map(|(_, at)| at)
        };
        while let Some(at) = first_asked(self) {
            self.deliver(at, Trigger::Flush, false);
        }
    }

    fn counts_quiet(&self) -> bool {
        self.limits.idle_timeout != Duration::MAX
    }

    /// When the batch is due, and why.
    fn due(&self, open: &Open) -> (Instant, Trigger) {
        let age = open.opened + self.limits.timeout;
        let idle = open.last.checked_add(self.limits.idle_timeout);
        match idle.filter(|idle| *idle < age) {
            Some(idle) => (idle, Trigger::Idle),
            None => (age, Trigger::Timeout),
        }
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let deadlines = self.open.iter().map(|open| self.due(open).0);
        deadlines.filter(|deadline| *deadline > now).min()
    }

    fn expire(&mut self, now: Instant, max: usize, not: u8) -> usize {
        for delivered in 0..max {
            let due = self.open.iter().enumerate().filter_map(|(at, open)| {
                let (deadline, trigger) = self.due(open);
                // Among those that are due for as long: by age first, in the order of opening; then in the order of the last messages.
                let order = match trigger {
                    Trigger::Idle => (1, open.touched),
                    _ => (0, at),
                };
                (deadline <= now && open.key != not).then_some((deadline, order, at, trigger))
            });
            let first = due.min_by_key(|(deadline, order, ..)| (*deadline, *order));
            let Some((_, _, at, trigger)) = first else {
                return delivered;
            };
            self.deliver(at, trigger, false);
        }
        max
    }

    fn flush(&mut self) -> usize {
        let open = self.open.len();
        while !self.open.is_empty() {
            self.deliver(0, Trigger::Flush, false);
        }
        open
    }

    fn set_size(&mut self, size: usize) {
        self.limits.size = size;
        while let Some(at) = self.open.iter().position(|open| open.items.len() >= size) {
            self.deliver(at, Trigger::Size, false);
        }
    }

    fn set_timeouts(&mut self, timeout: Duration, idle_timeout: Duration, now: Instant) {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        let begins = !self.counts_quiet() && idle_timeout != Duration::MAX;
        (self.limits.timeout, self.limits.idle_timeout) = (timeout, idle_timeout);
        if begins {
            for open in &mut self.open {
                self.touches += 1;
                (open.last, open.touched) = (now, self.touches);
            }
        }
    }
}

fn check<S: Splitter<Item>>(steps: &[Step], limits: &BatchLimits, splitter: fn() -> S) {
    let mut batcher: Batcher<u8, Vec<Item>, S> = Batcher::new(limits.clone(), splitter());
    let mut model = Model {
        limits: limits.clone(),
        splitter: splitter(),
        keeps_state: size_of::<S::State>() > 0,
        open: Vec::new(),
        states: Vec::new(),
        idle: Vec::new(),
        flushes: 0,
        touches: 0,
        latest: None,
        delivered: Vec::new(),
    };
    let mut now = Instant::now() + Duration::from_secs(1);
    let mut ready = Vec::new();
    let mut all: Vec<Delivered> = Vec::new();
    let mut pushed: Vec<(u8, Item)> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Push {
                key,
                value,
                bytes,
                flush,
                late,
            } => {
                let item = Item { number, value };
                let then = now - Duration::from_millis(late);
                // The short cut first, as the pipeline calls it.
                let short_cut = match flush {
                    true => None,
                    false => batcher.counted_in(&key, bytes, then, &mut ready),
                };
                let result = match short_cut {
                    Some(items) => {
                        items.push(item);
                        Ok(())
                    }
                    None => batcher.push(&key, item, bytes, flush, then, &mut ready),
                };
                let accepted = model.push(key, item, bytes, flush, then);
                assert_eq!(result, if accepted { Ok(()) } else { Err(item) });
                if accepted {
                    pushed.push((key, item));
                }
            }
            Step::EndChunk => {
                batcher.end_chunk(&mut ready);
                model.end_chunk();
            }
            Step::Wait(millis) => now += Duration::from_millis(millis),
            Step::Expire(max, not) => {
                let expired = batcher.expire(now, max, |key| *key != not, &mut ready);
                assert_eq!(expired, model.expire(now, max, not));
            }
            ref change => apply(change, now, &mut batcher, &mut model, &mut ready),
        }
        compare(&mut batcher, &mut model, &mut ready, &mut all);
        assert_eq!(batcher.next_deadline(now), model.deadline(now));
    }
    batcher.drain(&mut ready);
    while !model.open.is_empty() {
        model.deliver(0, Trigger::Drain, false);
    }
    compare(&mut batcher, &mut model, &mut ready, &mut all);
    check_nothing_lost(&pushed, &all);
}

/// Changes the batcher and its model alike.
fn apply<S: Splitter<Item>>(
    change: &Step,
    now: Instant,
    batcher: &mut Batcher<u8, Vec<Item>, S>,
    model: &mut Model<S>,
    ready: &mut Vec<ClosedBatch<u8, Vec<Item>>>,
) {
    match *change {
        Step::Size(size) => {
            batcher.set_size(size, ready);
            model.set_size(size);
        }
        Step::Timeouts(millis, idle) => {
            let (timeout, idle) = (Duration::from_millis(millis), idle_of(idle));
            batcher.set_timeouts(timeout, idle, now);
            model.set_timeouts(timeout, idle, now);
        }
        _ => assert_eq!(batcher.flush(ready), model.flush()),
    }
}

fn compare<S: Splitter<Item>>(
    batcher: &mut Batcher<u8, Vec<Item>, S>,
    model: &mut Model<S>,
    ready: &mut Vec<ClosedBatch<u8, Vec<Item>>>,
    all: &mut Vec<Delivered>,
) {
    let mut delivered = Vec::new();
    for mut batch in ready.drain(..) {
        let items = batch.items.clone();
        delivered.push((batch.key, items, batch.bytes, batch.trigger, batch.opened));
        batch.items.clear();
        batcher.recycle(batch.items);
    }
    assert_eq!(delivered, model.delivered);
    all.append(&mut model.delivered);
    assert_eq!(batcher.buffered(), model.buffered());
    assert_eq!(batcher.open(), model.open.len());
    assert_eq!(batcher.keys(), model.states.len());
    assert!(batcher.buffered() <= model.limits.buffered_max);
    assert!(batcher.keys() <= model.limits.open_max);
}

/// Says nothing about where batches end, only that their messages are those pushed, in order.
fn check_nothing_lost(pushed: &[(u8, Item)], all: &[Delivered]) {
    for key in 0..5 {
        let of_key = pushed.iter().filter(|(pushed, _)| *pushed == key);
        let expected: Vec<Item> = of_key.map(|&(_, item)| item).collect();
        let batches = all.iter().filter(|batch| batch.0 == key);
        let delivered: Vec<Item> = batches.flat_map(|batch| batch.1.clone()).collect();
        assert_eq!(delivered, expected, "messages of key {key}");
    }
    assert!(
        all.iter().all(|batch| !batch.1.is_empty()),
        "no empty batch"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn batches_keep_every_message_in_order_and_every_limit(
        steps in steps(),
        limits in limits(),
    ) {
        check(&steps, &limits, || NeverSplit);
    }

    #[test]
    fn a_splitter_with_state_changes_neither_order_nor_limits(
        steps in steps(),
        limits in limits(),
    ) {
        check(&steps, &limits, || SumOfTen);
    }
}
