//! Runs a plan, and checks its ledger.

use std::{collections::BTreeSet, time::Duration};

use broadway_core::stage::Subscription;
use futures_util::FutureExt;
use tokio::time::{sleep, timeout};

use super::{
    nodes::{self, Node},
    plan::{Action, Demanding, Dispatching, Plan, Wish},
    stages::{Entries, Ledger, Middle, Sink, Source, Stage, Subscribed, Worker},
};

/// On paused time: longer than everything in a plan takes.
const LONG: Duration = Duration::from_secs(3_600);

struct Run {
    nodes: Vec<Node>,
    producing: usize,
    ledger: Ledger,
    subscriptions: Vec<(usize, Subscription)>,
}

pub(super) async fn run(plan: &Plan) {
    let mut run = Run::start(plan).await;
    let began = tokio::time::Instant::now();
    for (at, action) in &plan.actions {
        tokio::time::sleep_until(began + Duration::from_millis(*at)).await;
        run.act(action);
    }
    for node in &run.nodes {
        (node.forward)(true);
    }
    sleep(LONG).await;
    run.check_that_nothing_waits();
    for (number, node) in run.nodes.iter().enumerate() {
        let stopped = timeout(LONG, (node.stop)()).await;
        assert!(stopped.is_ok(), "stage {number} does not stop");
    }
    for number in 0..run.producing {
        run.check_stage(number).await;
    }
    let faults = &run.ledger.open().faults;
    assert!(faults.is_empty(), "{faults:?}");
}

impl Run {
    async fn start(plan: &Plan) -> Self {
        let ledger = Ledger::default();
        let mut nodes = Vec::new();
        for (making, sending) in &plan.producers {
            let source = Source {
                number: nodes.len(),
                making: making.clone(),
                ledger: ledger.clone(),
                later: 0,
            };
            nodes.push(nodes::source(source, sending).await);
        }
        let worker = |number, working: &super::plan::Working| Worker {
            number,
            working: working.clone(),
            ledger: ledger.clone(),
        };
        for (working, sending) in &plan.middles {
            let middle = Middle(worker(nodes.len(), working));
            nodes.push(nodes::middle(middle, sending).await);
        }
        let producing = nodes.len();
        for working in &plan.sinks {
            let sink = Sink(worker(nodes.len(), working));
            nodes.push(nodes::sink(sink).await);
        }
        let sending = plan.producers.iter().map(|(_, sending)| sending);
        let sending = sending.chain(plan.middles.iter().map(|(_, sending)| sending));
        let dispatching = sending.map(|sending| Some(sending.dispatching));
        let stages = dispatching.chain(plan.sinks.iter().map(|_| None));
        let stages = stages.map(|dispatching| Stage {
            dispatching,
            ..Stage::default()
        });
        ledger.open().stages = stages.collect();
        let mut run = Self {
            nodes,
            producing,
            ledger,
            subscriptions: Vec::new(),
        };
        let middles = plan.middles.iter().map(|(working, _)| working);
        for (index, working) in middles.chain(&plan.sinks).enumerate() {
            for wish in &working.wishes {
                run.subscribe(plan.producers.len() + index, wish, true, None);
            }
        }
        run
    }

    fn subscribe(&mut self, consumer: usize, wish: &Wish, early: bool, old: Option<&Subscription>) {
        let Some(subscribe) = &self.nodes[consumer].subscribe else {
            return;
        };
        let above = consumer.min(self.producing);
        let producer = above - 1 - wish.back % above;
        // A partition may be taken, and the consumer may have ended.
        if let Ok(subscription) = subscribe(&self.nodes[producer].wished(wish)) {
            let ledger = &self.ledger;
            ledger.subscribed(subscription.id(), producer, Some(consumer), wish, early);
            if let Some(old) = old {
                self.cancel(old);
            }
            self.subscriptions.push((consumer, subscription));
        }
    }

    fn cancel(&self, subscription: &Subscription) {
        let cancelled = subscription.cancel();
        let entries = &mut *self.ledger.open();
        let known = entries.subscriptions.get_mut(&subscription.id());
        known.expect("it was entered when it was made").cancelled |= cancelled;
    }

