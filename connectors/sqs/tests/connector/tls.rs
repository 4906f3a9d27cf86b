//! Invalid certificates, and TLS on one side only: opening fails at once, and the error says what to do.

use std::time::Duration;

use broadway_core::testing::Reader;
use broadway_sqs::{Sqs, SqsPublisher};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::common::{fake::Fake, is_alone, run_alone, says, tls::Identity};

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

/// Source and publisher fail to open, at once, with these words.
async fn both_fail(url: &str, words: &[&str]) {
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
async fn a_certificate_of_an_unknown_authority_is_reported() {
    let identity = Identity::of(["localhost"]);
    let url = fake_behind(&identity, "localhost").await;
    both_fail(&url, &["UnknownIssuer", "authority", "SSL_CERT_FILE"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_reported() {
    let identity = Identity::of(["sqs.example.com"]);
    let url = fake_behind(&identity, "localhost").await;
    let authority = identity.authority_file();
    let variables = [
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
        ("TEST_URL", &url),
    ];
    run_alone("tls::alone_with_another_name", &variables);
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_another_name() {
    // Run by the test before this one.
    if !is_alone() {
        return;
    }
    let url = std::env::var("TEST_URL").unwrap();
    both_fail(&url, &["sqs.example.com", "must name the host"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_authority_and_the_right_name_suffice() {
    let identity = Identity::of(["localhost"]);
    let url = fake_behind(&identity, "localhost").await;
    let authority = identity.authority_file();
    let variables = [
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
        ("TEST_URL", &url),
    ];
    run_alone("tls::alone_with_a_trusted_server", &variables);
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

/// Answers each connection with this text, and nothing more.
async fn plain(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.write_all(answer).await);
            // Reads until the client closes: unread bytes at the close would reset the connection.
            drop(stream.shutdown().await);
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
    });
    format!("https://{address}/000000000000/fake")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_reported_to_a_client_with_tls() {
    let url = plain(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    both_fail(&url, &["does not use TLS", "http://"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_during_the_handshake_may_not_use_tls() {
    let url = plain(b"").await;
    let source = Sqs::queue(&url)
        .region("local")
        .credentials("someone", "hush")
        .connect_timeout(Duration::from_secs(2));
    let error = Reader::open(&source).await.err().unwrap().to_string();
    says(&error, &["`queue`", &url, "connect_timeout", "http://"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_reported_to_a_client_without_tls() {
    let identity = Identity::of(["localhost"]);
    let url = fake_behind(&identity, "localhost").await;
    both_fail(&url.replace("https://", "http://"), &["https://"]).await;
}
