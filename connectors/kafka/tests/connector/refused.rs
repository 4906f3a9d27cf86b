//! Brokers that cannot be reached, are not trusted, or reject this client: opening fails with an error that names the setting.

use std::{future::pending, time::Duration};

use broadway_core::{OpenContext, Outgoing, Publisher, Source, connector::ConnectorErrorKind};
use broadway_kafka::{Kafka, KafkaPublisher, StartOffset};
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tokio::net::TcpListener;

use crate::common::{Collector, Reader, kind_of, sasl, tls::Identity};

const SECRET: &str = "hush-7131";

/// Much longer than errors take that are returned at once.
const PATIENT: Duration = Duration::from_secs(60);
/// For errors that may pass, which are retried until the timeout.
const SHORT: Duration = Duration::from_secs(5);

/// The errors of opening a source and a publisher. Neither they nor the `Debug` of the options show the secret.
async fn both(brokers: &str, connect_timeout: Duration, settings: &[(&str, &str)]) -> [String; 2] {
    let mut source = Kafka::topics(["orders"])
        .brokers(brokers)
        .group("billing")
        .connect_timeout(connect_timeout);
    let mut publisher = KafkaPublisher::topic("orders")
        .brokers(brokers)
        .connect_timeout(connect_timeout);
    for (name, value) in settings {
        source = source.set(*name, *value);
        publisher = publisher.set(*name, *value);
    }
    let shown = format!("{source:?} {publisher:?}");
    let cx = OpenContext::for_test();
    let (source, publisher) = tokio::join!(source.open(&cx), publisher.open());
    let errors = [source.err().unwrap(), publisher.err().unwrap()].map(|error| error.to_string());
    let told = errors.concat();
    assert!(
        !shown.contains(SECRET) && !told.contains(SECRET),
        "{shown} {told}"
    );
    errors
}

