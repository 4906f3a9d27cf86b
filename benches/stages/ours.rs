//! Our side: stages with their default demand (`max_demand` 1,000, `min_demand` 500).

use std::convert::Infallible;

use broadway::BoxError;
use broadway::stage::dispatch::{Broadcast, Partition};
use broadway::stage::{
    self, Consumer, Context, FromIter, Output, ProducerBuilder, ProducerConsumer, Subscription,
};

use crate::scenarios::CONSUMERS;
use crate::support::workload::{Ledger, Tally, handle_id};

/// Adds up the events.
struct Sum(Ledger);

impl Consumer for Sum {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        let count = events.len();
        self.0.settle(count, events.drain(..).map(handle_id).sum());
        Ok(())
    }
}

/// Passes everything on, and counts the first hop.
struct Forward(Ledger);

impl ProducerConsumer for Forward {
    type In = u64;
    type Out = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.0.settle(events.len(), 0);
        cx.emit_all(events.drain(..));
        Ok(())
    }
}

const STARTS: &str = "the options are valid";

/// A producer, a producer-consumer and a consumer.
pub(crate) async fn hops(events: u64) -> Tally {
    let ledger = Ledger::default();
    let ids = stage::from_iter(0..events).start().await.expect(STARTS);
    let forward = stage::producer_consumer(Forward(ledger.clone()))
        .subscribe_to(ids.output())
        .start()
        .await
        .expect(STARTS);
    consume(vec![forward.output()], || forward.forward_demand(), &ledger).await;
    ledger.tally()
}

/// A task for each event.
pub(crate) async fn tasks(events: u64) -> Tally {
    let ledger = Ledger::default();
    let ids = stage::from_iter(0..events).start().await.expect(STARTS);
    let settling = ledger.clone();
    let tasks = stage::task_per_event(move |id| {
        let ledger = settling.clone();
        async move {
            ledger.settle(1, handle_id(id));
            Ok(())
        }
    });
    let tasks = tasks.subscribe_to(ids.output()).start().await;
    tasks.expect(STARTS).join().await;
    ledger.tally()
}

/// Sends all events to all consumers.
pub(crate) async fn broadcast(events: u64) -> Tally {
    let ledger = Ledger::default();
    let ids = waiting(events).dispatcher(Broadcast::new());
    let ids = ids.start().await.expect(STARTS);
    let outputs = (0..CONSUMERS).map(|_| ids.output()).collect();
    consume(outputs, || ids.forward_demand(), &ledger).await;
    ledger.tally()
}

/// Sends each event to the consumer of its partition.
pub(crate) async fn partition(events: u64) -> Tally {
    let ledger = Ledger::default();
    let consumers = usize::try_from(CONSUMERS).expect("few");
    let by_id = |id: &u64| usize::try_from(id % CONSUMERS).ok();
    let ids = waiting(events).dispatcher(Partition::new(consumers, by_id));
    let ids = ids.start().await.expect(STARTS);
    let outputs = (0..consumers).map(|index| ids.partition(index)).collect();
    consume(outputs, || ids.forward_demand(), &ledger).await;
    ledger.tally()
}

/// A producer that sends nothing before all its consumers have subscribed.
fn waiting(events: u64) -> ProducerBuilder<FromIter<std::ops::Range<u64>>> {
    stage::from_iter(0..events).accumulate()
}

/// Subscribes a consumer to each output, calls `begin`, and waits until all consumers have ended.
async fn consume(outputs: Vec<Output<u64>>, begin: impl FnOnce(), ledger: &Ledger) {
    let mut consumers = Vec::new();
    for output in outputs {
        let consumer = stage::consumer(Sum(ledger.clone())).subscribe_to(output);
        consumers.push(consumer.start().await.expect(STARTS));
    }
    begin();
    for consumer in consumers {
        consumer.join().await;
    }
}
