//! A handler that blocks its thread is reported, with its message.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use broadway_core::{
    Acknowledger, Batch, Batching, BoxError, Delivery, Handler, Message, Next, NoBatcher,
    OneBatcher, OpenContext, Pipeline, Processors, Produced, Settled, Source, SourceProducer,
    telemetry::{Event, MessageInfo, Observer},
    testing::{Collector, Recorder},
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

    fn describe(&self, token: &u64) -> MessageInfo {
        MessageInfo::new(format!("log@{token}"))
    }
}

impl Source for Log {
    type Producer = LogProducer;

    async fn open(&self, _: &OpenContext) -> Result<LogProducer, BoxError> {
        Ok(LogProducer { next: 0 })
    }
}

impl SourceProducer for LogProducer {
    type Item = u64;
    type Acknowledger = Positions;

    fn acknowledger(&self) -> Arc<Positions> {
        Arc::new(Positions)
    }

    async fn produce(
        &mut self,
        _: NonZeroUsize,
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

/// Longer than the watchdog needs; reached only by a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Batcher and message of a handler that blocks.
type Which = (Option<&'static str>, Option<String>);

/// Passes on the reports of blocked handlers.
struct Told(Mutex<Sender<Which>>);

impl Observer for Told {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        if let Event::HandlerBlocked {
            batcher, message, ..
        } = event
        {
            let reported = (*batcher, message.map(str::to_owned));
            let _ = self.0.lock().unwrap().send(reported);
        }
    }
}

/// Blocks its thread until that is reported.
struct Blocking {
    reported: Mutex<Receiver<Which>>,
    seen: Collector<Which>,
    in_batch: bool,
}

impl Blocking {
    fn new(in_batch: bool) -> (Self, Told, Collector<Which>) {
        let (sender, receiver) = channel();
        let seen = Collector::new();
        let blocking = Self {
            reported: Mutex::new(receiver),
            seen: seen.clone(),
            in_batch,
        };
        (blocking, Told(Mutex::new(sender)), seen)
    }

    fn block(&self) -> Result<(), BoxError> {
        self.seen
            .push(self.reported.lock().unwrap().recv_timeout(PATIENCE)?);
        Ok(())
    }
}

impl Handler for Blocking {
    type In = u64;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, OneBatcher>, BoxError> {
        match *message.data() {
            0 if !self.in_batch => self.block().map(|()| Next::Ack),
            _ if !self.in_batch => Ok(Next::Ack),
            n => Ok(Next::batch(OneBatcher, n)),
        }
    }

    async fn handle_batch(&self, _: OneBatcher, _: &mut Batch<u64>) -> Result<(), BoxError> {
        self.block()
    }
}

// On real time, since paused time does not advance on a blocked thread. The runtime has one thread, and that is blocked: no task could
// report it.
#[tokio::test]
async fn a_handler_that_blocks_its_thread_is_reported_with_its_message_while_it_blocks() {
    let (handler, reported, seen) = Blocking::new(false);
    let pipeline = Pipeline::new(Log, handler).processors(Processors::new(1));
    let pipeline = pipeline
        .blocked_after(Duration::from_secs(1))
        .observe(reported);
    let totals = pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (3, 0));
    assert_eq!(seen.all(), [(None, Some("log@0".to_owned()))]);
}

#[tokio::test]
async fn a_handle_batch_that_blocks_is_reported_with_its_batcher() {
    let (handler, reported, seen) = Blocking::new(true);
    let pipeline = Pipeline::new(Log, handler)
        .batchers(|OneBatcher| Batching::new(3, Duration::from_secs(1)))
        .blocked_after(Duration::from_secs(1))
        .observe(reported);
    pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!(seen.all(), [(Some("batcher"), Some("log@0".to_owned()))]);
}

#[tokio::test]
async fn a_handler_that_waits_is_not_blocked() {
    struct Patient;
    impl Handler for Patient {
        type In = u64;
        type Out = ();
        type Batcher = NoBatcher;

        async fn handle_message(
            &self,
            _: &mut Message<u64>,
        ) -> Result<Next<(), NoBatcher>, BoxError> {
            tokio::time::sleep(Duration::from_secs(3)).await;
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
