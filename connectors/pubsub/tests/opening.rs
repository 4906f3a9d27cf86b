//! What can't work is told when the source is opened, in words that name what to change.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::{process::Command, time::Duration};

use broadway_core::{BoxError, Source, testing::Reader};
use broadway_pubsub::{Create, PubSub};

use common::Fixture;
use tokio::net::TcpListener;

/// Opening fails, well before a reader would lose its patience, with all these words.
async fn refused(source: &PubSub, words: &[&str]) {
    let error = Reader::open(source).await.unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
}

#[tokio::test]
async fn a_malformed_name_is_told_without_connecting() {
    let source = PubSub::subscription("sensors").endpoint("http://127.0.0.1:1");
    assert_eq!(source.check()[0].option(), "subscription");
    refused(
        &source,
        &[
            "subscription",
            "\"sensors\"",
            "projects/<project>/subscriptions/<id>",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_missing_subscription_is_told() {
    let Some(server) = common::server() else {
        return;
    };
    let source = PubSub::subscription("projects/broadway/subscriptions/nowhere")
        .endpoint(format!("http://{server}"));
    refused(
        &source,
        &[
            "`subscription`",
            "projects/broadway/subscriptions/nowhere",
            "create it",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_missing_subscription_is_made_if_asked_for() {
    let Some(fixture) = Fixture::new("made").await else {
        return;
    };
    fixture.delete_subscription().await;
    let source = fixture
        .source()
        .create(Create::on(&fixture.topic).ordered());
    for _ in 0..2 {
        let reader = Reader::open(&source).await.unwrap();
        reader.close().await.unwrap();
    }
    let source = fixture
        .source()
        .create(Create::on("projects/broadway/topics/nowhere"));
    fixture.delete_subscription().await;
    refused(&source, &["`create`", "projects/broadway/topics/nowhere"]).await;
}

#[tokio::test]
async fn an_unreachable_host_is_told() {
    let source = PubSub::subscription("projects/broadway/subscriptions/sensors");
    for endpoint in ["http://127.0.0.1:1", "http://no-such-host.invalid:8085"] {
        let source = source.clone().endpoint(endpoint);
        refused(&source, &["`endpoint`", endpoint]).await;
    }
}

#[tokio::test]
async fn a_host_that_swallows_everything_is_told() {
    // It accepts in the kernel, and nobody reads.
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", hole.local_addr().unwrap());
    let source = PubSub::subscription("projects/broadway/subscriptions/sensors")
        .endpoint(&endpoint)
        .connect_timeout(Duration::from_millis(300));
    refused(&source, &["`connect_timeout`", "`endpoint`", &endpoint]).await;
}

/// Set where a test runs by itself, in an environment of its own.
const ALONE: &str = "BROADWAY_TEST_ALONE";

/// Runs the test of this name so.
fn run_alone(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.env_remove("GOOGLE_APPLICATION_CREDENTIALS");
    command.env(ALONE, "yes").envs(variables.iter().copied());
    let output = command.output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[test]
fn missing_credentials_are_told_with_what_to_do() {
    // Nothing in the home, and no metadata service either.
    let nowhere = [
        ("HOME", "/nonexistent"),
        ("GCE_METADATA_HOST", "127.0.0.1:1"),
    ];
    run_alone("alone_without_credentials", &nowhere);
}

#[tokio::test]
async fn alone_without_credentials() {
    // Run by the test before this one.
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let source = PubSub::subscription("projects/broadway/subscriptions/sensors");
    let words = [
        "gcloud auth application-default login",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "PUBSUB_EMULATOR_HOST",
    ];
    refused(&source, &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulator_of_the_environment_is_used_without_credentials() {
    let Some(fixture) = Fixture::new("variable").await else {
        return;
    };
    let host = fixture.endpoint.trim_start_matches("http://").to_owned();
    let variables = [
        ("HOME", "/nonexistent"),
        ("GCE_METADATA_HOST", "127.0.0.1:1"),
        ("PUBSUB_EMULATOR_HOST", host.as_str()),
        ("TEST_SUBSCRIPTION", fixture.subscription.as_str()),
    ];
    run_alone("alone_with_an_emulator", &variables);
}

#[tokio::test]
async fn alone_with_an_emulator() -> Result<(), BoxError> {
    // Run by the test before this one.
    if std::env::var_os(ALONE).is_none() {
        return Ok(());
    }
    let source = PubSub::subscription(std::env::var("TEST_SUBSCRIPTION")?);
    Reader::open(&source).await?.close().await?;
    // The option wins.
    let source = source.endpoint("http://127.0.0.1:1");
    refused(&source, &["http://127.0.0.1:1"]).await;
    Ok(())
}
