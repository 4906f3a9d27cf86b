//! How do I publish every change that a database has committed, and none that it rolled back? With an outbox.
//!
//! ```console
//! $ cargo run --features queue,sqlite --example outbox
//! $ scripts/brokers up kafka
//! $ cargo run --features queue,sqlite,kafka --example outbox -- --to kafka
//! ```
//!
//! ```text
//!  SQLite: orders + outbox ── relay ──▶ durable queue ── pipeline ──▶ Kafka ── consumer: drops repeats by id
//!          one transaction    in order, then deletes     header `broadway-id`
//! ```
//!
//! **Nothing is lost.** An order and its outbox row are in one transaction: both are committed, or none. A row is deleted after the queue
//! has its event on disk. The queue keeps an event until Kafka has confirmed it, and Kafka until the consumer has handled it.
//!
//! **An event may repeat**, with the same id: if the process ends between two of these steps, it does the first one again. Here the first
//! pass of the relay ends so. The consumer drops ids that it has handled.
//!
//! Takes five orders, and prints the ids of the rows that the relay moves, and five events that are handled. Without Kafka, it prints ten
//! messages that would be sent, and passes them to the consumer. The last line is `5 of 10 handled, 5 repeats dropped`. Orders of a run
//! that was killed are sent by the next one. `BROADWAY_KAFKA` sets the broker; it defaults to 127.0.0.1:19092.

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use broadway::{
    Batch, Batching, BoxError, Handler, HandlerExt, Message, Next, OneBatcher, Outgoing, Pipeline,
    Processors, Publisher, Pusher, Topology, handler_fn,
    layer::Deduplicate,
    publisher::{BoxPublisher, PublishError},
    queue::{Queue, QueuePublisher, QueueRecord},
    source::{self, BoxSource, SourceExt},
};
use rusqlite::Connection;

const TOPIC: &str = "outbox-example";
/// A dead letter replaces this header by its own id. A consumer that sends dead letters needs another name here.
const ID: &str = "broadway-id";

/// `AUTOINCREMENT` never gives an id again, also after its row was deleted: an id stands for one event. SQLite has one writer at a
/// time, so ids are in the order of the commits. In other databases a lower id may be committed later.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS orders (customer TEXT NOT NULL, item TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, customer TEXT NOT NULL, event TEXT NOT NULL
    );";

/// Takes an order. Its row and the row of its event are committed together.
fn order(db: &mut Connection, customer: &str, item: &str) -> rusqlite::Result<()> {
    let both = db.transaction()?;
    both.execute("INSERT INTO orders VALUES (?1, ?2)", (customer, item))?;
    let event = format!("{customer} ordered {item}");
    both.execute(
        "INSERT INTO outbox (customer, event) VALUES (?1, ?2)",
        (customer, event),
    )?;
    both.commit()
}

/// The relay's first step: appends waiting events to the queue, in the order of their ids. Returns the ids.
async fn append(db: &Connection, queue: &QueuePublisher) -> Result<Vec<i64>, BoxError> {
    let mut rows = db.prepare("SELECT id, customer, event FROM outbox ORDER BY id LIMIT 1000")?;
    let rows = rows.query_map((), |row| <(i64, String, String)>::try_from(row))?;
    let (mut ids, mut events) = (Vec::new(), Vec::new());
    for row in rows {
        let (id, customer, event) = row?;
        ids.push(id);
        events.push(
            Outgoing::new(event)
                .key(customer)
                .header(ID, id.to_string()),
        );
    }
    for result in queue.publish(events).await {
        // No row is deleted then. All of them are appended again, also those that were confirmed.
        result?;
    }
    Ok(ids)
}

/// The relay's second step, when the events are on disk: deletes their rows.
fn delete(db: &Connection, ids: &[i64]) -> rusqlite::Result<()> {
    if let Some(last) = ids.last() {
        db.execute("DELETE FROM outbox WHERE id <= ?1", [last])?;
    }
    Ok(())
}

/// Sends the events of the queue on, with their keys and headers.
struct Forward(BoxPublisher);

impl Handler for Forward {
    type In = QueueRecord;
    type Out = Outgoing;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<QueueRecord>,
    ) -> Result<Next<Outgoing, OneBatcher>, BoxError> {
        let copy = Outgoing::from_record(message.data());
        Ok(Next::batch(OneBatcher, copy))
    }

    async fn handle_batch(
        &self,
        _: OneBatcher,
        batch: &mut Batch<Outgoing>,
    ) -> Result<(), BoxError> {
        // Fails only the unconfirmed messages: the queue delivers them again, in the order of their keys.
        self.0.publish_batch(batch).await;
        Ok(())
    }
}

/// An event, as the consumer reads it.
struct Event {
    id: Option<String>,
    text: String,
}

