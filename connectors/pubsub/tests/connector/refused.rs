//! Invalid credentials, permissions, certificates and endpoints: the errors of source and publisher say what to do.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use broadway_core::{
    BoxError, Outgoing, PublishErrorKind, Publisher,
    connector::{
        ConnectorError,
        ConnectorErrorKind::{self, Auth, Permanent},
    },
    testing::Reader,
};
use broadway_pubsub::{PubSub, PubSubPublisher};
use google_cloud_auth::credentials::anonymous::Builder as Anonymous;
use google_cloud_pubsub::client::{BasePublisher, Subscriber};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::common::{
    fake::{self, Refusal},
    is_alone, run_alone,
    tls::Identity,
    unique,
};

const SUBSCRIPTION: &str = "projects/broadway/subscriptions/sensors";
const TOPIC: &str = "projects/broadway/topics/sensors";

fn source(endpoint: &str) -> PubSub {
    PubSub::subscription(SUBSCRIPTION)
        .endpoint(endpoint)
        .connect_timeout(Duration::from_secs(60))
}

fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
    assert!(!error.contains("hush"), "{error}");
}

/// The source fails with these words: when it is opened, or on a busy machine right after it.
async fn source_fails(source: &PubSub, kind: ConnectorErrorKind, words: &[&str]) {
    let error = match Reader::open(source).await {
        Err(error) => error,
        Ok(mut reader) => reader.some(1).await.unwrap_err(),
    };
    let found = ConnectorError::find(error.as_ref()).map(ConnectorError::kind);
    assert_eq!(found, Some(kind), "{error}");
    says(&error.to_string(), words);
}

/// The publisher fails with these words: when it is opened, or with its first message.
async fn publisher_fails(opened: Result<PubSubPublisher, BoxError>, words: &[&str]) {
    let error = match opened {
        Err(error) => error.to_string(),
        Ok(publisher) => {
            let results = publisher.publish(vec![Outgoing::new("21.5")]).await;
            let error = results.into_iter().next().unwrap().unwrap_err();
            assert_eq!(error.kind(), PublishErrorKind::Refused, "{error}");
            error.to_string()
        }
    };
    says(&error, words);
}

async fn both_fail(
    refusal: Refusal,
    kind: ConnectorErrorKind,
    of_source: &[&str],
    of_publisher: &[&str],
) {
    let endpoint = format!("http://{}", fake::start(refusal).await);
    let of_source = [of_source, &[SUBSCRIPTION, "`subscription`", &endpoint]].concat();
    source_fails(&source(&endpoint), kind, &of_source).await;
    let publisher = PubSubPublisher::topic(TOPIC).endpoint(&endpoint);
    let of_publisher = [of_publisher, &[TOPIC, "`topic`", &endpoint]].concat();
    publisher_fails(publisher.open().await, &of_publisher).await;
}

