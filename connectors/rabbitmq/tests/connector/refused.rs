//! Configurations that cannot work: opening fails in time, with an error that names the option and what to do.

use std::time::Duration;

use broadway_core::{
    BoxError,
    connector::{ConnectorError, ConnectorErrorKind},
    testing::Reader,
};
use broadway_rabbitmq::{Declare, RabbitMq};
use tokio::net::TcpListener;

use crate::common::{Queue, broker, unique};

async fn refusal(source: &RabbitMq) -> String {
    error(source).await.to_string()
}

async fn error(source: &RabbitMq) -> BoxError {
    match Reader::open(source).await {
        Ok(_) => panic!("opened {source:?}"),
        Err(error) => error,
    }
}

/// The kind of error with which opening fails.
async fn kind(source: &RabbitMq) -> ConnectorErrorKind {
    let error = error(source).await;
    let found = ConnectorError::find(error.as_ref());
    found.expect("a connector error").kind()
}

fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_queue_is_named() {
    let Some(address) = broker() else { return };
    let name = unique("missing");
    let source = RabbitMq::queue(&name).uri(format!("amqp://{address}"));
    says(
        &refusal(&source).await,
        &[
            &format!("the queue `{name}` (option `queue`) does not exist"),
            "create",
            "`declare`",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_a_kind_by_which_a_program_decides() {
    let Some(address) = broker() else { return };
    let missing = RabbitMq::queue(unique("missing")).uri(format!("amqp://{address}"));
    assert_eq!(kind(&missing).await, ConnectorErrorKind::Permanent);
    let user = RabbitMq::queue("orders").uri(format!("amqp://guest:hush@{address}/%2f"));
    assert_eq!(kind(&user).await, ConnectorErrorKind::Auth);
    let vhost = RabbitMq::queue("orders").uri(format!("amqp://guest:guest@{address}/nowhere"));
    assert_eq!(kind(&vhost).await, ConnectorErrorKind::Auth);
    let queue = Queue::create(&address, "locked").await;
    let first = Reader::open(&queue.source().exclusive(true)).await.unwrap();
    assert_eq!(kind(&queue.source()).await, ConnectorErrorKind::Transient);
    first.close().await.unwrap();
    queue.delete().await;
    let unreachable = RabbitMq::queue("orders").uri("amqp://127.0.0.1:1");
    assert_eq!(kind(&unreachable).await, ConnectorErrorKind::Transient);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_exchange_is_named() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "unbound").await;
    let exchange = unique("missing");
    let source = queue.source().bind(&exchange, "x");
    says(
        &refusal(&source).await,
        &["`bind`", &exchange, "after_connect"],
    );
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_properties_is_named() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "other").await;
    let source = queue.source().declare(Declare::quorum());
    let error = refusal(&source).await;
    says(
        &error,
        &["`declare`", &queue.name, "x-queue-type", "other properties"],
    );
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_fails_the_start() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "hook").await;
    let source = queue
        .source()
        .after_connect(|_| async { Err("no exchange today".into()) });
    says(
        &refusal(&source).await,
        &["`after_connect`", "no exchange today"],
    );
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exclusive_access_of_another_consumer_is_reported() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "exclusive").await;
    let first = Reader::open(&queue.source().exclusive(true)).await.unwrap();
    let error = refusal(&queue.source()).await;
    says(&error, &["`queue`", &queue.name, "exclusive"]);
    first.close().await.unwrap();
    let second = Reader::open(&queue.source()).await.unwrap();
    second.close().await.unwrap();
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_named_and_the_password_is_not_shown() {
    let Some(address) = broker() else { return };
    let source = RabbitMq::queue("orders").uri(format!("amqp://guest:hush@{address}/%2f"));
    let error = refusal(&source).await;
    says(&error, &["`uri`", "guest", "password"]);
    assert!(!error.contains("hush"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_vhost_is_named() {
    let Some(address) = broker() else { return };
    let source = RabbitMq::queue("orders").uri(format!("amqp://guest:guest@{address}/nowhere"));
    says(&refusal(&source).await, &["`uri`", "nowhere"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_broker_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let source = RabbitMq::queue("orders").uri(format!("amqp://{address}"));
    says(
        &refusal(&source).await,
        &["`uri`", &address.to_string(), "host and port"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_never_answers_is_named_within_connect_timeout() {
    // The system accepts connections, and nothing answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let source = RabbitMq::queue("orders")
        .uri(format!("amqp://{address}"))
        .connect_timeout(Duration::from_secs(1));
    let error = refusal(&source).await;
    says(&error, &["`uri`", &address.to_string(), "connect_timeout"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_drops_everything_is_reported_within_connect_timeout() {
    // An address that is reserved for documentation: nothing answers, or the system reports at once that there is no route.
    let source = RabbitMq::queue("orders")
        .uri("amqp://192.0.2.1")
        .connect_timeout(Duration::from_secs(1));
    says(&refusal(&source).await, &["`uri`", "192.0.2.1"]);
}
