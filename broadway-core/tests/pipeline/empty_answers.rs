//! A producer that returns no messages without waiting is asked less and less often, and reported once.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use broadway_core::{
    BoxError, Delivery, NoopAcknowledger, OpenContext, Pipeline, Produced, Source, SourceProducer,
    testing::{Collector, Recorder, drained},
};
use tokio::time::Instant;

use crate::common::{SECOND, Script, settle_down};

/// Returns no messages at once, except on every n-th call.
#[derive(Clone)]
struct Empty {
    calls: Arc<AtomicUsize>,
    message_every: usize,
    times: Collector<u128>,
    began: Instant,
}

impl Empty {
    fn new(message_every: usize) -> Self {
        Self {
            calls: Arc::default(),
            message_every,
            times: Collector::new(),
            began: Instant::now(),
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Source for Empty {
    type Producer = Self;

    async fn open(&self, _cx: &OpenContext) -> Result<Self, BoxError> {
        Ok(self.clone())
    }
}

impl SourceProducer for Empty {
    type Item = u64;
    type Acknowledger = NoopAcknowledger;

    fn acknowledger(&self) -> Arc<NoopAcknowledger> {
        Arc::new(NoopAcknowledger)
    }

    async fn produce(
        &mut self,
        _: NonZeroUsize,
        out: &mut Vec<Delivery<u64, ()>>,
    ) -> Result<Produced, BoxError> {
        self.times.push(self.began.elapsed().as_millis());
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(call < 10_000, "it spins");
        if call.is_multiple_of(self.message_every) {
            out.push(Delivery::new(call as u64, ()));
        }
        Ok(Produced::More)
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_returns_no_messages_at_once_does_not_spin() {
    let (source, recorder) = (Empty::new(usize::MAX), Recorder::new());
    let pipeline = Pipeline::new(source.clone(), Script::<u64>::new());
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    tokio::time::sleep(SECOND * 10).await;
    // 1, 2, 4 … 64 ms, and then ten times a second.
    assert!((90..=120).contains(&source.calls()), "{}", source.calls());
    assert_eq!(source.times.all()[..9], [0, 1, 3, 7, 15, 31, 63, 127, 227]);
    let reported = recorder.of("source_error");
    assert_eq!(reported.len(), 1, "once");
    assert!(
        reported[0].to_string().contains("no messages"),
        "{}",
        reported[0]
    );
    let began = Instant::now();
    drained(&topology).await;
    assert_eq!(began.elapsed().as_millis(), 0, "a drain ends a pause");
}

#[tokio::test(start_paused = true)]
async fn a_message_ends_the_pauses_and_a_few_empty_answers_are_not_reported() {
    let (source, recorder) = (Empty::new(4), Recorder::new());
    let pipeline = Pipeline::new(source.clone(), Script::<u64>::new());
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    tokio::time::sleep(SECOND).await;
    settle_down().await;
    assert!(topology.totals().done >= 100, "{:?}", topology.totals());
    assert!(recorder.of("source_error").is_empty());
    drained(&topology).await;
}