fn assert_contains(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

/// The errors come before the timeout, with these words.
async fn at_once(brokers: &str, settings: &[(&str, &str)], words: &[&str]) {
    for error in both(brokers, PATIENT, settings).await {
        assert_contains(&error, &["`brokers`", brokers]);
        assert_contains(&error, words);
        assert!(!error.contains("connect_timeout"), "at once: {error}");
    }
}

/// The errors come at the timeout, with these words.
async fn in_time(brokers: &str, settings: &[(&str, &str)], words: &[&str]) {
    for error in both(brokers, SHORT, settings).await {
        assert_contains(&error, &["`brokers`", brokers, "`connect_timeout`"]);
        assert_contains(&error, words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_unknown_authority_fails_at_once() {
    let identity = Identity::of(["localhost"]);
    let port = identity.listen(|_| pending()).await;
    let settings = [("security.protocol", "ssl")];
    let words = ["certificate verify failed", "`ssl.ca.location` (not set"];
    at_once(&format!("localhost:{port}"), &settings, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_fails_at_once() {
    let identity = Identity::of(["kafka.example.com"]);
    let authority = identity.authority_file();
    let authority = authority.to_str().unwrap();
    let port = identity.listen(|_| pending()).await;
    let settings = [("security.protocol", "ssl"), ("ssl.ca.location", authority)];
    let words = [
        "certificate verify failed",
        authority,
        "`ssl.endpoint.identification.algorithm`",
        "must name the host",
    ];
    at_once(&format!("localhost:{port}"), &settings, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_certificate_for_the_right_name_is_accepted() {
    let identity = Identity::of(["localhost"]);
    let authority = identity.authority_file();
    let (seen, mut is_seen) = tokio::sync::mpsc::unbounded_channel();
    let port = identity
        .listen(move |_| {
            let _ = seen.send(());
            pending()
        })
        .await;
    let publisher = KafkaPublisher::topic("orders")
        .brokers(format!("localhost:{port}"))
        .set("security.protocol", "ssl")
        .set("ssl.ca.location", authority.to_str().unwrap());
    tokio::select! {
        opened = publisher.connect_timeout(PATIENT).open() => panic!("{opened:?}"),
        seen = is_seen.recv() => seen.unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_tls_is_an_error_that_names_security_protocol() {
    let cluster = MockCluster::new(1).unwrap();
    let settings = [("security.protocol", "ssl")];
    let words = ["`security.protocol` (\"ssl\")"];
    in_time(&cluster.bootstrap_servers(), &settings, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_tls_is_an_error_that_names_security_protocol() {
    let identity = Identity::of(["localhost"]);
    let port = identity.listen(|_| pending()).await;
    let words = ["`security.protocol` (not set: plaintext)"];
    in_time(&format!("localhost:{port}"), &[], &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_sasl_is_an_error_that_names_security_protocol() {
    let brokers = sasl::start("PLAIN").await;
    let words = ["`security.protocol` (not set: plaintext)", "SASL"];
    in_time(&brokers, &[], &words).await;
}

const LOGIN: [(&str, &str); 4] = [
    ("security.protocol", "sasl_plaintext"),
    ("sasl.mechanism", "PLAIN"),
    ("sasl.username", "billing"),
    ("sasl.password", SECRET),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_fails_at_once() {
    let brokers = sasl::start("PLAIN").await;
    let words = [
        sasl::VERDICT,
        "`sasl.username` (\"billing\")",
        "`sasl.password`",
        "`sasl.mechanism` (\"PLAIN\")",
    ];
    at_once(&brokers, &LOGIN, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_opening_are_found_by_their_kind() {
    let sasl = sasl::start("PLAIN").await;
    let identity = Identity::of(["localhost"]);
    let tls = format!("localhost:{}", identity.listen(|_| pending()).await);
    let cases: [(&str, &[(&str, &str)], _); 3] = [
        (&sasl, &LOGIN, ConnectorErrorKind::Auth),
        (
            &tls,
            &[("security.protocol", "ssl")],
            ConnectorErrorKind::Permanent,
        ),
        ("127.0.0.1:1", &[], ConnectorErrorKind::Transient),
    ];
    for (brokers, settings, kind) in cases {
        let mut source = Kafka::topics(["orders"])
            .brokers(brokers)
            .group("billing")
            .connect_timeout(SHORT);
        let mut publisher = KafkaPublisher::topic("orders")
            .brokers(brokers)
            .connect_timeout(SHORT);
        for (name, value) in settings {
            source = source.set(*name, *value);
            publisher = publisher.set(*name, *value);
        }
        let error = source.open(&OpenContext::for_test()).await.err().unwrap();
        assert_eq!(kind_of(error.as_ref()), Some(kind), "{error}");
        let error = publisher.open().await.err().unwrap();
        assert_eq!(kind_of(error.as_ref()), Some(kind), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mechanism_that_the_broker_does_not_support_fails_at_once() {
    let brokers = sasl::start("SCRAM-SHA-512").await;
    let words = ["SCRAM-SHA-512", "`sasl.mechanism` (\"PLAIN\")"];
    at_once(&brokers, &LOGIN, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oauthbearer_without_a_source_of_tokens_fails_before_connecting() {
    let settings = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "OAUTHBEARER"),
    ];
    for error in both("127.0.0.1:1", PATIENT, &settings).await {
        assert_contains(&error, &["sasl.mechanism", "`sasl.oauthbearer.method`"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_named() {
    let settings = [
        ("security.protocol", "ssl"),
        ("ssl.ca.location", "/nowhere/authority.pem"),
    ];
    for error in both("127.0.0.1:1", PATIENT, &settings).await {
        assert_contains(&error, &["`ssl.ca.location`", "/nowhere/authority.pem"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_a_password_is_an_error() {
    for error in both("127.0.0.1:1", PATIENT, &LOGIN[..3]).await {
        assert_contains(&error, &["sasl.password must be set"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_do_not_answer_are_an_error_with_the_reason() {
    // A port on which no process listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    in_time(&address, &[], &["Connection refused", "check the hosts"]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    in_time(&address, &[], &["no answer", "check the hosts"]).await;
    let unknown = "no-such-host.invalid:9092";
    in_time(unknown, &[], &["check the hosts"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_without_describe_permission_fails_at_once() {
    let cluster = MockCluster::new(1).unwrap();
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.topic_error("orders", denied).unwrap();
    let [source, publisher] = both(&cluster.bootstrap_servers(), PATIENT, &[]).await;
    assert_contains(&source, &["`orders`", "`topics`", "grant READ"]);
    assert_contains(&publisher, &["`orders`", "`topic`", "grant WRITE"]);
}

fn orders(cluster: &MockCluster<'_, DefaultProducerContext>) -> Kafka {
    Kafka::topics(["orders"])
        .brokers(cluster.bootstrap_servers())
        .group("billing")
        .start_offset(StartOffset::Earliest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_read_permission_fails_at_once() {
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    for request in [
        RDKafkaApiKey::FindCoordinator,
        RDKafkaApiKey::JoinGroup,
        RDKafkaApiKey::OffsetFetch,
    ] {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("orders", 1, 1).unwrap();
        cluster.request_errors(request, &[denied; 100]);
        let source = orders(&cluster).join_timeout(PATIENT);
        let error = Reader::try_open(&source).await.err().unwrap().to_string();
        assert_contains(&error, &["`billing`", "`group`", "grant READ on the group"]);
        assert!(!error.contains("join_timeout"), "at once: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_permission_for_the_group_is_reported_and_waited_for() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    // The mock waits this long for the member that it no longer knows.
    let source = orders(&cluster)
        .set("heartbeat.interval.ms", "100")
        .set("session.timeout.ms", "6000");
    let mut reader = Reader::open(&source).await;
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::JoinGroup, &[denied; 2]);
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    cluster.request_errors(RDKafkaApiKey::Heartbeat, &[unknown]);
    let is_told = |seen: &Collector| match seen {
        Collector::Error(text) => text.contains("grant READ on the group"),
        _ => false,
    };
    reader.log.wait_for("the refusal", is_told).await;
    let publisher = KafkaPublisher::topic("orders").brokers(cluster.bootstrap_servers());
    let publisher = publisher.open().await.unwrap();
    let results = publisher.publish(vec![Outgoing::new("17")]).await;
    results.into_iter().for_each(|result| result.unwrap());
    // Once the permission is granted again, reading continues automatically.
    assert_eq!(crate::common::numbers(&reader.exactly(1).await), [17]);
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_permission_to_read_is_reported_and_waited_for() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let publisher = KafkaPublisher::topic("orders").brokers(&brokers);
    let publisher = publisher.open().await.unwrap();
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::Fetch, &[denied; 3]);
    let mut reader = Reader::open(&orders(&cluster)).await;
    let results = publisher.publish(vec![Outgoing::new("17")]).await;
    assert_eq!(results.len(), 1);
    results.into_iter().for_each(|result| result.unwrap());
    // Once the permission is granted again, reading continues automatically.
    assert_eq!(crate::common::numbers(&reader.exactly(1).await), [17]);
    let is_told = |seen: &Collector| match seen {
        Collector::Error(text) => text.contains("orders[0]") && text.contains("grant READ"),
        _ => false,
    };
    reader.log.wait_for("the refusal", is_told).await;
    reader.close().await.unwrap();
}
