//! The program, run as a process, against each broker that is up: `scripts/brokers up`.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test as tests do"
)]

use std::{
    process::{self, Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

use broadway::{
    Outgoing, Publisher, Record,
    dead_letters::headers,
    source::{Source, SourceProducer},
    testing::Reader,
};
use broadway_test_brokers::broker;
use serde_json::Value;

/// A name that no other run uses.
fn unique(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("dlq-{name}-{}-{}", process::id(), now.as_millis())
}

fn run(arguments: &[&str], more: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_broadway-dlq"));
    let program = program.args(arguments).args(more);
    program
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .stdin(process::Stdio::null())
        .output()
        .unwrap()
}

/// Runs the program, which must succeed, and returns the lines that it printed as JSON.
fn json(arguments: &[&str], more: &[&str]) -> Vec<Value> {
    let output = run(arguments, &[more, &["--json", "--idle", "3"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The dead letter of message `number`, which came from `origin`.
fn letter(number: u32, origin: &str) -> Outgoing {
    let class = if number.is_multiple_of(2) {
        "transient"
    } else {
        "poison"
    };
    Outgoing::new(vec![b'0' + number as u8, 0xff, 0])
        .key("k")
        .header("tenant", "7")
        .header(headers::ORIGIN, format!("{origin}{number}"))
        .header(headers::REASON, "handle_message failed: no such customer")
        .header(headers::CLASS, class)
        .header(headers::ID, format!("{number:032x}"))
}

/// What differs between brokers.
struct Place<'a> {
    /// The arguments that name the queue of dead letters.
    from: &'a [&'a str],
    /// The arguments that name the destination.
    to: &'a [&'a str],
    /// The coordinates of the records that failed, up to their number.
    origin: &'a str,
    /// Whether a replay removes dead letters.
    removes: bool,
}

/// Lists, shows and replays four dead letters, of which two match.
fn assert_replayed(item: &impl Record) {
    let number = u32::from(item.payload()[0] - b'0');
    assert!(number.is_multiple_of(2), "{number}");
    assert_eq!(item.payload(), [b'0' + number as u8, 0xff, 0]);
    assert_eq!(item.header("tenant"), Some(&b"7"[..]));
    assert_eq!(
        item.header(headers::ID),
        Some(format!("{number:032x}").as_bytes())
    );
    assert_eq!(item.header(headers::REPLAYS), Some(&b"1"[..]));
    assert_eq!(item.header(headers::ORIGIN), None);
}

async fn list_show_and_replay<P: Publisher, S: Source>(place: &Place<'_>, dead: P, back: S)
where
    S::Producer: SourceProducer<Item: Record>,
{
    let letters = (0..4).map(|number| letter(number, place.origin)).collect();
    for result in dead.publish(letters).await {
        result.unwrap();
    }
    dead.close().await.unwrap();

    let listed = json(&["list"], place.from);
    let mut ids: Vec<_> = listed
        .iter()
        .map(|letter| letter["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    assert_eq!(
        ids,
        (0..4)
            .map(|number| format!("{number:032x}"))
            .collect::<Vec<_>>()
    );
    assert_eq!(
        listed[0]["reason"],
        "handle_message failed: no such customer"
    );
    let headers = listed[0]["headers"].as_array().unwrap();
    assert!(
        headers.contains(&serde_json::json!(["tenant", "7"])),
        "{headers:?}"
    );

    let shown = json(&["show", &format!("{:032x}", 3)], place.from);
    assert_eq!(
        (&shown[0]["class"], &shown[0]["payload_bytes"]),
        (&"poison".into(), &3.into())
    );
    let missing = run(&["show", "nothing", "--idle", "3"], place.from);
    assert_eq!(missing.status.code(), Some(1));

    let arguments = [&["replay", "--filter", "class=transient"], place.to].concat();
    let counts = json(&[&arguments[..], &["--dry-run"]].concat(), place.from);
    assert_eq!(
        (&counts[0]["matched"], &counts[0]["replayed"]),
        (&2.into(), &0.into())
    );
    let counts = json(&[&arguments[..], &["--yes"]].concat(), place.from);
    assert_eq!(
        (&counts[0]["matched"], &counts[0]["replayed"]),
        (&2.into(), &2.into()),
        "{counts:?}"
    );

    let mut reader = Reader::open(&back).await.unwrap();
    let came = reader.exactly(2).await;
    came.iter()
        .for_each(|received| assert_replayed(&received.item));
    reader.done(came).await;
    reader.close().await.unwrap();
    let left = json(&["list"], place.from).len();
    assert_eq!(left, if place.removes { 2 } else { 4 });
}

#[cfg(feature = "kafka")]
#[tokio::test(flavor = "multi_thread")]
async fn kafka_is_listed_and_replayed() {
    use broadway::kafka::{Kafka, KafkaPublisher, NewTopic, StartOffset};
    let Some(brokers) = broker("kafka") else {
        return;
    };
    let (dead, back) = (unique("dead"), unique("back"));
    let publisher = |topic: &str| {
        KafkaPublisher::topic(topic)
            .brokers(&brokers)
            .create_if_missing(NewTopic::partitions(2))
            .open()
    };
    publisher(&back).await.unwrap().close().await.unwrap();
    let source = Kafka::topics([&back]).brokers(&brokers).group(&back);
    let place = Place {
        from: &["--kafka", &brokers, "--topic", &dead],
        // Back to the topic that the origin names.
        to: &[],
        origin: &format!("{back}[0]@"),
        removes: false,
    };
    let dead = publisher(&dead).await.unwrap();
    let source = source.start_offset(StartOffset::Earliest);
    list_show_and_replay(&place, dead, source).await;
    // The same replay continues where it ended.
    let again = ["replay", "--filter", "class=transient", "--yes"];
    assert_eq!(json(&again, place.from)[0]["replayed"], 0);
}

#[cfg(feature = "rabbitmq")]
#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_is_listed_and_replayed() {
    use broadway::rabbitmq::{Declare, RabbitMq, RabbitMqPublisher};
    let Some(address) = broker("rabbitmq") else {
        return;
    };
    let (dead, back) = (unique("dead"), unique("back"));
    let uri = format!("amqp://guest:guest@{address}/%2f");
    let publisher = RabbitMqPublisher::queue(&dead)
        .uri(&uri)
        .create_if_missing();
    let source = RabbitMq::queue(&back).uri(&uri).declare(Declare::quorum());
    Reader::open(&source).await.unwrap().close().await.unwrap();
    let place = Place {
        from: &["--rabbitmq", &uri, "--queue", &dead],
        to: &[],
        origin: &format!("{back}@"),
        removes: true,
    };
    list_show_and_replay(&place, publisher.open().await.unwrap(), source).await;
}

#[cfg(feature = "sqs")]
#[tokio::test(flavor = "multi_thread")]
async fn sqs_is_listed_and_replayed() {
    use broadway::sqs::{Sqs, SqsPublisher};
    let Some(address) = broker("sqs") else { return };
    let endpoint = format!("http://{address}");
    let url = |name: &str| format!("{endpoint}/000000000000/{}", unique(name));
    let (dead, back) = (url("dead"), url("back"));
    let publisher = SqsPublisher::queue(&dead)
        .region("elasticmq")
        .endpoint(&endpoint)
        .credentials("test", "test")
        .create_if_missing();
    let source = Sqs::queue(&back)
        .region("elasticmq")
        .endpoint(&endpoint)
        .credentials("test", "test")
        .create_if_missing();
    Reader::open(&source).await.unwrap().close().await.unwrap();
    let place = Place {
        from: &[
            "--sqs",
            &dead,
            "--endpoint",
            &endpoint,
            "--region",
            "elasticmq",
        ],
        to: &["--to", &back],
        origin: "orders@",
        removes: true,
    };
    list_show_and_replay(&place, publisher.open().await.unwrap(), source).await;
}

#[cfg(feature = "pubsub")]
#[tokio::test(flavor = "multi_thread")]
async fn pubsub_is_listed_and_replayed() {
    use broadway::pubsub::{NewSubscription, PubSub, PubSubPublisher};
    let Some(address) = broker("pubsub") else {
        return;
    };
    let endpoint = format!("http://{address}");
    let resource = |kind: &str, name: &str| format!("projects/broadway-test/{kind}/{name}");
    let (dead, back) = (unique("dead"), unique("back"));
    let topics = [&dead, &back].map(|name| resource("topics", name));
    let subscriptions = [&dead, &back].map(|name| resource("subscriptions", name));
    let publisher = |topic: &str| {
        PubSubPublisher::topic(topic)
            .endpoint(&endpoint)
            .create_if_missing()
    };
    publisher(&topics[1])
        .open()
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let dead = publisher(&topics[0]).open().await.unwrap();
    for (subscription, topic) in subscriptions.iter().zip(&topics) {
        let source = PubSub::subscription(subscription).endpoint(&endpoint);
        let source = source.create_if_missing(NewSubscription::on(topic));
        Reader::open(&source).await.unwrap().close().await.unwrap();
    }
    let place = Place {
        from: &["--pubsub", &subscriptions[0], "--endpoint", &endpoint],
        to: &["--to", &topics[1]],
        origin: "81273640",
        removes: true,
    };
    let source = PubSub::subscription(&subscriptions[1]).endpoint(&endpoint);
    list_show_and_replay(&place, dead, source).await;
}

#[test]
fn wrong_arguments_and_a_broker_that_is_away_have_their_exit_codes() {
    assert_eq!(run(&["list"], &[]).status.code(), Some(2));
    let place = [
        "--sqs",
        "http://127.0.0.1:1/0/q",
        "--endpoint",
        "http://127.0.0.1:1",
        "--region",
        "x",
    ];
    let unasked = run(&["replay", "--to", "http://127.0.0.1:1/0/r"], &place);
    assert_eq!(
        unasked.status.code(),
        Some(2),
        "it cannot ask, and was not told"
    );
    let away = run(&["list"], &place);
    assert_eq!(away.status.code(), Some(1));
    let text = String::from_utf8_lossy(&away.stderr);
    assert!(text.starts_with("broadway-dlq: "), "{text}");
}
