//! What a pipeline logs by default.

mod capture;
mod orders;

use std::{sync::Arc, time::Duration};

use broadway_core::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Pipeline, Processors, Record,
    handler_fn, source, stage,
    telemetry::{NoopObserver, Observer, Tee, TracingObserver, key_hash},
    testing::manual_source,
};
use capture::{Captured, Line};
use orders::{Order, Orders};
use tracing::Level;

const SECOND: Duration = Duration::from_secs(1);

/// Fails every third message in the processor.
fn fails_thirds(message: &mut Message<Order>) -> Result<(), BoxError> {
    match message.data().offset % 3 {
        2 => Err("refused".into()),
        _ => Ok(()),
    }
}

fn failures(lines: &[Line]) -> Vec<(&str, &str)> {
    let failures = lines.iter().filter(|line| line.event() == "message_failed");
    failures.map(|line| (line.id(), line.reason())).collect()
}

#[tokio::test(start_paused = true)]
async fn each_failed_message_of_a_default_program_is_logged_with_its_coordinates() {
    let captured = Captured::at(Level::INFO);
    let topology = Pipeline::new(Orders::new(6), handler_fn(fails_thirds))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    let lines = captured.lines();
    let refused = "handle_message failed: refused";
    assert_eq!(
        failures(&lines),
        [("orders[3]@2", refused), ("orders[3]@5", refused)]
    );
    let line = &captured.of("message_failed")[0];
    assert_eq!((line.level, line.field("attempt")), (Level::WARN, "2"));
    assert_eq!(line.field("producer"), "0");
    let hash = format!("{:016x}", key_hash(b"customer-2"));
    assert_eq!(
        (line.field("key_hash"), line.field("key")),
        (&*hash, "(none)")
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_without_failures_logs_its_start_and_its_end() {
    let captured = Captured::at(Level::INFO);
    let source = source::from_iter(|_| (0..10_000_u64).map(|n| n * 10));
    let pipeline = Pipeline::new(source, Rows(|_| Ok(()))).batchers(|_| Batching::new(1, SECOND));
    pipeline.start().await.unwrap().wait().await.unwrap();
    let events: Vec<_> = captured
        .lines()
        .iter()
        .map(|line| line.event().to_owned())
        .collect();
    assert_eq!(events, ["topology_started", "draining", "drained"]);
}

#[tokio::test(start_paused = true)]
async fn items_of_an_iterator_are_named_by_their_number() {
    let captured = Captured::at(Level::INFO);
    let source = source::from_iter(|_| ["a", "b", "c"]);
    let handler = handler_fn(|message: &mut Message<&str>| match *message.data() {
        "b" => Err("refused".into()),
        _ => Ok(()),
    });
    let topology = Pipeline::new(source, handler).start().await.unwrap();
    topology.wait().await.unwrap();
    let lines = captured.lines();
    assert_eq!(
        failures(&lines),
        [("item 1", "handle_message failed: refused")]
    );
}

#[tokio::test(start_paused = true)]
async fn one_call_turns_the_log_off() {
    let captured = Captured::at(Level::TRACE);
    let topology = Pipeline::new(Orders::new(6), handler_fn(fails_thirds))
        .without_logs()
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    assert_eq!(captured.lines().len(), 0);
}

async fn lines_with(observer: impl Observer) -> usize {
    let captured = Captured::at(Level::INFO);
    let topology = Pipeline::new(Orders::new(6), handler_fn(fails_thirds))
        .observe(observer)
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    failures(&captured.lines()).len()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_logged_twice_and_another_observer_takes_nothing_from_the_log() {
    assert_eq!(lines_with(NoopObserver).await, 2);
    assert_eq!(lines_with(TracingObserver::new()).await, 2);
    assert_eq!(lines_with(Arc::new(TracingObserver::new())).await, 2);
    assert_eq!(
        lines_with(Tee(NoopObserver, TracingObserver::new())).await,
        2
    );
    let boxed: Box<dyn Observer> = Box::new(TracingObserver::new());
    assert_eq!(lines_with(boxed).await, 2);
    let none_a_second = TracingObserver::new().failures_per_second(0);
    assert_eq!(lines_with(none_a_second).await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_log_is_configured_with_an_observer_of_its_kind() {
    let captured = Captured::at(Level::INFO);
    let topology = Pipeline::new(Orders::new(6), handler_fn(fails_thirds))
        .log_with(TracingObserver::new().failures_per_second(1).keys(true))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    let lines = captured.lines();
    assert_eq!(failures(&lines).len(), 1);
    let failed = captured.of("message_failed");
    assert_eq!(failed[0].field("key"), "customer-2");
    let suppressed = captured.of("suppressed");
    assert_eq!(suppressed[0].field("suppressed"), "1");
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_failures_is_ten_lines_a_second_and_describes_no_other_message() {
    let captured = Captured::at(Level::INFO);
    let orders = Orders::new(100_000);
    let described = orders.described();
    let handler = handler_fn(|_: &mut Message<Order>| Err("the database is down".into()));
    let topology = Pipeline::new(orders, handler).start().await.unwrap();
    let totals = topology.wait().await.unwrap();
    assert_eq!(totals.failed, 100_000);
    // On paused time all of it happens within a second.
    assert_eq!(captured.of("message_failed").len(), 10);
    // In addition, the first message of each processor is described for the watchdog.
    assert!(described.get() < 200, "{} were described", described.get());
    assert_eq!(captured.of("suppressed")[0].field("suppressed"), "99990");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_omitted_lines_is_logged_after_the_failures_end() {
    let captured = Captured::at(Level::INFO);
    let (source, feed) = manual_source::<u64>();
    let handler = handler_fn(|message: &mut Message<u64>| match *message.data() {
        0 => Err("refused".into()),
        _ => Ok(()),
    });
    let topology = Pipeline::new(source, handler).start().await.unwrap();
    for receipt in feed.push_all([0; 12]) {
        receipt.outcome().await.unwrap();
    }
    tokio::time::advance(2 * SECOND).await;
    feed.push(1).outcome().await.unwrap();
    assert_eq!(captured.of("suppressed")[0].field("suppressed"), "2");
    feed.end();
    topology.wait().await.unwrap();
}

/// Sends the messages that `fails` accepts into batches, and fails rows and whole batches as it returns.
struct Rows(fn(&[u64]) -> Result<(), BoxError>);

impl Handler for Rows {
    type In = u64;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, *message.data()))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        for row in batch.rows() {
            if **row % 10 == 7 {
                batch.fail(row, "seven");
            }
        }
        (self.0)(batch.data())
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_in_its_batch_is_named_and_so_are_the_first_of_a_failed_batch() {
    let captured = Captured::at(Level::INFO);
    let fails_large = |data: &[u64]| match data[0] {
        0 => Ok(()),
        _ => Err("no such table".into()),
    };
    let pipeline = Pipeline::new(source::from_iter(|_| 0..20), Rows(fails_large))
        .processors(Processors::new(1))
        .batchers(|_| Batching::new(10, SECOND));
    pipeline.start().await.unwrap().wait().await.unwrap();
    let one = &captured.of("failed_in_batch")[0];
    assert_eq!((one.id(), one.level), ("item 7", Level::WARN));
    let all = &captured.of("batch_failed")[0];
    assert_eq!(all.field("ids"), "item 10, item 11, item 12 and 7 more");
    assert_eq!((all.field("count"), all.level), ("10", Level::ERROR));
}

#[tokio::test(start_paused = true)]
async fn lines_of_one_key_have_one_hash_in_processors_and_in_batches() {
    let captured = Captured::at(Level::INFO);
    let processors = Processors::new(2).partition_by(|message: &Message<u64>| *message.data() % 10);
    let pipeline = Pipeline::new(source::from_iter(|_| [7, 8, 17, 107]), Rows(|_| Ok(())))
        .processors(processors)
        .batchers(|_| Batching::new(10, SECOND));
    pipeline.start().await.unwrap().wait().await.unwrap();
    let lines = captured.of("failed_in_batch");
    assert_eq!(lines.len(), 3);
    let hash = lines[0].field("key_hash");
    assert_eq!(hash.len(), 16, "hexadecimal digits, not {hash}");
    assert!(lines.iter().all(|line| line.field("key_hash") == hash));
}

#[tokio::test(start_paused = true)]
async fn no_payload_is_logged_at_any_level() {
    let captured = Captured::at(Level::TRACE);
    let processors =
        Processors::new(2).partition_by(|message: &Message<Order>| message.data().offset);
    let topology = Pipeline::new(Orders::new(6), handler_fn(fails_thirds))
        .log_with(TracingObserver::new().keys(true))
        .processors(processors)
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    let lines = format!("{:?}", captured.lines());
    assert!(lines.contains("orders[3]@2"), "{lines}");
    assert!(!lines.contains(orders::PAYLOAD), "{lines}");
    let numbers = format!("{:?}", orders::PAYLOAD.as_bytes());
    assert!(!lines.contains(&numbers), "{lines}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_acknowledgement_names_the_unacknowledged_messages() {
    let captured = Captured::at(Level::INFO);
    let orders = Orders::new(5).failing_to_acknowledge();
    let topology = Pipeline::new(orders, handler_fn(|_: &mut Message<Order>| Ok(())))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    let lines = captured.of("ack_failed");
    assert_eq!(
        (lines[0].field("ids"), lines[0].level),
        ("orders[3]@0", Level::ERROR)
    );
    let counts = lines
        .iter()
        .map(|line| line.field("count").parse::<u64>().unwrap());
    assert_eq!(counts.sum::<u64>(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_fails_and_delivers_again_is_logged() {
    let captured = Captured::at(Level::INFO);
    let (source, feed) = manual_source::<u64>();
    let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    let topology = Pipeline::new(source, handler).start().await.unwrap();
    feed.fail("connection reset");
    feed.push(1).outcome().await.unwrap();
    feed.end();
    topology.wait().await.unwrap();
    let failed = &captured.of("producer_failed")[0];
    assert_eq!(
        (failed.level, failed.field("error")),
        (Level::WARN, "connection reset")
    );
    assert_eq!(captured.of("producer_restarted")[0].level, Level::INFO);
}

async fn failing_stage(without_logs: bool) -> Vec<Line> {
    let captured = Captured::at(Level::INFO);
    let numbers = stage::from_iter(0..3_u64).start().await.unwrap();
    let mut builder = stage::consumer(Refusing)
        .name("doubler")
        .subscribe_to(numbers.output());
    if without_logs {
        builder = builder.without_logs();
    }
    builder.start().await.unwrap().join().await;
    captured.of("stage_failed")
}

struct Refusing;

impl stage::Consumer for Refusing {
    type Event = u64;

    async fn handle_events(
        &mut self,
        _: &mut Vec<u64>,
        _: &stage::Subscription,
        _: &mut stage::Context<std::convert::Infallible>,
    ) -> Result<(), BoxError> {
        Err("refused".into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_stage_is_logged_unless_its_log_is_turned_off() {
    let lines = failing_stage(false).await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].field("stage"), "doubler");
    assert_eq!(failing_stage(true).await.len(), 0);
}

#[test]
fn a_record_describes_itself() {
    let order = Orders::new(1).order(17);
    assert_eq!(
        (order.id().as_str(), order.payload()),
        ("orders[3]@17", orders::PAYLOAD.as_bytes())
    );
}
