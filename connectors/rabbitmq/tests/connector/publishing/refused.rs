//! Options that cannot work: reported in time, with the option, and never with the password.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use broadway_core::{
    BoxError, Outgoing, PublishErrorKind, Publisher,
    connector::{ConnectorError, ConnectorErrorKind},
};
use broadway_rabbitmq::{RabbitMqPublisher, RabbitMqPublisherBuilder};
use lapin::{
    Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeleteOptions},
};
use tokio::net::TcpListener;
use tracing_subscriber::{Layer, layer, prelude::*};

use super::broker::{Queue, broker, in_time, unique, uri};

/// How long it may take until a bad configuration is reported.
const REPORTED_WITHIN: Duration = Duration::from_secs(10);

async fn refusal(builder: RabbitMqPublisherBuilder) -> String {
    let begun = Instant::now();
    let error = in_time(builder.open()).await.unwrap_err();
    // A `main` that returns the error prints its `Debug`.
    assert_eq!(format!("{error:?}"), error.to_string());
    let error = error.to_string();
    assert!(
        begun.elapsed() <= REPORTED_WITHIN + Duration::from_secs(1),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
    error
}

#[tokio::test]
async fn a_rejected_connection_is_reported_with_the_option() {
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
        said.contains("`uri`") && said.contains("cannot reach the host"),
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
async fn errors_have_a_kind_by_which_a_program_decides() {
    let Some(address) = broker() else { return };
    let kind = |error: BoxError| ConnectorError::find(error.as_ref()).map(ConnectorError::kind);
    let missing = RabbitMqPublisher::queue(unique("missing")).uri(uri(&address));
    let error = in_time(missing.open()).await.unwrap_err();
    assert_eq!(kind(error), Some(ConnectorErrorKind::Permanent));
    let user = RabbitMqPublisher::queue("q").uri(format!("amqp://guest:secret@{address}/%2f"));
    let error = in_time(user.open()).await.unwrap_err();
    assert_eq!(kind(error), Some(ConnectorErrorKind::Auth));
    let unreachable = RabbitMqPublisher::queue("q").uri("amqp://127.0.0.1:1");
    let error = in_time(unreachable.open()).await.unwrap_err();
    assert_eq!(kind(error), Some(ConnectorErrorKind::Transient));
}

#[tokio::test]
async fn a_server_that_never_answers_is_reported_within_connect_timeout() {
    // Accepts connections, and sends nothing.
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
async fn a_missing_destination_is_reported_or_created() {
    let Some(address) = broker() else { return };
    let name = unique("missing");
    let queue = RabbitMqPublisher::queue(&name).uri(uri(&address));
    let said = refusal(queue.clone()).await;
    assert!(
        said.contains(&format!("queue `{name}` (option `queue`) does not exist")),
        "{said}"
    );
    let exchange = RabbitMqPublisher::exchange(&name)
        .uri(uri(&address))
        .routing_key(&name);
    let said = refusal(exchange.clone()).await;
    assert!(
        said.contains(&format!(
            "exchange `{name}` (option `exchange`) does not exist"
        )),
        "{said}"
    );

    let created = queue.clone().create_if_missing().open().await.unwrap();
    in_time(created.publish_one(Outgoing::new("x")))
        .await
        .unwrap();
    // It exists now, as if another client had declared it.
    let found = queue.create_if_missing().open().await.unwrap();
    in_time(found.publish_one(Outgoing::new("y")))
        .await
        .unwrap();
    let unbound = exchange.create_if_missing().open().await.unwrap();
    let error = in_time(unbound.publish_one(Outgoing::new("z")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Refused, "{error}");
    delete(&address, &name).await;
}

#[tokio::test]
async fn creating_a_missing_destination_logs_no_error() {
    let Some(address) = broker() else { return };
    let errors = Errors::listen();
    let name = unique("created");
    let queue = RabbitMqPublisher::queue(&name).uri(uri(&address));
    let exchange = RabbitMqPublisher::exchange(&name).uri(uri(&address));
    for publisher in [queue.clone(), exchange] {
        let publisher = publisher.create_if_missing().open().await.unwrap();
        in_time(publisher.close()).await.unwrap();
    }
    assert_eq!(errors.about(&name), Vec::<String>::new());
    // The log is read: without `create_if_missing`, a missing queue is an error of the client too.
    let missing = format!("{name}-missing");
    let said = refusal(RabbitMqPublisher::queue(&missing).uri(uri(&address))).await;
    assert!(said.contains(&missing), "{said}");
    assert_eq!(errors.about(&missing).len(), 1);
    delete(&address, &name).await;
}

#[tokio::test]
async fn a_queue_with_other_properties_is_used_as_it_is_with_create_if_missing() {
    let Some(address) = broker() else { return };
    // Not durable, as one that is created would be.
    let queue = Queue::create(&address, "other-kind").await;
    let publisher = queue.publisher().create_if_missing();
    let publisher = publisher.open().await.unwrap();
    in_time(publisher.publish_one(Outgoing::new("x")))
        .await
        .unwrap();
    in_time(publisher.close()).await.unwrap();
    assert_eq!(queue.payloads().await, ["x"]);
    queue.delete().await;
}

async fn delete(address: &str, name: &str) {
    let uri = uri(address);
    let connection = Connection::connect(&uri, ConnectionProperties::default());
    let channel = connection.await.unwrap().create_channel().await.unwrap();
    channel
        .queue_delete(name.into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    channel
        .exchange_delete(name.into(), ExchangeDeleteOptions::default())
        .await
        .unwrap();
}

/// All errors that are logged in this process, of all tests: so each looks for its own name.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

impl Errors {
    fn listen() -> Self {
        static LISTENING: OnceLock<Errors> = OnceLock::new();
        let errors = LISTENING.get_or_init(|| {
            let errors = Self::default();
            let layers = tracing_subscriber::registry().with(errors.clone());
            tracing::subscriber::set_global_default(layers).unwrap();
            errors
        });
        errors.clone()
    }

    fn about(&self, name: &str) -> Vec<String> {
        let quoted = format!("'{name}'");
        let mut errors = self.0.lock().unwrap().clone();
        errors.retain(|error| error.contains(&quoted));
        errors
    }
}

impl<S: tracing::Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &tracing::Event<'_>, _: layer::Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::ERROR {
            let mut text = String::new();
            event.record(
                &mut |field: &tracing::field::Field, value: &dyn fmt::Debug| {
                    text.push_str(&format!("{field}={value:?} "));
                },
            );
            self.0.lock().unwrap().push(text);
        }
    }
}
