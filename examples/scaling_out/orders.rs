//! The part of both programs that does not know where the orders come from: handler, observer, pipeline, and customers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadway::{
    BoxError, Message, Outgoing, Pipeline, Processors, Publisher, Record, Topology, handler_fn,
    source::{Source, SourceProducer},
    telemetry::{Event, Observer},
};

pub(crate) const TOPIC: &str = "scaling-out";
pub(crate) const GROUP: &str = "counters";
pub(crate) const PARTITIONS: u8 = 4;
const CUSTOMERS: [&str; 6] = ["ada", "barbara", "edsger", "frances", "grace", "niklaus"];

/// The number of orders of each customer, as this process counted them.
pub(crate) type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

/// Starts a member of the group: a pipeline that counts the orders of each customer. `source` may belong to any broker.
pub(crate) async fn start<S, R>(
    source: S,
    member: &'static str,
    counts: Counts,
) -> Result<Topology<R>, BoxError>
where
    S: Source<Producer: SourceProducer<Item = R>>,
    R: Record,
{
    // Where this member has seen each customer.
    let places = Mutex::new(BTreeMap::new());
    let handler = handler_fn(move |message: &mut Message<R>| {
        let record = message.data();
        let customer = str::from_utf8(record.key().ok_or("an order without a customer")?)?;
        // `scaling-out[2]@17`: the partition, and the offset in it.
        let id = record.id();
        let partition = id.split('@').next().unwrap_or_default().to_owned();
        let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
        if places
            .insert(customer.to_owned(), partition.clone())
            .is_none()
        {
            println!("{member}: {customer} is in {partition}");
        }
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(customer.to_owned()).or_default() += 1;
        Ok(())
    });
    let topology = Pipeline::new(source, handler)
        .name(member)
        .processors(Processors::new(2).by_record_key())
        .observe(Assignments)
        .start()
        .await?;
    Ok(topology)
}

/// Prints which partitions a member reads.
struct Assignments;

impl Observer for Assignments {
    fn on_event(&self, member: &str, event: &Event<'_>) {
        match event {
            Event::Assigned { part, .. } => println!("{member}: reads {part}"),
            Event::Revoked { part, settled, .. } => {
                // `false`: work was not finished in time, and the next owner repeats it.
                let repeats = if *settled { "" } else { ", unfinished" };
                println!("{member}: gives up {part}{repeats}");
            }
            _ => {}
        }
    }
}

/// Sends an order every 20 ms, `orders` in all. Its key, the customer, chooses the partition.
pub(crate) async fn place<P: Publisher>(publisher: &P, orders: usize) -> Result<(), BoxError> {
    for customer in CUSTOMERS.into_iter().cycle().take(orders) {
        publisher
            .publish_one(Outgoing::new("one cup of tea").key(customer))
            .await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

pub(crate) fn print(counts: &Counts) {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    for (customer, orders) in &*counts {
        println!("{customer}: {orders} orders");
    }
}
