//! Certificates that are not accepted, and TLS on one side only: opening fails at once, and says what to do.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::time::Duration;

use broadway_core::testing::Reader;
use broadway_sqs::{Sqs, SqsPublisher};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use common::{fake::Fake, is_alone, run_alone, says, tls::Identity};

/// A fake behind TLS, and the URL of its queue on this host.
async fn fake_behind(identity: &Identity, host: &str) -> String {
    let fake = Fake::start().await;
    let serve = move |stream| {
        let fake = fake.clone();
        async move { fake.serve(stream).await }
    };
    let port = identity.listen(serve).await;
    format!("https://{host}:{port}/000000000000/fake")
}

/// Source and publisher cannot be opened: at once, and in these words.
async fn both_say(url: &str, words: &[&str]) {
    let patience = Duration::from_secs(60);
    let source = Sqs::queue(url)
        .region("local")
        .credentials("someone", "hush")
        .connect_timeout(patience);
    let publisher = SqsPublisher::queue(url)
        .region("local")
        .credentials("someone", "hush")
        .connect_timeout(patience);
    let (source, publisher) = tokio::join!(Reader::open(&source), publisher.open());
    let errors = [source.err().unwrap(), publisher.unwrap_err()];
    for error in errors.map(|error| error.to_string()) {
        says(&error, &["`queue`", url]);
        says(&error, words);
        assert!(!error.contains("connect_timeout"), "at once: {error}");
        assert!(!error.contains("hush"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_unknown_authority_is_told() {
    let identity = Identity::of(["localhost"]);
    let url = fake_behind(&identity, "localhost").await;
    both_say(&url, &["UnknownIssuer", "authority", "SSL_CERT_FILE"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_told() {
    let identity = Identity::of(["sqs.example.com"]);
    let url = fake_behind(&identity, "localhost").await;
    let authority = identity.authority_file();
    let variables = [
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
        ("TEST_URL", &url),
    ];
    run_alone("alone_with_another_name", &variables);
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_another_name() {
    // Run by the test before this one.
    if !is_alone() {
        return;
    }
    let url = std::env::var("TEST_URL").unwrap();
    both_say(&url, &["sqs.example.com", "must name the host"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_authority_and_the_right_name_are_all_that_is_needed() {
    let identity = Identity::of(["localhost"]);
    let url = fake_behind(&identity, "localhost").await;
    let authority = identity.authority_file();
    let variables = [
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
        ("TEST_URL", &url),
    ];
    run_alone("alone_with_a_trusted_server", &variables);
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_a_trusted_server() {
    // Run by the test before this one.
    if !is_alone() {
        return;
    }
    let source = Sqs::queue(std::env::var("TEST_URL").unwrap())
        .region("local")
        .credentials("someone", "hush");
    let reader = Reader::open(&source).await.unwrap();
    reader.close().await.unwrap();
}

/// Says this to whoever comes, and nothing more.
async fn plain(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.write_all(answer).await);
            // Not closed before the other side has: what it sent and nobody read would be a reset.
            drop(stream.shutdown().await);
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
    });
    format!("https://{address}/000000000000/fake")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_told_where_tls_is_spoken() {
    let url = plain(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    both_say(&url, &["does not use TLS", "http://"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_up_may_be_one_without_tls() {
    let url = plain(b"").await;
    let source = Sqs::queue(&url)
        .region("local")
        .credentials("someone", "hush")
        .connect_timeout(Duration::from_secs(2));
    let error = Reader::open(&source).await.err().unwrap().to_string();
    says(&error, &["`queue`", &url, "connect_timeout", "http://"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_told_where_none_is_spoken() {
    let identity = Identity::of(["localhost"]);
    let url = fake_behind(&identity, "localhost").await;
    both_say(&url.replace("https://", "http://"), &["https://"]).await;
}
