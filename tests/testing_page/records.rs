//! Records of each broker, made by hand.

use broadway::{Record, kafka, pubsub, queue, rabbitmq, sqs};

#[test]
fn records_have_what_a_handler_reads() {
    let order = kafka::testing::record(r#"{"id":17}"#)
        .topic("orders")
        .partition(3)
        .offset(88_127)
        .key("customer-4")
        .header("tenant", "a")
        .build();
    assert_eq!(order.id(), "orders[3]@88127");
    let removed = kafka::testing::record("")
        .key("customer-4")
        .tombstone()
        .build();
    assert!(removed.is_tombstone());

    let order = rabbitmq::testing::record("{}")
        .queue("orders")
        .routing_key("orders.eu")
        .redelivered(true)
        .build();
    assert_eq!(
        (order.queue(), order.routing_key()),
        ("orders", "orders.eu")
    );
    assert!(order.redelivered());

    let order = sqs::testing::record("{}")
        .group_id("customer-4")
        .receive_count(3)
        .build();
    assert_eq!(order.key(), Some(&b"customer-4"[..]));
    assert_eq!(order.receive_count(), Some(3));

    let order = pubsub::testing::record("{}")
        .key("customer-4")
        .delivery_attempt(2)
        .build();
    assert_eq!(order.ordering_key(), Some("customer-4"));
    assert_eq!(order.delivery_attempt(), Some(2));

    let order = queue::testing::record("{}")
        .topic("orders")
        .key("customer-4")
        .deliveries(2)
        .build();
    assert_eq!((order.topic(), order.deliveries()), ("orders", Some(2)));
}
