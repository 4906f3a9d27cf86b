//! What this source costs beyond the client: produce, touch the payload, settle as done; the same in a whole pipeline with
//! two processors; both against the shortest loop that librdkafka allows (one partition's queue, batches of 1,000, no
//! offsets). CPU of the process per message, from the first
//! to the last one.
//!
//! `cargo bench -p broadway-kafka --bench reading -- [messages] [rounds]`; needs `scripts/brokers up kafka`.
#![allow(unsafe_code, reason = "the bare loop is what it is compared with")]
#![allow(clippy::unwrap_used, reason = "a program for developers")]

use std::{
    ffi::CString,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use broadway_core::{
    Acknowledger, Message, OpenContext, Outcome, Pipeline, Processors, Producer, Record, Settled,
    Source, handler_fn,
};
use broadway_kafka::{Begin, Kafka, KafkaRecord};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    bindings,
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer as _},
};

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok());
    let messages: u64 = arguments.next().unwrap_or(2_000_000);
    let rounds = arguments.next().unwrap_or(5);
    let brokers = std::env::var("BROADWAY_KAFKA").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
    let topic = publish(&brokers, messages);
    println!(
        "{messages} messages of 100 bytes, one partition, at {brokers}; ns of CPU a message, messages/s"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for _ in 0..rounds {
        report("bare loop", messages, || bare(&brokers, &topic, messages));
        report("this source", messages, || {
            runtime.block_on(ours(&brokers, &topic, messages))
        });
        report("pipeline", messages, || {
            runtime.block_on(pipeline(&brokers, &topic, messages))
        });
    }
}

fn report(name: &str, messages: u64, run: impl FnOnce() -> (Duration, Duration)) {
    let (wall, cpu) = run();
    let per_message = cpu.as_nanos() / u128::from(messages);
    println!(
        "{name:12} {per_message:6} ns {:9.0}/s",
        messages as f64 / wall.as_secs_f64()
    );
}

fn publish(brokers: &str, messages: u64) -> String {
    let topic = format!(
        "bench-{}",
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_millis()
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    runtime
        .block_on(admin.create_topics([&new], &AdminOptions::new()))
        .unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "50")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "500000")
        .create()
        .unwrap();
    let payload = [b'x'; 100];
    for _ in 0..messages {
        let mut record = BaseRecord::<(), _>::to(&topic).payload(&payload[..]);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            producer.poll(Duration::from_millis(5));
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    topic
}

fn bare(brokers: &str, topic: &str, messages: u64) -> (Duration, Duration) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "10")
        .create()
        .unwrap();
    let name = CString::new(topic).unwrap();
    let client = consumer.client().native_ptr();
    // SAFETY: the client outlives the queue, which is destroyed below.
    let queue = unsafe {
        let queue = bindings::rd_kafka_queue_get_partition(client, name.as_ptr(), 0);
        bindings::rd_kafka_queue_forward(queue, std::ptr::null_mut());
        queue
    };
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let mut buffer = vec![std::ptr::null_mut(); 1_000];
    let (mut seen, mut sum, mut clock) = (0, 0_u64, None);
    while seen < messages {
        // SAFETY: the buffer has room for 1,000 pointers; each message is read, then destroyed once.
        unsafe {
            let n = bindings::rd_kafka_consume_batch_queue(
                queue,
                10,
                buffer.as_mut_ptr(),
                buffer.len(),
            );
            if n > 0 {
                clock.get_or_insert_with(|| (Instant::now(), cpu()));
            }
            for message in &buffer[..n.unsigned_abs()] {
                sum += u64::from(*(**message).payload.cast::<u8>());
                bindings::rd_kafka_message_destroy(*message);
            }
            seen += n.unsigned_abs() as u64;
        }
    }
    let (began, before) = clock.unwrap();
    let result = (began.elapsed(), cpu().saturating_sub(before));
    assert_eq!(sum, messages * u64::from(b'x'));
    // SAFETY: not used again.
    unsafe { bindings::rd_kafka_queue_destroy(queue) };
    result
}

async fn ours(brokers: &str, topic: &str, messages: u64) -> (Duration, Duration) {
    let group = format!("ours-{topic}-{}", std::process::id());
    let source = Kafka::topics([topic])
        .brokers(brokers)
        .group(group)
        .begin(Begin::Earliest)
        .ignore_commits();
    let mut producer = source.open(&OpenContext::for_test()).await.unwrap();
    let acknowledger = producer.acknowledger();
    let demand = NonZeroUsize::new(1_000).unwrap();
    let (mut out, mut settled) = (Vec::new(), Vec::new());
    let (mut seen, mut sum, mut clock) = (0, 0_u64, None);
    while seen < messages {
        producer.produce(demand, &mut out).await.unwrap();
        clock.get_or_insert_with(|| (Instant::now(), cpu()));
        seen += out.len() as u64;
        for delivery in out.drain(..) {
            sum += u64::from(delivery.item.payload()[0]);
            settled.push(Settled::for_test(delivery.token, Outcome::Done));
        }
        acknowledger.settle(&mut settled).await.unwrap();
    }
    let (began, before) = clock.unwrap();
    let result = (began.elapsed(), cpu().saturating_sub(before));
    assert_eq!(sum, messages * u64::from(b'x'));
    producer.close().await.unwrap();
    result
}

async fn pipeline(brokers: &str, topic: &str, messages: u64) -> (Duration, Duration) {
    let group = format!("pipeline-{topic}-{}", std::process::id());
    let source = Kafka::topics([topic])
        .brokers(brokers)
        .group(group)
        .begin(Begin::Earliest)
        .ignore_commits();
    let clock = Arc::new(OnceLock::new());
    let first = clock.clone();
    let handler = handler_fn(move |message: &mut Message<KafkaRecord>| {
        // A read once it is set.
        first.get_or_init(|| (Instant::now(), cpu()));
        if message.data().payload()[0] == b'x' {
            Ok(())
        } else {
            Err("not what was sent".into())
        }
    });
    let topology = Pipeline::new(source, handler)
        .processors(Processors::new(2).max_demand(1_000))
        .start()
        .await
        .unwrap();
    while topology.totals().done < messages {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (began, before) = clock.get().unwrap();
    let result = (began.elapsed(), cpu().saturating_sub(*before));
    assert_eq!(topology.drain().await.unwrap().failed, 0);
    result
}

/// What all threads of this process that still live have run.
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let run = threads.filter_map(|thread| {
        let line = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        line.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(run.sum())
}
