//! The publisher's promises, against a real broker: `scripts/brokers up rabbitmq`.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use broadway_core::{Outgoing, PublishError, PublishErrorKind, Publisher};
use broadway_rabbitmq::{RabbitMqPublisher, RabbitMqPublisherBuilder};
use lapin::{
    Channel, Connection, ConnectionProperties,
    message::BasicGetMessage,
    options::{BasicGetOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// The bound on every wait: far above what is needed, so that only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a bad configuration may take to be told.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// The test broker; `None` (and a word about it) where there is none and none is required.
fn broker() -> Option<String> {
    let address = env::var("BROADWAY_RABBITMQ").unwrap_or_else(|_| "127.0.0.1:19672".to_owned());
    if std::net::TcpStream::connect(&address).is_ok() {
        return Some(address);
    }
    let hint = format!("no RabbitMQ at {address}: start it with `scripts/brokers up rabbitmq`");
    assert!(env::var_os("BROADWAY_REQUIRE_BROKERS").is_none(), "{hint}");
    eprintln!("left out: {hint}");
    None
}

fn uri(address: &str) -> String {
    format!("amqp://guest:guest@{address}/%2f")
}

/// A name that no other test and no earlier run has.
fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("{name}-{now:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A queue of its own for a test, seen with the client alone.
struct Queue {
    name: String,
    uri: String,
    channel: Channel,
    /// Ends the channel when it goes.
    _connection: Connection,
}

impl Queue {
    async fn create(address: &str, name: &str) -> Self {
        let (name, uri) = (unique(name), uri(address));
        let connection = Connection::connect(&uri, ConnectionProperties::default());
        let connection = connection.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions::default();
        let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
        declared.await.unwrap();
        Self {
            name,
            uri,
            channel,
            _connection: connection,
        }
    }

    fn publisher(&self) -> RabbitMqPublisherBuilder {
        RabbitMqPublisher::queue(&self.name).uri(&self.uri)
    }

    async fn get(&self) -> Option<BasicGetMessage> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(self.name.as_str().into(), options);
        got.await.unwrap()
    }

    /// All payloads in it.
    async fn payloads(&self) -> Vec<String> {
        let mut payloads = Vec::new();
        while let Some(message) = self.get().await {
            payloads.push(String::from_utf8(message.delivery.data).unwrap());
        }
        payloads
    }

    async fn delete(self) {
        let options = QueueDeleteOptions::default();
        let deleted = self
            .channel
            .queue_delete(self.name.as_str().into(), options);
        deleted.await.unwrap();
    }
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("done in time")
}

fn numbered(n: usize) -> Vec<Outgoing> {
    (0..n).map(|n| Outgoing::new(n.to_string())).collect()
}

fn kinds(results: &[Result<(), PublishError>]) -> Vec<Option<PublishErrorKind>> {
    let kind = |result: &Result<(), PublishError>| result.as_ref().err().map(PublishError::kind);
    results.iter().map(kind).collect()
}

#[tokio::test]
async fn a_message_arrives_as_it_was_given() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "round-trip").await;
    let publisher = queue.publisher().open().await.unwrap();
    let message = Outgoing::new("payload")
        .key("customer-4")
        .header("traceparent", "00-1-2-01")
        .header("raw", vec![0xff, 0]);
    in_time(publisher.publish_one(message)).await.unwrap();

    let got = queue.get().await.unwrap().delivery;
    assert_eq!(got.data, b"payload");
    assert_eq!(*got.properties.delivery_mode(), Some(2));
    let headers = got.properties.headers().as_ref().unwrap().inner();
    let text = |name: &str| headers[name].as_long_string().unwrap().as_bytes().to_vec();
    assert_eq!(text("broadway-key"), b"customer-4");
    assert_eq!(text("traceparent"), b"00-1-2-01");
    assert_eq!(
        headers["raw"].as_byte_array().unwrap().as_slice(),
        [0xff, 0]
    );
    assert_eq!(headers.len(), 3);
    in_time(publisher.close()).await.unwrap();
    queue.delete().await;
}

