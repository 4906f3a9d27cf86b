//! Options that do not work: told in time, with the option, and never with the password.

use std::time::{Duration, Instant};

use broadway_core::{Outgoing, PublishErrorKind, Publisher};
use broadway_rabbitmq::{RabbitMqPublisher, RabbitMqPublisherBuilder};
use lapin::{
    Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeleteOptions},
};
use tokio::net::TcpListener;

use crate::broker::{broker, in_time, unique, uri};

/// How long a bad configuration may take to be told.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

async fn refusal(builder: RabbitMqPublisherBuilder) -> String {
    let begun = Instant::now();
    let error = in_time(builder.open()).await.unwrap_err().to_string();
    assert!(
        begun.elapsed() <= TOLD_WITHIN + Duration::from_secs(1),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
    error
}

#[tokio::test]
async fn a_broker_that_does_not_let_us_in_is_told_with_the_option() {
    let Some(address) = broker() else { return };
    let queue = RabbitMqPublisher::queue("whatever");
    let said = refusal(
        queue
            .clone()
            .uri(format!("amqp://guest:secret@{address}/%2f")),
    )
    .await;
    assert!(
        said.contains("`uri`") && said.contains("check the user and the password"),
        "{said}"
    );
    let said = refusal(
        queue
            .clone()
            .uri(format!("amqp://guest:guest@{address}/nope")),
    )
    .await;
    assert!(
        said.contains("`uri`") && said.contains("vhost \"nope\""),
        "{said}"
    );
    let said = refusal(queue.clone().uri("amqp://guest:secret@127.0.0.1:1/%2f")).await;
    assert!(
        said.contains("`uri`") && said.contains("no broker listens"),
        "{said}"
    );
    let said = refusal(queue.clone().uri("amqp://guest:secret@nope.invalid/%2f")).await;
    assert!(
        said.contains("`uri`") && said.contains("cannot be reached"),
        "{said}"
    );
    let said = refusal(
        queue
            .clone()
            .uri(format!("amqps://guest:secret@{address}/%2f")),
    )
    .await;
    assert!(said.contains("TLS"), "{said}");
}

#[tokio::test]
async fn whoever_never_answers_is_told_within_connect_timeout() {
    // Takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for scheme in ["amqp", "amqps"] {
        let publisher = RabbitMqPublisher::queue("q")
            .uri(format!("{scheme}://guest:secret@{address}/%2f"))
            .connect_timeout(Duration::from_millis(200));
        let said = refusal(publisher).await;
        assert!(said.contains("`connect_timeout`"), "{said}");
    }
}

#[tokio::test]
async fn what_is_missing_is_told_or_created() {
    let Some(address) = broker() else { return };
    let name = unique("missing");
    let queue = RabbitMqPublisher::queue(&name).uri(uri(&address));
    let said = refusal(queue.clone()).await;
    assert!(
        said.contains(&format!("queue `{name}` (option `queue`)")),
        "{said}"
    );
    let exchange = RabbitMqPublisher::exchange(&name)
        .uri(uri(&address))
        .routing_key(&name);
    let said = refusal(exchange.clone()).await;
    assert!(
        said.contains(&format!("exchange `{name}` (option `exchange`)")),
        "{said}"
    );

    let created = queue.clone().create_if_missing().open().await.unwrap();
    in_time(created.publish_one(Outgoing::new("x")))
        .await
        .unwrap();
    // It is there now, as somebody else may have declared it.
    let found = queue.create_if_missing().open().await.unwrap();
    in_time(found.publish_one(Outgoing::new("y")))
        .await
        .unwrap();
    let unbound = exchange.create_if_missing().open().await.unwrap();
    let error = in_time(unbound.publish_one(Outgoing::new("z")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Refused, "{error}");
    let options = QueueDeleteOptions::default();
    let uri = uri(&address);
    let connection = Connection::connect(&uri, ConnectionProperties::default());
    let channel = connection.await.unwrap().create_channel().await.unwrap();
    channel
        .queue_delete(name.as_str().into(), options)
        .await
        .unwrap();
    channel
        .exchange_delete(name.into(), ExchangeDeleteOptions::default())
        .await
        .unwrap();
}