    fn act(&mut self, action: &Action) {
        let stages = self.nodes.len();
        match action {
            Action::Cancel(n) => {
                if let Some((_, subscription)) = self.pick(*n) {
                    self.cancel(&subscription);
                }
            }
            Action::Subscribe(n, wish) => self.subscribe(n % stages, wish, false, None),
            Action::Resubscribe(n, wish) => {
                if let Some((consumer, old)) = self.pick(*n) {
                    self.subscribe(consumer, wish, false, Some(&old));
                }
            }
            // Polled once: the stage stops, whether the future is awaited or not.
            Action::Stop(n) => drop((self.nodes[n % stages].stop)().now_or_never()),
            Action::Abort(n) => {
                self.ledger.open().stages[n % stages].aborted = true;
                (self.nodes[n % stages].abort)();
            }
            Action::Accumulate(n) => (self.nodes[n % stages].forward)(false),
            Action::Forward(n) => (self.nodes[n % stages].forward)(true),
            Action::Stream(n, seat, take) => self.stream(n % self.producing, *seat, *take),
        }
    }

    fn pick(&self, n: usize) -> Option<(usize, Subscription)> {
        let index = n.checked_rem(self.subscriptions.len())?;
        Some(self.subscriptions[index].clone())
    }

    fn stream(&self, producer: usize, seat: u64, take: usize) {
        let wish = Wish {
            back: 0,
            seat,
            demand: Demanding::Automatic { max: 1, min: 0 },
            cancel: Default::default(),
        };
        let Ok(mut stream) = self.nodes[producer].wished(&wish).stream() else {
            return;
        };
        let (id, ledger) = (stream.id(), self.ledger.clone());
        ledger.subscribed(id, producer, None, &wish, false);
        tokio::spawn(async move {
            let take_some = async {
                for _ in 0..take {
                    let Some(event) = stream.next().await else {
                        return;
                    };
                    let entries = &mut *ledger.open();
                    let known = entries.subscriptions.get_mut(&id);
                    known.expect("entered above").received.push(event);
                }
            };
            let _ = timeout(Duration::from_millis(20), take_some).await;
            drop(stream);
            let entries = &mut *ledger.open();
            let known = entries.subscriptions.get_mut(&id);
            known.expect("entered above").cancelled = true;
        });
    }

    fn has_ended(&self, stage: usize) -> bool {
        (self.nodes[stage].end)().is_some()
    }

    fn is_live(&self, subscribed: &Subscribed) -> bool {
        let consumer = subscribed.consumer;
        !subscribed.ended
            && !subscribed.cancelled
            && consumer.is_some_and(|consumer| !self.has_ended(consumer))
    }

    /// Whether events that this stage receives flow on.
    fn flows(&self, stage: usize, entries: &Entries) -> bool {
        if stage >= self.producing {
            return true;
        }
        let to_it = entries.subscriptions.values();
        let mut to_it = to_it.filter(|to_it| to_it.producer == stage && self.is_live(to_it));
        let flows = |to_it: &Subscribed| {
            let consumer = to_it.consumer.expect("streams are gone");
            self.flows(consumer, entries)
        };
        match entries.stages[stage].dispatching {
            Some(Dispatching::Broadcast) => {
                let mut to_it = to_it.peekable();
                to_it.peek().is_some() && to_it.all(flows)
            }
            _ => to_it.any(flows),
        }
    }

    /// Checks that no event waits where all stages could go on.
    fn check_that_nothing_waits(&self) {
        let entries = &*self.ledger.open();
        let open = (0..self.nodes.len()).filter(|&stage| !self.has_ended(stage));
        for stage in open.filter(|&stage| self.flows(stage, entries)) {
            let from = entries.subscriptions.values();
            let mut from = from.filter(|from| from.consumer == Some(stage) && self.is_live(from));
            let makes = self.nodes[stage].subscribe.is_none();
            assert!(!makes, "producer {stage} has consumers and does not end");
            let ended = from.find(|from| {
                // The slowest consumer holds back the others of a broadcast, also at its end.
                let all = entries.stages[from.producer].dispatching == Some(Dispatching::Broadcast);
                self.has_ended(from.producer) && (!all || self.flows(from.producer, entries))
            });
            if let Some(Subscribed { producer, wish, .. }) = ended {
                panic!("stage {stage} has not heard of the end of {producer}, {wish:?}");
            }
        }
    }

