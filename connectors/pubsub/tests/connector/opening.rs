//! Opening fails in time where it cannot work, and the error names what to change.

use std::time::Duration;

use broadway_core::{
    BoxError, Source,
    connector::{
        ConnectorError,
        ConnectorErrorKind::{self, Auth, Permanent, Transient},
    },
    testing::Reader,
};
use broadway_pubsub::{NewSubscription, PubSub, PubSubPublisher};

use tokio::net::TcpListener;

use crate::common::{Fixture, is_alone, run_alone};

/// Opening fails with an error of this kind, with all these words in it.
async fn fails(source: &PubSub, kind: ConnectorErrorKind, words: &[&str]) {
    let error = Reader::open(source).await.unwrap_err();
    let found = ConnectorError::find(error.as_ref()).map(ConnectorError::kind);
    assert_eq!(found, Some(kind), "{error}");
    has_words(&error, words);
}

fn has_words(error: &BoxError, words: &[&str]) {
    let error = error.to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
}

#[tokio::test]
async fn a_malformed_name_fails_without_connecting() {
    let source = PubSub::subscription("sensors").endpoint("http://127.0.0.1:1");
    assert_eq!(source.check()[0].option(), "subscription");
    let error = Reader::open(&source).await.unwrap_err();
    let words = [
        "subscription",
        "\"sensors\"",
        "projects/<project>/subscriptions/<id>",
    ];
    has_words(&error, &words);
}

#[tokio::test]
async fn a_missing_subscription_is_named() {
    let Some(server) = crate::common::server() else {
        return;
    };
    let source = PubSub::subscription("projects/broadway/subscriptions/nowhere")
        .endpoint(format!("http://{server}"));
    fails(
        &source,
        Permanent,
        &[
            "`subscription`",
            "projects/broadway/subscriptions/nowhere",
            "create it",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_missing_subscription_is_created_on_request() {
    let Some(fixture) = Fixture::new("made").await else {
        return;
    };
    fixture.delete_subscription().await;
    let source = fixture
        .source()
        .create_if_missing(NewSubscription::on(&fixture.topic).ordered());
    for _ in 0..2 {
        let reader = Reader::open(&source).await.unwrap();
        reader.close().await.unwrap();
    }
    let source = fixture
        .source()
        .create_if_missing(NewSubscription::on("projects/broadway/topics/nowhere"));
    fixture.delete_subscription().await;
    let words = ["`create_if_missing`", "projects/broadway/topics/nowhere"];
    fails(&source, Permanent, &words).await;
}

#[tokio::test]
async fn an_unreachable_host_is_named() {
    let source = PubSub::subscription("projects/broadway/subscriptions/sensors");
    for endpoint in ["http://127.0.0.1:1", "http://no-such-host.invalid:8085"] {
        let source = source.clone().endpoint(endpoint);
        fails(&source, Transient, &["`endpoint`", endpoint]).await;
    }
}

#[tokio::test]
async fn a_host_that_never_answers_is_named() {
    // The operating system accepts connections; nothing reads from them.
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", hole.local_addr().unwrap());
    let source = PubSub::subscription("projects/broadway/subscriptions/sensors")
        .endpoint(&endpoint)
        .connect_timeout(Duration::from_millis(300));
    let words = ["`connect_timeout`", "`endpoint`", &endpoint];
    fails(&source, Transient, &words).await;
}

#[test]
fn missing_credentials_are_reported_with_what_to_do() {
    run_alone("opening::alone_without_credentials", &[]);
}

#[tokio::test]
async fn alone_without_credentials() {
    // Run by the test before this one.
    if !is_alone() {
        return;
    }
    let source = PubSub::subscription("projects/broadway/subscriptions/sensors");
    let words = [
        "gcloud auth application-default login",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "PUBSUB_EMULATOR_HOST",
    ];
    fails(&source, Auth, &words).await;
    let publisher = PubSubPublisher::topic("projects/broadway/topics/sensors").open();
    let error = publisher.await.unwrap_err();
    has_words(&error, &words);
    let found = ConnectorError::find(error.as_ref()).map(ConnectorError::kind);
    assert_eq!(found, Some(Auth), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulator_of_the_environment_is_used_without_credentials() {
    let Some(fixture) = Fixture::new("variable").await else {
        return;
    };
    let host = fixture.endpoint.trim_start_matches("http://").to_owned();
    let variables = [
        ("PUBSUB_EMULATOR_HOST", host.as_str()),
        ("TEST_SUBSCRIPTION", fixture.subscription.as_str()),
    ];
    run_alone("opening::alone_with_an_emulator", &variables);
}

#[tokio::test]
async fn alone_with_an_emulator() -> Result<(), BoxError> {
    // Run by the test before this one.
    if !is_alone() {
        return Ok(());
    }
    let source = PubSub::subscription(std::env::var("TEST_SUBSCRIPTION")?);
    Reader::open(&source).await?.close().await?;
    // The option overrides the variable.
    let source = source.endpoint("http://127.0.0.1:1");
    fails(&source, Transient, &["http://127.0.0.1:1"]).await;
    Ok(())
}
