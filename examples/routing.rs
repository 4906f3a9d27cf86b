//! How do I send events to several consumers by predicates, and acknowledge when all of them are done?
//!
//! Run: `cargo run --example routing`
//!
//! Every order goes to the audit; large ones go to the fraud check too, and paid ones to billing. Each
//! order is `Shared`: what a clone of it is for one more target is one more share in its
//! acknowledgement. The source is told once for each order, when the last of its targets is through.
//! Billing knows no account 4, so it fails orders 4 and 14. Expect `order 4: nacked` and
//! `order 14: nacked`, although the audit has seen them, and 18 orders acknowledged.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use broadway::{
    BoxError, Outcome,
    stage::{self, Consumer, Context, Shared, Subscription, dispatch::Route},
};
use tokio::sync::mpsc;

#[derive(Debug, Clone, Copy)]
struct Order {
    account: u32,
    cents: u32,
    paid: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Target {
    Audit,
    FraudCheck,
    Billing,
}

/// What each target does with an order. It takes its time, so that they end in any order.
struct Desk {
    target: Target,
    pace: Duration,
}

impl Consumer for Desk {
    type Event = Shared<Order>;

    async fn handle_events(
        &mut self,
        orders: &mut Vec<Shared<Order>>,
        _from: &Subscription,
        _cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        for order in orders.drain(..) {
            tokio::time::sleep(self.pace).await;
            match (self.target, order.data().account) {
                (Target::Billing, 4) => order.failed("billing knows no account 4"),
                _ => order.done(),
            };
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // What a broker would be told: its ack may be any function of the outcome.
    let (acks, mut outcomes) = mpsc::unbounded_channel();
    let orders = (1..=20).map(move |id| {
        let order = Order {
            account: id % 10,
            cents: id * 700,
            paid: id % 2 == 0,
        };
        let acks = acks.clone();
        Shared::new(order, move |outcome| {
            // Nobody listens any more if the program ends.
            let _ = acks.send((id, outcome));
        })
    });

    let route = Route::new()
        .to(Target::Audit, |_: &Shared<Order>| true)
        .to(Target::FraudCheck, |order| order.data().cents > 10_000)
        .to(Target::Billing, |order| order.data().paid);
    let orders = stage::from_iter(orders)
        .name("orders")
        .dispatcher(route)
        .start()
        .await?;
    let mut desks = Vec::new();
    for (target, pace_ms) in [
        (Target::Audit, 1),
        (Target::FraudCheck, 10),
        (Target::Billing, 5),
    ] {
        let desk = Desk {
            target,
            pace: Duration::from_millis(pace_ms),
        };
        // What waits for a target that has not subscribed yet is kept for it.
        let desk = stage::consumer(desk)
            .name(format!("{target:?}"))
            .subscribe_to(orders.target(target).max_demand(4))
            .start()
            .await?;
        desks.push(desk);
    }

    let mut counts = BTreeMap::new();
    while let Some((id, outcome)) = outcomes.recv().await {
        let kind = match outcome {
            Outcome::Done => "acknowledged",
            Outcome::Failed(reason) => {
                println!("order {id}: nacked, as {reason}");
                "nacked"
            }
            _ => "released",
        };
        *counts.entry(kind).or_insert(0) += 1;
    }
    println!("orders: {counts:?}");
    for desk in desks {
        let end = desk.join().await;
        println!(
            "{} {end}, after {} orders",
            desk.name(),
            desk.stats().received
        );
    }
    Ok(())
}
