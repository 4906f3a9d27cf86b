//! A handler that blocks its thread is told of, by name.

use std::time::Duration;

use broadway_core::{
    Acknowledger, Batch, Batching, BoxError, Delivery, Handler, Message, Next, OneBatcher,
    OpenContext, Pipeline, Processors, Produced, Producer, Settled, Source, handler_fn,
    testing::Recorder,
};

/// Numbers with coordinates.
struct Log;

struct LogProducer {
    next: u64,
}

struct Positions;

impl Acknowledger for Positions {
    type Token = u64;

    async fn settle(&self, settled: &mut Vec<Settled<u64>>) -> Result<(), BoxError> {
        settled.clear();
        Ok(())
    }

    fn describe(&self, token: &u64) -> String {
        format!("log@{token}")
    }
}

impl Source for Log {
    type Producer = LogProducer;

    async fn open(&self, _: &OpenContext) -> Result<LogProducer, BoxError> {
        Ok(LogProducer { next: 0 })
    }
}

impl Producer for LogProducer {
    type Item = u64;
    type Acknowledger = Positions;

    fn acknowledger(&self) -> std::sync::Arc<Positions> {
        std::sync::Arc::new(Positions)
    }

    async fn produce(
        &mut self,
        _: std::num::NonZeroUsize,
        out: &mut Vec<Delivery<u64, u64>>,
    ) -> Result<Produced, BoxError> {
        if self.next == 3 {
            return Ok(Produced::End);
        }
        out.push(Delivery::new(self.next, self.next));
        self.next += 1;
        Ok(Produced::More)
    }
}

const LONG: Duration = Duration::from_millis(3_500);

// On real time: a blocked thread knows no other.
#[tokio::test]
async fn a_handler_that_blocks_its_thread_is_told_of_with_its_message_while_it_blocks() {
    let recorder = Recorder::new();
    let seen = recorder.clone();
    let handler = handler_fn(move |message: &mut Message<u64>| {
        // Slow ones are named.
        std::thread::sleep(Duration::from_millis(5));
        if *message.data() == 2 {
            std::thread::sleep(LONG);
            // The runtime has one thread, and this is it: nothing of it could have told.
            assert!(seen.count("handler_blocked") > 0);
        }
        Ok(())
    });
    let pipeline = Pipeline::new(Log, handler).processors(Processors::new(1));
    let pipeline = pipeline.blocked_after(Duration::from_secs(1));
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    let totals = topology.wait().await.unwrap();
    assert_eq!(
        (totals.done, totals.failed),
        (3, 0),
        "the assertion in it holds"
    );
    let told = &recorder.of("handler_blocked")[0];
    assert_eq!(told.get("message"), Some("log@2"));
    assert_eq!(told.get("batcher"), None);
}

struct SlowSink;

impl Handler for SlowSink {
    type In = u64;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, *message.data()))
    }

    async fn handle_batch(&self, _: OneBatcher, _: &mut Batch<u64>) -> Result<(), BoxError> {
        std::thread::sleep(LONG);
        Ok(())
    }
}

#[tokio::test]
async fn a_handle_batch_that_blocks_is_told_of_with_its_batcher() {
    let recorder = Recorder::new();
    let topology = Pipeline::new(Log, SlowSink)
        .batchers(|OneBatcher| Batching::new(3, Duration::from_secs(1)))
        .blocked_after(Duration::from_secs(1))
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    let told = &recorder.of("handler_blocked")[0];
    assert_eq!(told.get("batcher"), Some("batcher"));
    assert_eq!(told.get("message"), Some("log@0"));
}

#[tokio::test]
async fn a_handler_that_waits_is_not_blocked() {
    struct Patient;
    impl Handler for Patient {
        type In = u64;
        type Out = ();
        type Batcher = broadway_core::NoBatcher;

        async fn handle_message(
            &self,
            _: &mut Message<u64>,
        ) -> Result<Next<(), broadway_core::NoBatcher>, BoxError> {
            tokio::time::sleep(LONG).await;
            Ok(Next::Ack)
        }
    }
    let recorder = Recorder::new();
    let topology = Pipeline::new(Log, Patient)
        .blocked_after(Duration::from_secs(1))
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    assert_eq!(recorder.count("handler_blocked"), 0);
}