#[tokio::test]
async fn messages_of_a_call_are_in_order_beyond_the_window() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "order").await;
    let publisher = queue.publisher().in_flight_max(7).open().await.unwrap();
    let results = in_time(publisher.publish(numbered(1_000))).await;
    assert_eq!(kinds(&results), vec![None; 1_000]);
    let expected: Vec<_> = (0..1_000).map(|n| n.to_string()).collect();
    assert_eq!(queue.payloads().await, expected);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_are_all_confirmed() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "many").await;
    let publisher = queue.publisher().in_flight_max(50).open().await.unwrap();
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let publisher = publisher.clone();
            tokio::spawn(async move { publisher.publish(numbered(10)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(kinds(&in_time(call).await.unwrap()), vec![None; 10]);
    }
    in_time(publisher.flush()).await.unwrap();
    assert_eq!(queue.payloads().await.len(), 2_000);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_result_is_that_of_its_message() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "results").await;
    let publisher = queue.publisher().open().await.unwrap();
    let nowhere = unique("nowhere");
    // Every third goes where no queue is; the others must arrive, and only they be confirmed.
    let is_lost = |n: usize| n % 3 == 1;
    let messages = (0..900).map(|n| match is_lost(n) {
        true => Outgoing::new(n.to_string()).to(&nowhere),
        false => Outgoing::new(n.to_string()),
    });
    let results = in_time(publisher.publish(messages.collect())).await;
    for (n, result) in results.iter().enumerate() {
        let kind = result.as_ref().err().map(PublishError::kind);
        assert_eq!(kind, is_lost(n).then_some(PublishErrorKind::Refused), "{n}");
    }
    let said = results[1].as_ref().unwrap_err().to_string();
    assert!(
        said.contains("NO_ROUTE") && said.contains(&nowhere),
        "{said}"
    );
    let arrived: Vec<_> = (0..900)
        .filter(|n| !is_lost(*n))
        .map(|n| n.to_string())
        .collect();
    assert_eq!(queue.payloads().await, arrived);
    queue.delete().await;
}

#[tokio::test]
async fn what_the_broker_would_not_take_is_refused_alone() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "large").await;
    let publisher = queue.publisher().bytes_max(1_000).open().await.unwrap();
    let messages = vec![
        Outgoing::new("a"),
        Outgoing::new("x".repeat(1_001)),
        Outgoing::new("b").header("h", "x".repeat(200_000)),
        Outgoing::new("c").to("k".repeat(256)),
        Outgoing::new(""),
    ];
    let results = in_time(publisher.publish(messages)).await;
    let refused = Some(PublishErrorKind::Refused);
    assert_eq!(kinds(&results), [None, refused, refused, refused, None]);
    assert_eq!(queue.payloads().await, ["a", ""]);
    queue.delete().await;
}

#[tokio::test]
async fn a_large_message_and_large_headers_arrive() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "frames").await;
    let publisher = queue.publisher().open().await.unwrap();
    // More than one frame, and nearly one of headers.
    let message = Outgoing::new(vec![7_u8; 1_000_000]).header("h", "x".repeat(130_000));
    in_time(publisher.publish_one(message)).await.unwrap();
    let got = queue.get().await.unwrap().delivery;
    assert_eq!(got.data, vec![7_u8; 1_000_000]);
    queue.delete().await;
}

#[tokio::test]
async fn a_closed_publisher_takes_no_more() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "closed").await;
    let publisher = queue.publisher().open().await.unwrap();
    in_time(publisher.publish_one(Outgoing::new("before")))
        .await
        .unwrap();
    in_time(publisher.close()).await.unwrap();
    let results = in_time(publisher.publish(numbered(2))).await;
    assert_eq!(kinds(&results), vec![Some(PublishErrorKind::Closed); 2]);
    in_time(publisher.close()).await.unwrap();
    assert_eq!(queue.payloads().await, ["before"]);
    queue.delete().await;
}

#[tokio::test]
async fn a_dropped_call_is_flushed() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "dropped").await;
    let publisher = queue.publisher().open().await.unwrap();
    {
        let mut call = std::pin::pin!(publisher.publish(numbered(100)));
        // Polled once, so that it has begun.
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    in_time(publisher.flush()).await.unwrap();
    assert_eq!(queue.payloads().await.len(), 100);
    queue.delete().await;
}

/// Stands between the publisher and the broker, and can cut or hold back what comes from the broker.
struct Between {
    address: String,
    cut: tokio::sync::watch::Sender<Flow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// Answers are held back.
    Mute,
    /// Connections are cut.
    Cut,
}

