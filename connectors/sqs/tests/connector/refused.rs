//! Configurations that cannot work: opening fails in time, and the error names the option and what to do.

use std::time::Duration;

use broadway_core::{
    BoxError, Outgoing, PublishErrorKind, Publisher, Source,
    connector::{
        ConnectorError,
        ConnectorErrorKind::{self, Auth, Permanent, Transient},
    },
    testing::Reader,
};
use broadway_sqs::{Sqs, SqsPublisher, SqsPublisherBuilder};
use tokio::net::TcpListener;

use crate::common::{
    broker, client,
    fake::{Fake, Fault},
    says, unique,
};

async fn refusal(source: &Sqs) -> String {
    let Err(error) = Reader::open(source).await else {
        panic!("opened {source:?}");
    };
    let error = error.to_string();
    assert!(!error.contains("hush"), "{error}");
    error
}

/// As [`refusal`], for a publisher.
async fn no_publisher(publisher: SqsPublisherBuilder) -> String {
    let error = publisher.open().await.unwrap_err().to_string();
    assert!(!error.contains("hush"), "{error}");
    error
}

fn kind(error: &BoxError) -> Option<ConnectorErrorKind> {
    ConnectorError::find(error.as_ref()).map(ConnectorError::kind)
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
        // It exists now.
        let reader = Reader::open(&local(&url)).await.unwrap();
        reader.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_listener_is_named() {
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
    // The operating system accepts connections; nothing answers.
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
async fn a_host_name_that_does_not_resolve_is_named() {
    let error = refusal(&local("http://no-such-host.invalid/000000000000/orders")).await;
    says(&error, &["no-such-host.invalid", "connect_timeout"]);
}

fn publisher(url: &str) -> SqsPublisherBuilder {
    SqsPublisher::queue(url)
        .region("local")
        .credentials("someone", "hush")
        .connect_timeout(Duration::from_secs(60))
        .confirm_timeout(Duration::from_secs(60))
}

/// Codes with which AWS rejects a request whatever its content, and what the error says to do.
const REFUSALS: [(u16, &str, &str); 15] = [
    (400, "AWS.SimpleQueueService.NonExistentQueue", "create it"),
    (400, "QueueDoesNotExist", "create it"),
    (
        404,
        "InvalidAddress",
        "correct `queue`, `region` or `endpoint`",
    ),
    (403, "InvalidClientTokenId", "`credentials`"),
    (403, "UnrecognizedClientException", "`credentials`"),
    (403, "SignatureDoesNotMatch", "`credentials`"),
    (403, "InvalidSignatureException", "the region"),
    (403, "ExpiredToken", "`credentials`"),
    (403, "InvalidSecurity", "`credentials`"),
    (403, "MissingAuthenticationToken", "`credentials`"),
    (400, "KMS.AccessDeniedException", "kms:Decrypt"),
    (400, "KMS.DisabledException", "KMS key"),
    (400, "KMS.NotFoundException", "KMS key"),
    (400, "KMS.InvalidStateException", "KMS key"),
    (400, "KmsAccessDenied", "kms:Decrypt"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_fails_at_once_and_names_the_option_and_what_to_do() {
    for (status, code, advice) in REFUSALS {
        let fake = Fake::start().await;
        for _ in 0..2 {
            fake.fault("GetQueueAttributes", Fault::Refuse(status, code));
        }
        let url = fake.url();
        let words = ["`queue`", &url, "region \"local\"", code, advice];
        let patient = local(&url).connect_timeout(Duration::from_secs(60));
        says(&refusal(&patient).await, &words);
        says(&no_publisher(publisher(&url)).await, &words);
        assert_eq!(fake.of("GetQueueAttributes").len(), 2, "{code}: one each");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_a_kind_that_says_who_must_act() {
    for (status, code, expected) in [
        (400, "QueueDoesNotExist", Permanent),
        (404, "InvalidAddress", Permanent),
        (400, "KMS.NotFoundException", Permanent),
        (400, "KMS.AccessDeniedException", Auth),
        (403, "InvalidClientTokenId", Auth),
        (403, "SignatureDoesNotMatch", Auth),
        (403, "ExpiredToken", Auth),
    ] {
        let fake = Fake::start().await;
        for _ in 0..2 {
            fake.fault("GetQueueAttributes", Fault::Refuse(status, code));
        }
        let error = Reader::open(&local(&fake.url())).await.err().unwrap();
        assert_eq!(kind(&error), Some(expected), "{error}");
        let error = publisher(&fake.url()).open().await.unwrap_err();
        assert_eq!(kind(&error), Some(expected), "{error}");
        // A `main` that returns it prints its `Debug`.
        assert_eq!(format!("{error:?}"), error.to_string());
    }
    let unreachable = Reader::open(&local("http://127.0.0.1:1/000000000000/orders")).await;
    assert_eq!(kind(&unreachable.err().unwrap()), Some(Transient));
    let fake = Fake::start().await;
    for action in ["ReceiveMessage", "GetQueueAttributes", "GetQueueAttributes"] {
        fake.fault(action, Fault::Refuse(403, "AccessDenied"));
    }
    let error = Reader::open(&local(&fake.url())).await.err().unwrap();
    assert_eq!(kind(&error), Some(Auth), "{error}");
    let source = local(&fake.url()).visibility_timeout(Duration::from_secs(30));
    let mut reader = Reader::open(&source).await.unwrap();
    let error = reader.some(1).await.unwrap_err();
    assert_eq!(kind(&error), Some(Auth), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_poll_fails_the_producer_and_says_what_to_do() {
    for (code, advice) in [
        ("AccessDeniedException", "grant"),
        ("AWS.SimpleQueueService.NonExistentQueue", "create it"),
        ("KMS.AccessDeniedException", "kms:Decrypt"),
        ("ExpiredToken", "`credentials`"),
    ] {
        let fake = Fake::start().await;
        fake.fault("ReceiveMessage", Fault::Refuse(400, code));
        let mut reader = Reader::open(&local(&fake.url())).await.unwrap();
        let error = reader.some(1).await.unwrap_err().to_string();
        says(&error, &["`queue`", &fake.url(), code, advice]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_send_is_refused_and_says_what_to_do() {
    for (code, advice) in [
        ("AccessDenied", "grant"),
        ("KMS.AccessDeniedException", "kms:GenerateDataKey"),
        ("AWS.SimpleQueueService.NonExistentQueue", "create it"),
    ] {
        let fake = Fake::start().await;
        fake.fault("SendMessageBatch", Fault::Refuse(400, code));
        let publisher = publisher(&fake.url()).open().await.unwrap();
        let results = publisher.publish(vec![Outgoing::new("order")]).await;
        let error = results[0].as_ref().unwrap_err();
        assert_eq!(error.kind(), PublishErrorKind::Refused);
        says(&error.to_string(), &["`queue`", &fake.url(), code, advice]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_retried_and_reported_when_it_lasts() {
    let fake = Fake::start().await;
    for _ in 0..1_000 {
        fake.fault("GetQueueAttributes", Fault::Refuse(403, "RequestThrottled"));
    }
    let words = [
        "`queue`",
        &fake.url(),
        "RequestThrottled",
        "connect_timeout",
        "later",
    ];
    says(&refusal(&local(&fake.url())).await, &words);
    let impatient = publisher(&fake.url()).connect_timeout(Duration::from_secs(2));
    says(&no_publisher(impatient).await, &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_should_have_been_signed_is_not_shown() {
    const WORDS: &str = "The request signature we calculated does not match the signature you provided.\n\n\
        The Canonical String for this request should have been\n'POST\n/\nx-amz-security-token:hush\n'";
    let fake = Fake::start().await;
    fake.fault(
        "GetQueueAttributes",
        Fault::Explain(403, "SignatureDoesNotMatch", WORDS),
    );
    let error = refusal(&local(&fake.url())).await;
    says(&error, &["does not match the signature", "`credentials`"]);
}

#[test]
fn a_region_that_differs_from_the_clients_is_found_without_connecting() {
    const URL: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders";
    let client = client("http://127.0.0.1:1");
    let problems = Sqs::queue(URL).client(client.clone()).check();
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    says(&texts[0], &["client", "\"elasticmq\"", "\"eu-central-1\""]);
    let problems = Sqs::queue(URL).region("us-east-1").check();
    says(
        &problems[0].to_string(),
        &["region", "us-east-1", "eu-central-1"],
    );
    assert!(
        Sqs::queue("http://127.0.0.1:1/1/orders")
            .client(client)
            .check()
            .is_empty()
    );
}

#[test]
fn no_secret_is_shown_whatever_option_has_it() {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
        .credentials_provider(aws_sdk_sqs::config::Credentials::new(
            "me", "hush", None, None, "test",
        ))
        .build();
    let given = Sqs::queue("http://me:hush@host/1/orders").endpoint("http://me:hush@host");
    let all = [
        given.clone(),
        given.clone().endpoint("me:hush@host"),
        Sqs::queue("me:hush@host/orders"),
        local("http://host/1/orders"),
        local("http://host/1/orders").client(aws_sdk_sqs::Client::from_conf(config)),
    ];
    for source in all {
        let shown = format!("{source:?} {:?}", source.check());
        assert!(!shown.contains("hush"), "{shown}");
    }
    let publisher = publisher("http://me:hush@host/1/orders").endpoint("http://me:hush@host");
    assert!(!format!("{publisher:?}").contains("hush"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_to_read_it_the_visibility_timeout_must_be_set() {
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
async fn a_service_that_fails_is_retried_until_it_answers() {
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

/// Whether the environment has a region or credentials: then nothing is missing.
fn is_configured(variables: &[&str]) -> bool {
    let home = std::env::var_os("HOME").unwrap_or_default();
    variables
        .iter()
        .any(|name| std::env::var_os(name).is_some())
        || std::path::Path::new(&home).join(".aws").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_region_is_reported() {
    if is_configured(&["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"]) {
        return;
    }
    let source = Sqs::queue("http://127.0.0.1:1/000000000000/orders")
        .credentials("someone", "hush")
        .connect_timeout(Duration::from_secs(3));
    says(&refusal(&source).await, &["no region", "`region`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_reported() {
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
async fn invalid_options_are_listed_without_connecting() {
    let source = Sqs::queue("orders").wait_time(Duration::from_secs(60));
    says(
        &refusal(&source).await,
        &["the SQS source", "queue", "wait_time"],
    );
    let error = SqsPublisher::queue("orders").in_flight_max(0).open().await;
    let error = error.unwrap_err().to_string();
    says(&error, &["the SQS publisher", "queue", "in_flight_max"]);
}