const HIDDEN: (u16, &str) = (403, "PERMISSION_DENIED");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_reported_with_the_role_that_has_it() {
    let refusal = Refusal {
        rest: HIDDEN,
        grpc: 7,
        words: "User not authorized to perform this action.",
    };
    let words = ["no permission", "not authorized", "its project"];
    let of_source = [&words[..], &["roles/pubsub.subscriber"]].concat();
    let of_publisher = [&words[..], &["roles/pubsub.publisher"]].concat();
    both_fail(refusal, Auth, &of_source, &of_publisher).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_resource_is_named_even_if_the_client_may_not_get_it() {
    for rest in [(404, "NOT_FOUND"), HIDDEN] {
        let refusal = Refusal {
            rest,
            grpc: 5,
            words: "Resource not found (resource=sensors).",
        };
        let words = ["create it", "correct the name and its project"];
        both_fail(refusal, Permanent, &words, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_credentials_are_reported() {
    for rest in [(401, "UNAUTHENTICATED"), HIDDEN] {
        let refusal = Refusal {
            rest,
            grpc: 16,
            words: "Request had invalid authentication credentials.",
        };
        let words = [
            "does not accept the credentials",
            "invalid authentication credentials",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ];
        both_fail(refusal, Auth, &words, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provided_client_fails_with_the_same_words() {
    let refusal = Refusal {
        rest: HIDDEN,
        grpc: 7,
        words: "User not authorized to perform this action.",
    };
    let endpoint = format!("http://{}", fake::start(refusal).await);
    let subscriber = Subscriber::builder()
        .with_endpoint(&endpoint)
        .with_credentials(Anonymous::new().build());
    let source = PubSub::subscription(SUBSCRIPTION).client(subscriber.build().await.unwrap());
    let words = [SUBSCRIPTION, "`client`", "roles/pubsub.subscriber"];
    source_fails(&source, Auth, &words).await;
    let client = BasePublisher::builder()
        .with_endpoint(&endpoint)
        .with_credentials(Anonymous::new().build());
    let publisher = PubSubPublisher::topic(TOPIC).client(client.build().await.unwrap());
    let words = [TOPIC, "`client`", "roles/pubsub.publisher"];
    publisher_fails(publisher.open().await, &words).await;
}

/// Answers every request with this text, or closes if it is empty.
async fn answering(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                drop(stream.read(&mut [0; 65_536]).await);
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
                drop(stream.read_to_end(&mut Vec::new()).await);
            });
        }
    });
    address
}

/// A key file whose tokens come from a server of the test.
async fn key_file(status: u16, answer: &str) -> PathBuf {
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\n");
    let server = answering(format!(
        "{head}content-length: {}\r\n\r\n{answer}",
        answer.len()
    ))
    .await;
    let key = format!(
        r#"{{"type":"authorized_user","client_id":"me","client_secret":"hush","refresh_token":"hush","token_uri":"http://{server}/"}}"#
    );
    file(&key)
}

fn file(text: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("{}.json", unique("broadway-key")));
    std::fs::write(&file, text).unwrap();
    file
}

const TOKEN: &str = r#"{"access_token":"hush","expires_in":3600,"token_type":"Bearer"}"#;

/// In a process of its own, with this key and these variables, source and publisher fail with these words.
fn alone(key: &Path, variables: &[(&str, &str)], words: &[&str]) {
    let key = ("GOOGLE_APPLICATION_CREDENTIALS", key.to_str().unwrap());
    let words = words.join("|");
    let own = [key, ("TEST_WORDS", words.as_str())];
    run_alone("refused::alone_refused", &[&own[..], variables].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_refused() {
    // Run by the tests below.
    if !is_alone() {
        return;
    }
    let words = std::env::var("TEST_WORDS").unwrap();
    let words: Vec<&str> = words.split('|').collect();
    let mut source = PubSub::subscription(SUBSCRIPTION);
    let mut publisher = PubSubPublisher::topic(TOPIC);
    if let Ok(endpoint) = std::env::var("TEST_ENDPOINT") {
        source = source.endpoint(&endpoint);
        publisher = publisher.endpoint(&endpoint);
    }
    let (source, publisher) = tokio::join!(Reader::open(&source), publisher.open());
    says(&source.unwrap_err().to_string(), &words);
    says(&publisher.unwrap_err().to_string(), &words);
}

#[test]
fn a_missing_or_malformed_key_file_is_reported() {
    let words = ["GOOGLE_APPLICATION_CREDENTIALS", "no credentials"];
    alone(Path::new("/nowhere/key.json"), &[], &words);
    let keys = [
        r#"{"type":"authorized_user","client_secret":"hush","refresh_token":["hush"]}"#,
        r#"{"type":"authorized_user","client_secret":"hush""#,
        r#"{"client_secret":"hush"}"#,
    ];
    for key in keys {
        alone(&file(key), &[], &words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_a_token_is_reported() {
    let answer = r#"{"error":"invalid_grant","error_description":"Token has been revoked."}"#;
    let key = key_file(400, answer).await;
    alone(
        &key,
        &[],
        &[
            "no credentials",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "invalid_grant",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_token_is_reported_and_not_shown() {
    let key = key_file(200, TOKEN).await;
    let body = r#"{"error":{"code":401,"status":"UNAUTHENTICATED","message":"by order"}}"#;
    let answer = format!(
        "HTTP/1.1 401 x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let identity = Identity::of(["localhost"]);
    let port = identity
        .listen(move |mut stream| {
            let answer = answer.clone();
            async move {
                drop(stream.read(&mut [0; 65_536]).await);
                drop(stream.write_all(answer.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        })
        .await;
    let endpoint = format!("https://localhost:{port}");
    let authority = identity.authority_file();
    let variables = [
        ("TEST_ENDPOINT", endpoint.as_str()),
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
    ];
    alone(
        &key,
        &variables,
        &["does not accept the credentials", "by order", &endpoint],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_an_unknown_authority_is_reported() {
    let key = key_file(200, TOKEN).await;
    let port = Identity::of(["localhost"])
        .listen(|_| std::future::pending())
        .await;
    let endpoint = format!("https://localhost:{port}");
    let words = ["`endpoint`", &endpoint, "UnknownIssuer", "SSL_CERT_FILE"];
    alone(&key, &[("TEST_ENDPOINT", &endpoint)], &words);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_name_is_reported() {
    let key = key_file(200, TOKEN).await;
    let identity = Identity::of(["pubsub.example.com"]);
    let port = identity.listen(|_| std::future::pending()).await;
    let endpoint = format!("https://localhost:{port}");
    let authority = identity.authority_file();
    let variables = [
        ("TEST_ENDPOINT", endpoint.as_str()),
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
    ];
    let words = [
        "`endpoint`",
        &endpoint,
        "pubsub.example.com",
        "must name the host",
    ];
    alone(&key, &variables, &words);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_on_one_side_only_is_reported() {
    let key = key_file(200, TOKEN).await;
    let plain = answering("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()).await;
    let endpoint = format!("https://{plain}");
    let words = ["`endpoint`", &endpoint, "does not use TLS"];
    alone(&key, &[("TEST_ENDPOINT", &endpoint)], &words);
    let port = Identity::of(["localhost"])
        .listen(|_| std::future::pending())
        .await;
    let endpoint = format!("http://localhost:{port}");
    let words = ["`endpoint`", &endpoint, "use https://"];
    source_fails(&source(&endpoint), Permanent, &words).await;
    let publisher = PubSubPublisher::topic(TOPIC).endpoint(&endpoint);
    publisher_fails(publisher.open().await, &words).await;
}

#[test]
fn a_variable_that_is_not_an_address_fails_without_connecting() {
    let nowhere = Path::new("/nowhere/key.json");
    for host in ["https://localhost:8085", "localhost", "localhost:8085/v1"] {
        let variables = [("PUBSUB_EMULATOR_HOST", host)];
        alone(
            nowhere,
            &variables,
            &["PUBSUB_EMULATOR_HOST", host, "host:port"],
        );
    }
    let variables = [("PUBSUB_EMULATOR_HOST", "me:hush@localhost:1")];
    alone(
        nowhere,
        &variables,
        &["PUBSUB_EMULATOR_HOST", "…@localhost:1"],
    );
    let variables = [("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")];
    alone(
        nowhere,
        &variables,
        &["PUBSUB_EMULATOR_HOST", "127.0.0.1:1", "refused"],
    );
}