/// Starts the consumer. Ids are in memory here. `Deduplicate::store` keeps them elsewhere, best in the database that the consumer
/// writes to: then repeats are found after a restart, too.
async fn consume(
    source: BoxSource<Event>,
    pusher: &Pusher<Event>,
    handled: Arc<AtomicU64>,
) -> Result<Topology<Event>, BoxError> {
    let handler = handler_fn(move |message: &mut Message<Event>| {
        println!("handled: {}", message.data().text);
        handled.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let unique = Deduplicate::by(|message: &Message<Event>| message.data().id.clone());
    let pipeline = Pipeline::new(source, handler.layer(unique)).name("consumer");
    Ok(pipeline.pusher(pusher).start().await?)
}

/// Stands in for Kafka: prints each message, and passes it to the consumer.
struct Memory(Pusher<Event>);

impl Publisher for Memory {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let mut results = Vec::new();
        for message in messages {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers = message.headers().iter();
            let event = Event {
                id: headers
                    .clone()
                    .find(|header| header.name == ID)
                    .and_then(|header| header.value.as_bytes().map(text)),
                text: message
                    .payload()
                    .map(|payload| text(payload))
                    .unwrap_or_default(),
            };
            println!("sent: {} ({ID} {:?})", event.text, event.id);
            let pushed = self.0.push([event]).await;
            results.push(
                pushed
                    .map(drop)
                    .map_err(|error| PublishError::unconfirmed(error.to_string())),
            );
        }
        results
    }

    async fn flush(&self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The publisher to Kafka, and the source of the consumer.
#[cfg(feature = "kafka")]
async fn kafka() -> Result<(BoxPublisher, BoxSource<Event>), BoxError> {
    use broadway::{
        Record,
        kafka::{Kafka, KafkaPublisher, KafkaRecord, NewTopic, StartOffset},
    };
    let broker = env::var("BROADWAY_KAFKA").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
    let publisher = KafkaPublisher::topic(TOPIC)
        .brokers(&broker)
        .create_if_missing(NewTopic::partitions(4))
        .open()
        .await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let source = Kafka::topics([TOPIC])
        .brokers(broker)
        .group(TOPIC)
        .start_offset(StartOffset::Earliest)
        .map(move |record: KafkaRecord| Event {
            id: record.header(ID).map(text),
            text: text(record.payload()),
        });
    Ok((publisher.boxed(), source.boxed()))
}

#[cfg(not(feature = "kafka"))]
async fn kafka() -> Result<(BoxPublisher, BoxSource<Event>), BoxError> {
    Err("this build has no Kafka: see `--features kafka`".into())
}

/// Returns when the pipeline has done this number of messages.
async fn done<T: Send + 'static>(topology: &Topology<T>, messages: u64) {
    while topology.totals().done < messages {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let pusher = Pusher::new();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (publisher, source) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["--to", "memory"] => (Memory(pusher.clone()).boxed(), source::idle().boxed()),
        ["--to", "kafka"] => kafka().await?,
        _ => return Err("usage: outbox [--to memory|kafka]".into()),
    };
    let handled = Arc::new(AtomicU64::new(0));
    let consumer = consume(source, &pusher, Arc::clone(&handled)).await?;

    let folder = env::temp_dir().join("broadway-outbox");
    fs::create_dir_all(&folder)?;
    let mut db = Connection::open(folder.join("shop.db"))?;
    db.execute_batch(TABLES)?;
    let queue = QueuePublisher::topic(folder.join("queue"), TOPIC)
        .open()
        .await?;
    let source = Queue::topic(folder.join("queue"), TOPIC).group("forward");
    let forward = Pipeline::new(source, Forward(publisher.clone()))
        .name("forward")
        .processors(Processors::new(2).by_record_key())
        .batchers(|_| Batching::new(500, Duration::from_millis(50)))
        .start()
        .await?;

    for (customer, item) in [
        ("ada", "tea"),
        ("grace", "milk"),
        ("ada", "bread"),
        ("edsger", "tea"),
        ("grace", "jam"),
    ] {
        order(&mut db, customer, item)?;
    }
    let mut appended = append(&db, &queue).await?.len() as u64;
    println!("-- the relay crashes before it deletes the rows; it starts again");
    // A service waits a moment and goes on when the outbox is empty.
    loop {
        let ids = append(&db, &queue).await?;
        if ids.is_empty() {
            break;
        }
        delete(&db, &ids)?;
        println!("moved rows {ids:?}");
        appended += ids.len() as u64;
    }

    done(&forward, appended).await;
    forward.drain().await?;
    publisher.close().await?;
    queue.close().await?;
    done(&consumer, appended).await;
    consumer.drain().await?;
    let handled = handled.load(Ordering::Relaxed);
    println!(
        "{handled} of {appended} handled, {} repeats dropped",
        appended - handled
    );
    Ok(())
}
