//! One run: topologies one after the other over one queue, until every id has ended.

use std::{sync::Arc, time::Duration};

use broadway_core::{
    Batching, Callback, DeadLetters, OnDrain, Pipeline, Processors, Topology,
    testing::{Fault, MemoryQueue},
};

use crate::{
    audit::Audit,
    figures::Figures,
    ledger::Ledger,
    letters::Letters,
    plan::{Dice, IDS, Plan},
    tap::{Order, Tap},
    worker::Worker,
};

/// Far longer than any run takes; on paused time, one that hangs is over at once all the same.
const PATIENCE: Duration = Duration::from_secs(30 * 86_400);

pub(crate) fn run(seed: u64) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(Run::new(seed).go())
}

struct Run {
    dice: Dice,
    plan: Arc<Plan>,
    ledger: Arc<Ledger>,
    letters: Letters,
    queue: MemoryQueue<Order>,
    published: u64,
    figures: Figures,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let plan = Arc::new(Plan::new(&mut dice));
        let ledger = Arc::new(Ledger::default());
        Self {
            letters: Letters::new(&plan, &ledger, Dice(seed ^ 0xDEAD)),
            plan,
            ledger,
            dice,
            queue: MemoryQueue::new().deliveries_max(u32::MAX),
            published: 0,
            figures: Figures::default(),
        }
    }

    async fn go(mut self) -> Figures {
        for _ in 0..self.plan.kills {
            let topology = self.start().await;
            self.feed(IDS / (self.plan.kills as u64 + 1)).await;
            tokio::time::sleep(self.dice.ms(1_500)).await;
            self.end_early(topology).await;
            self.ledger.next_topology();
        }
        let topology = self.start().await;
        self.feed(IDS).await;
        let ended = tokio::time::timeout(PATIENCE, self.queue.wait_ended()).await;
        assert!(ended.is_ok(), "never settled: {:?}", self.queue.left());
        let totals = topology.drain().await.expect("a drain with nothing to do");
        assert_eq!(totals.in_flight(), 0, "{totals:?}");
        assert!(self.queue.given_up().is_empty());
        self.queue.feed().assert_contract();
        self.figures
            .add(&Audit::of(&self.plan, &self.ledger.take()).figures());
        self.figures
    }

    async fn start(&mut self) -> Topology<Order> {
        loop {
            // A fault that was planned for the topology before may meet this one.
            match self.pipeline().start().await {
                Ok(topology) => return topology,
                Err(error) => assert!(error.to_string().contains("no route"), "{error}"),
            }
        }
    }

    fn pipeline(&mut self) -> Pipeline<Tap, DeadLetters<Worker, Letters>> {
        let (plan, dice) = (&self.plan, &mut self.dice);
        let worker = Worker {
            plan: Arc::clone(plan),
            ledger: Arc::clone(&self.ledger),
        };
        let source = Tap {
            inner: self.queue.source(),
            ledger: Arc::clone(&self.ledger),
            is_slow: plan.settles_slowly,
        };
        let mut processors = Processors::<Order>::new(dice.size(8)).max_demand(dice.size(20));
        if plan.by_key {
            processors = processors.partition_by(|message| message.data().key);
        }
        if dice.one_in(2) {
            processors = processors.in_flight(8 + dice.size(60));
        }
        let (size, timeout, concurrency) = (dice.size(12), dice.ms(200), dice.size(4));
        let [of_message, of_batch] = plan.policies.map(|policy| policy.retry());
        let mut pipeline = Pipeline::new(source, DeadLetters::of(worker, self.letters.clone()))
            .producers(plan.producers)
            .processors(processors)
            .batchers(|_| {
                let batching = Batching::new(size, timeout).concurrency(concurrency);
                batching.on_failure(of_batch.clone())
            })
            .on_failure(of_message)
            .drain_timeout(PATIENCE);
        if dice.one_in(3) {
            pipeline = pipeline.waiting_max(dice.size(30));
        }
        if dice.one_in(3) {
            pipeline = pipeline.in_flight_max(dice.size(60));
        }
        if dice.one_in(2) {
            pipeline = pipeline.on_drain(OnDrain::Finish);
        }
        pipeline
    }

    /// Publishes about this many of the ids that are left, while things go wrong.
    async fn feed(&mut self, count: u64) {
        let end = IDS.min(self.published + count);
        while self.published < end {
            let next = end.min(self.published + 1 + self.dice.below(200));
            for id in self.published..next {
                let key = self.plan.fate(id).key;
                self.queue
                    .publish(move |delivery| Order::new(id, key, delivery));
            }
            self.published = next;
            self.disturb();
            tokio::time::sleep(self.dice.ms(300)).await;
        }
    }

    fn disturb(&mut self) {
        let faults = self.queue.feed().faults();
        match self.dice.below(6) {
            0 | 1 => {
                self.letters.cut(self.dice.ms(60_000));
                self.figures.cuts += 1;
            }
            2 => faults.next(Callback::Settle, Fault::error("broker away")),
            3 => faults.next(Callback::Produce, Fault::error("connection lost")),
            4 => faults.next(Callback::Open, Fault::error("no route")),
            _ => {}
        }
    }

    /// Kills a topology, or gives it little time to drain. What it did not settle comes back.
    async fn end_early(&mut self, topology: Topology<Order>) {
        match self.dice.one_in(3) {
            true => {
                self.figures.drains += 1;
                // It may time out: its handlers hang, and so may the dead letters.
                let _ = topology.drain_within(self.dice.ms(2_000)).await;
            }
            false => {
                self.figures.kills += 1;
                let _ = topology.abort().await;
            }
        }
        drop(topology);
        self.figures.came_back += self.queue.redeliver_unsettled() as u64;
    }
}
