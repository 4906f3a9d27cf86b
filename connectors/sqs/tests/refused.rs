//! Configurations that cannot work: opening fails in its time, and says which option is to blame and what to do.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::time::Duration;

use broadway_core::testing::Reader;
use broadway_sqs::{Sqs, SqsPublisher};
use common::{
    broker, client,
    fake::{Fake, Fault},
    unique,
};
use tokio::net::TcpListener;

async fn refusal(source: &Sqs) -> String {
    let Err(error) = Reader::open(source).await else {
        panic!("opened {source:?}");
    };
    error.to_string()
}

fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

fn local(url: &str) -> Sqs {
    Sqs::queue(url)
        .region("local")
        .credentials("someone", "hush")
        .connect_timeout(Duration::from_secs(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_queue_is_named() {
    let Some(address) = broker() else { return };
    let url = format!("http://{address}/000000000000/{}", unique("missing"));
    let error = refusal(&local(&url)).await;
    says(&error, &["`queue`", &url, "create it"]);
    let error = SqsPublisher::queue(&url)
        .client(client(&format!("http://{address}")))
        .open()
        .await
        .unwrap_err()
        .to_string();
    says(&error, &["`queue`", &url, "create it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_queue_is_created_where_that_is_wanted() {
    let Some(address) = broker() else { return };
    for name in ["made", "made.fifo"] {
        let name = format!("{}-{name}", unique("create"));
        let url = format!("http://{address}/000000000000/{name}");
        let reader = Reader::open(&local(&url).create_if_missing())
            .await
            .unwrap();
        reader.close().await.unwrap();
        // It is there now.
        let reader = Reader::open(&local(&url)).await.unwrap();
        reader.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_nobody_listens_at_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = refusal(&local(&format!("http://{address}/000000000000/orders"))).await;
    says(
        &error,
        &[
            "`queue`",
            &address.to_string(),
            "connect_timeout",
            "refused",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_never_answers_is_named() {
    // Accepts connections, since the system does that, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let source = Sqs::queue("https://sqs.eu-central-1.amazonaws.com/123456789012/orders")
        .endpoint(format!("http://{address}"))
        .credentials("someone", "hush")
        .connect_timeout(Duration::from_secs(2));
    let error = refusal(&source).await;
    says(
        &error,
        &[
            "`queue`",
            "`endpoint`",
            &address.to_string(),
            "connect_timeout",
        ],
    );
    assert!(!error.contains("hush"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_server_knows_is_named() {
    let error = refusal(&local("http://no-such-host.invalid/000000000000/orders")).await;
    says(&error, &["no-such-host.invalid", "connect_timeout"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_told() {
    for code in [
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
    ] {
        let fake = Fake::start().await;
        for _ in 0..2 {
            fake.fault("GetQueueAttributes", Fault::Refuse(403, code));
        }
        let error = refusal(&local(&fake.url())).await;
        says(&error, &["`queue`", code, "credentials"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_that_may_not_be_asked_for_has_to_be_given() {
    let fake = Fake::start().await;
    for _ in 0..2 {
        fake.fault("GetQueueAttributes", Fault::Refuse(403, "AccessDenied"));
    }
    let error = refusal(&local(&fake.url())).await;
    says(&error, &["sqs:GetQueueAttributes", "`visibility_timeout`"]);
    let source = local(&fake.url()).visibility_timeout(Duration::from_secs(30));
    let reader = Reader::open(&source).await.unwrap();
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_trouble_is_asked_again_until_it_answers() {
    let fake = Fake::start().await;
    for _ in 0..4 {
        fake.fault(
            "GetQueueAttributes",
            Fault::Refuse(503, "ServiceUnavailable"),
        );
    }
    let source = local(&fake.url()).connect_timeout(Duration::from_secs(10));
    let reader = Reader::open(&source).await.unwrap();
    reader.close().await.unwrap();
}

/// Whether the environment says where, or who we are: then there is nothing to miss.
fn is_configured(variables: &[&str]) -> bool {
    let home = std::env::var_os("HOME").unwrap_or_default();
    variables
        .iter()
        .any(|name| std::env::var_os(name).is_some())
        || std::path::Path::new(&home).join(".aws").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_region_is_told() {
    if is_configured(&["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"]) {
        return;
    }
    let source = Sqs::queue("http://127.0.0.1:1/000000000000/orders")
        .credentials("someone", "hush")
        .connect_timeout(Duration::from_secs(3));
    says(&refusal(&source).await, &["no region", "`region`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_told() {
    let variables = [
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    if is_configured(&variables) {
        return;
    }
    let source = Sqs::queue("http://127.0.0.1:1/000000000000/orders")
        .region("local")
        .connect_timeout(Duration::from_secs(3));
    says(
        &refusal(&source).await,
        &["no credentials", "AWS_ACCESS_KEY_ID"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_cannot_work_are_listed_before_anything_is_tried() {
    let source = Sqs::queue("orders").wait_time(Duration::from_secs(60));
    says(
        &refusal(&source).await,
        &["the SQS source", "queue", "wait_time"],
    );
    let error = SqsPublisher::queue("orders").in_flight_max(0).open().await;
    let error = error.unwrap_err().to_string();
    says(&error, &["the SQS publisher", "queue", "in_flight_max"]);
}