impl Between {
    async fn new(broker: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cut = tokio::sync::watch::Sender::new(Flow::Open);
        let flow = cut.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&broker).await.unwrap();
                tokio::spawn(Self::carry(near, far, flow.subscribe()));
            }
        });
        Self { address, cut }
    }

    async fn carry(near: TcpStream, far: TcpStream, mut flow: tokio::sync::watch::Receiver<Flow>) {
        let (mut near_in, mut near_out) = near.into_split();
        let (mut far_in, mut far_out) = far.into_split();
        let mut gate = flow.clone();
        let there = tokio::io::copy(&mut near_in, &mut far_out);
        let back = async {
            let mut bytes = vec![0; 65_536];
            while let Ok(n @ 1..) = far_in.read(&mut bytes).await {
                gate.wait_for(|flow| *flow != Flow::Mute).await.unwrap();
                if near_out.write_all(&bytes[..n]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            _ = there => {}
            () = back => {}
            _ = flow.wait_for(|flow| *flow == Flow::Cut) => {}
        }
    }
}

#[tokio::test]
async fn a_lost_connection_leaves_messages_unconfirmed_and_the_next_call_works() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "cut").await;
    let between = Between::new(address).await;
    let publisher = queue.publisher().uri(uri(&between.address));
    let publisher = publisher.open().await.unwrap();
    in_time(publisher.publish_one(Outgoing::new("first")))
        .await
        .unwrap();

    between.cut.send_replace(Flow::Mute);
    let lost = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish(numbered(2)).await }
    });
    // They are at the broker, which has answered to nobody.
    in_time(async {
        while queue
            .get()
            .await
            .is_none_or(|got| got.delivery.data != b"1")
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    between.cut.send_replace(Flow::Cut);
    let results = in_time(lost).await.unwrap();
    assert_eq!(
        kinds(&results),
        vec![Some(PublishErrorKind::Unconfirmed); 2]
    );

    between.cut.send_replace(Flow::Open);
    in_time(publisher.publish_one(Outgoing::new("again")))
        .await
        .unwrap();
    assert_eq!(queue.payloads().await, ["again"]);
    in_time(publisher.close()).await.unwrap();
    queue.delete().await;
}

#[tokio::test]
async fn a_broker_that_does_not_confirm_is_given_up() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "mute").await;
    let between = Between::new(address).await;
    let publisher = queue
        .publisher()
        .uri(uri(&between.address))
        .confirm_timeout(Duration::from_millis(300));
    let publisher = publisher.open().await.unwrap();
    in_time(publisher.publish_one(Outgoing::new("first")))
        .await
        .unwrap();
    between.cut.send_replace(Flow::Mute);
    // The second call finds a broker that does not even let it connect.
    for _ in 0..2 {
        let error = in_time(publisher.publish_one(Outgoing::new("x")))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), PublishErrorKind::Unconfirmed);
        assert!(error.to_string().contains("`confirm_timeout`"), "{error}");
    }
    between.cut.send_replace(Flow::Open);
    // As often as it takes: an attempt may still be waiting for the back-off.
    in_time(async { while publisher.publish_one(Outgoing::new("y")).await.is_err() {} }).await;
    in_time(publisher.close()).await.unwrap();
    queue.delete().await;
}

#[tokio::test]
async fn closing_ends_although_the_broker_is_mute() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "mute-close").await;
    let between = Between::new(address).await;
    let publisher = queue
        .publisher()
        .uri(uri(&between.address))
        .close_timeout(Duration::from_millis(200));
    let publisher = publisher.open().await.unwrap();
    between.cut.send_replace(Flow::Mute);
    let call = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish_one(Outgoing::new("x")).await }
    });
    in_time(async {
        while queue.get().await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = in_time(publisher.close()).await.unwrap_err().to_string();
    assert!(error.contains("`close_timeout`"), "{error}");
    let error = in_time(call).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Unconfirmed);
    queue.delete().await;
}

#[tokio::test]
async fn a_connection_closed_by_an_operator_is_replaced() {
    let Some(address) = broker() else { return };
    let Some(management) = management().await else {
        return;
    };
    let queue = Queue::create(&address, "operator").await;
    let name = unique("publisher");
    let publisher = queue
        .publisher()
        .connection_name(&name)
        .open()
        .await
        .unwrap();
    in_time(publisher.publish_one(Outgoing::new("0")))
        .await
        .unwrap();
    in_time(close_connection(&management, &name)).await;
    // Whatever was on its way when it was closed says so; then it works again.
    in_time(async {
        while let Err(error) = publisher.publish_one(Outgoing::new("1")).await {
            assert_eq!(error.kind(), PublishErrorKind::Unconfirmed, "{error}");
        }
    })
    .await;
    assert_eq!(queue.payloads().await[0], "0");
    queue.delete().await;
}

/// Where the management plugin answers; `None` where it does not.
async fn management() -> Option<String> {
    let address = env::var("BROADWAY_RABBITMQ_MANAGEMENT");
    let address = address.unwrap_or_else(|_| "127.0.0.1:19673".to_owned());
    if TcpStream::connect(&address).await.is_ok() {
        return Some(address);
    }
    let hint = format!("no management plugin at {address}");
    assert!(env::var_os("BROADWAY_REQUIRE_BROKERS").is_none(), "{hint}");
    eprintln!("left out: {hint}");
    None
}

