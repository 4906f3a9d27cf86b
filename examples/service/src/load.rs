//! Sends sample orders to the service. One in a hundred is not JSON.

use std::env;

use broadway::{
    BoxError, Outgoing, Publisher,
    kafka::{KafkaPublisher, NewTopic},
};

use crate::{orders::Order, settings::Settings};

const USAGE: &str = "usage: broadway-service-example [load ORDERS]";
const CUSTOMERS: [&str; 4] = ["ada", "grace", "barbara", "edsger"];

/// The number of orders to send, from the command line. `None` if the program should serve.
pub(crate) fn orders_to_load() -> Result<Option<usize>, BoxError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(None),
        ["load", orders] => match orders.parse() {
            Ok(orders) => Ok(Some(orders)),
            Err(error) => {
                Err(format!("{orders:?} is not a number of orders ({error})\n{USAGE}").into())
            }
        },
        _ => Err(USAGE.into()),
    }
}

/// Sends orders and waits until the broker has confirmed each.
pub(crate) async fn load(settings: &Settings, orders: usize) -> Result<(), BoxError> {
    let publisher = KafkaPublisher::topic(settings.topic.as_str())
        .brokers(&settings.brokers)
        .create_if_missing(NewTopic::partitions(4))
        .open()
        .await?;
    let mut messages = Vec::with_capacity(orders);
    for n in 0..orders {
        let customer = CUSTOMERS[n % CUSTOMERS.len()];
        let payload = match n % 100 {
            99 => b"not an order".to_vec(),
            _ => serde_json::to_vec(&Order {
                customer: customer.to_owned(),
                item: format!("item-{n}"),
                cents: 100,
            })?,
        };
        messages.push(Outgoing::new(payload).key(customer));
    }
    for result in publisher.publish(messages).await {
        result?;
    }
    publisher.close().await?;
    println!("sent {orders} orders to {}", settings.topic);
    Ok(())
}