    /// Accounts for every event that the stage emitted, after all stages have ended.
    async fn check_stage(&self, number: usize) {
        let dispatching = self.ledger.open().stages[number].dispatching;
        let dispatching = dispatching.expect("it sends");
        let mut left = Vec::new();
        let seats = match dispatching {
            Dispatching::Partition(n) => n,
            Dispatching::Demand | Dispatching::Broadcast => 1,
        };
        for seat in 0..seats {
            let output = self.nodes[number].output.as_ref().expect("it sends")(seat);
            let mut stream = output.stream().expect("all seats are free");
            let rest = async {
                while let Some(event) = stream.next().await {
                    left.push(event);
                }
            };
            let rested = timeout(LONG, rest).await;
            assert!(rested.is_ok(), "the link of stage {number} does not end");
        }
        let entries = &*self.ledger.open();
        let stage = &entries.stages[number];
        let to_it: Vec<_> = entries.subscriptions.values().collect();
        let to_it = to_it.into_iter().filter(|to_it| to_it.producer == number);
        let to_it: Vec<&Subscribed> = to_it.collect();
        let offered = (0..stage.emitted)
            .filter(|event| !stage.lost.contains(event) && !stage.discarded.contains(event));
        let offered: Vec<u64> = offered.collect();
        for to_it in &to_it {
            check_order(number, dispatching, to_it);
        }
        if dispatching == Dispatching::Broadcast {
            let everything_only = to_it.iter().all(|to_it| to_it.wish.seat.is_multiple_of(3));
            for to_it in &to_it {
                // When the last consumer leaves, the next gets the events that it had selected and not taken.
                if to_it.early || everything_only {
                    check_copies(number, stage, to_it, &offered);
                }
            }
        } else {
            check_once(number, stage, dispatching, &to_it, &left, &offered);
        }
        if !stage.aborted {
            self.check_stats(number, stage, dispatching, &offered);
        }
    }

    fn check_stats(&self, number: usize, stage: &Stage, dispatching: Dispatching, offered: &[u64]) {
        let stats = (self.nodes[number].stats)();
        let dropped = offered.iter().filter(|&&event| dispatching.drops(event));
        let entered = [
            stage.emitted - stage.lost.len() as u64,
            stage.discarded.len() as u64,
            dropped.count() as u64,
            0,
        ];
        let counted = [
            stats.emitted,
            stats.discarded,
            stats.dropped,
            stats.buffered,
        ];
        assert_eq!(
            entered, counted,
            "emitted, discarded, dropped and buffered of stage {number}"
        );
    }
}

/// Checks that a subscription to a broadcast gets all events that it selects, without a gap.
fn check_copies(number: usize, stage: &Stage, to_it: &Subscribed, offered: &[u64]) {
    let selects = |event: &&u64| Dispatching::Broadcast.selects(to_it.wish.seat, **event);
    let wanted: Vec<u64> = offered.iter().filter(selects).copied().collect();
    let received = &to_it.received;
    let until = received.last().copied();
    let from = match received.first() {
        Some(_) if to_it.early => wanted.first().copied(),
        first => first.copied(),
    };
    let between = wanted.iter().copied();
    let between = between.filter(|&event| from <= Some(event) && Some(event) <= until);
    let between: Vec<u64> = between.collect();
    assert_eq!(
        *received, between,
        "from broadcasting stage {number}, {:?}",
        to_it.wish
    );
    let complete = to_it.ended && !to_it.cancelled && !stage.aborted;
    if complete && (to_it.early || until.is_some()) {
        assert_eq!(
            until,
            wanted.last().copied(),
            "the last event of stage {number}"
        );
    }
}

fn check_order(number: usize, dispatching: Dispatching, to_it: &Subscribed) {
    let received = &to_it.received;
    let in_order = received.is_sorted_by(|one, next| one < next);
    assert!(in_order, "from stage {number}: {received:?}");
    let mut received = received.iter();
    let mine = received.all(|&event| dispatching.selects(to_it.wish.seat, event));
    assert!(
        mine,
        "from stage {number}: {received:?} for seat {}",
        to_it.wish.seat
    );
}

/// Checks that every offered event was received by one consumer, dropped by the dispatcher, or is left.
fn check_once(
    number: usize,
    stage: &Stage,
    dispatching: Dispatching,
    to_it: &[&Subscribed],
    left: &[u64],
    offered: &[u64],
) {
    let received = to_it.iter().flat_map(|to_it| &to_it.received);
    let mut found: Vec<u64> = received.chain(left).copied().collect();
    found.extend(offered.iter().filter(|&&event| dispatching.drops(event)));
    found.sort_unstable();
    if stage.aborted {
        let offered: BTreeSet<_> = offered.iter().collect();
        assert!(
            found.is_sorted_by(|one, next| one < next),
            "stage {number}: {found:?}"
        );
        assert!(found.iter().all(|event| offered.contains(event)));
    } else {
        assert_eq!(found, offered, "all that stage {number} has offered");
    }
}
