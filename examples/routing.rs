//! How do I send events to several consumers by predicates, and acknowledge when all of them are done?
//!
//! Run: `cargo run --example routing`
//!
//! Every order goes to the audit. Large orders also go to the fraud check, and paid ones to billing. Each
//! order is `Shared`: a clone for another target is another share in its acknowledgement. The source
//! receives one acknowledgement per order, when the last of its targets is done. Billing does not know
//! account 4, so it fails orders 4 and 14. Expect `order 4: nacked` and `order 14: nacked`, although the
//! audit has seen them, and 18 orders acknowledged.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use broadway::{
    BoxError,
    source::Outcome,
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

/// Handles the orders for one target. Targets take different times, so they finish in any order.
struct Department {
    target: Target,
    service_time: Duration,
}

impl Consumer for Department {
    type Event = Shared<Order>;

    async fn handle_events(
        &mut self,
        orders: &mut Vec<Shared<Order>>,
        _from: &Subscription,
        _cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        for order in orders.drain(..) {
            tokio::time::sleep(self.service_time).await;
            match (self.target, order.data().account) {
                (Target::Billing, 4) => order.failed("billing does not know account 4"),
                _ => order.done(),
            };
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Stands in for a broker: any function of the outcome can acknowledge an order.
    let (acks, mut outcomes) = mpsc::unbounded_channel();
    let orders = (1..=20).map(move |id| {
        let order = Order {
            account: id % 10,
            cents: id * 700,
            paid: id % 2 == 0,
        };
        let acks = acks.clone();
        Shared::new(order, move |outcome| {
            // Fails if the program is ending.
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
    let mut departments = Vec::new();
    for (target, service_time_ms) in [
        (Target::Audit, 1),
        (Target::FraudCheck, 10),
        (Target::Billing, 5),
    ] {
        let department = Department {
            target,
            service_time: Duration::from_millis(service_time_ms),
        };
        // Orders for a target that has not subscribed yet wait for it.
        let department = stage::consumer(department)
            .name(format!("{target:?}"))
            .subscribe_to(orders.target(target).max_demand(4))
            .start()
            .await?;
        departments.push(department);
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
    for department in departments {
        let end = department.join().await;
        println!(
            "{} {end}, after {} orders",
            department.name(),
            department.stats().received
        );
    }
    Ok(())
}