async fn ask(management: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(management).await.unwrap();
    // guest:guest
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {management}\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Closes the connection that has this name as soon as the plugin knows of it.
async fn close_connection(management: &str, name: &str) {
    loop {
        let all = ask(
            management,
            "GET",
            "/api/connections?columns=name,user_provided_name",
        )
        .await;
        let ours = all.split('}').find(|entry| entry.contains(name));
        let found = ours.and_then(|entry| entry.split("\"name\":\"").nth(1));
        if let Some(id) = found.and_then(|rest| rest.split('"').next()) {
            let path = id
                .replace(' ', "%20")
                .replace('>', "%3E")
                .replace(':', "%3A");
            let answer = ask(management, "DELETE", &format!("/api/connections/{path}")).await;
            assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn refusal(builder: RabbitMqPublisherBuilder) -> String {
    let begun = Instant::now();
    let error = in_time(builder.open()).await.unwrap_err().to_string();
    assert!(
        begun.elapsed() <= TOLD_WITHIN + Duration::from_secs(1),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
    error
}

#[tokio::test]
async fn a_broker_that_does_not_let_us_in_is_told_with_the_option() {
    let Some(address) = broker() else { return };
    let queue = RabbitMqPublisher::queue("whatever");
    let said = refusal(
        queue
            .clone()
            .uri(format!("amqp://guest:secret@{address}/%2f")),
    )
    .await;
    assert!(
        said.contains("`uri`") && said.contains("check the user and the password"),
        "{said}"
    );
    let said = refusal(
        queue
            .clone()
            .uri(format!("amqp://guest:guest@{address}/nope")),
    )
    .await;
    assert!(
        said.contains("`uri`") && said.contains("vhost \"nope\""),
        "{said}"
    );
    let said = refusal(queue.clone().uri("amqp://guest:secret@127.0.0.1:1/%2f")).await;
    assert!(
        said.contains("`uri`") && said.contains("no broker listens"),
        "{said}"
    );
    let said = refusal(queue.clone().uri("amqp://guest:secret@nope.invalid/%2f")).await;
    assert!(
        said.contains("`uri`") && said.contains("cannot be reached"),
        "{said}"
    );
    let said = refusal(
        queue
            .clone()
            .uri(format!("amqps://guest:secret@{address}/%2f")),
    )
    .await;
    assert!(said.contains("TLS"), "{said}");
}

#[tokio::test]
async fn whoever_never_answers_is_told_within_connect_timeout() {
    // Takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for scheme in ["amqp", "amqps"] {
        let publisher = RabbitMqPublisher::queue("q")
            .uri(format!("{scheme}://guest:secret@{address}/%2f"))
            .connect_timeout(Duration::from_millis(200));
        let said = refusal(publisher).await;
        assert!(said.contains("`connect_timeout`"), "{said}");
    }
}

#[tokio::test]
async fn what_is_missing_is_told_or_created() {
    let Some(address) = broker() else { return };
    let name = unique("missing");
    let queue = RabbitMqPublisher::queue(&name).uri(uri(&address));
    let said = refusal(queue.clone()).await;
    assert!(
        said.contains(&format!("queue `{name}` (option `queue`)")),
        "{said}"
    );
    let exchange = RabbitMqPublisher::exchange(&name)
        .uri(uri(&address))
        .routing_key(&name);
    let said = refusal(exchange.clone()).await;
    assert!(
        said.contains(&format!("exchange `{name}` (option `exchange`)")),
        "{said}"
    );

    let created = queue.clone().create_if_missing().open().await.unwrap();
    in_time(created.publish_one(Outgoing::new("x")))
        .await
        .unwrap();
    // It is there now, as somebody else may have declared it.
    let found = queue.create_if_missing().open().await.unwrap();
    in_time(found.publish_one(Outgoing::new("y")))
        .await
        .unwrap();
    let unbound = exchange.create_if_missing().open().await.unwrap();
    let error = in_time(unbound.publish_one(Outgoing::new("z")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Refused, "{error}");
    let options = QueueDeleteOptions::default();
    let connection = Connection::connect(&uri(&address), ConnectionProperties::default());
    let channel = connection.await.unwrap().create_channel().await.unwrap();
    channel
        .queue_delete(name.as_str().into(), options)
        .await
        .unwrap();
    channel
        .exchange_delete(
            name.into(),
            lapin::options::ExchangeDeleteOptions::default(),
        )
        .await
        .unwrap();
}
