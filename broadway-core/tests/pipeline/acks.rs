//! Settlement: once for each message, in groups, with the acknowledger of the producer that delivered it.

use broadway_core::{
    Batch, Batching, BoxError, Callback, Handler, Message, Next, Pipeline, Processors, Record,
    testing::{Collector, Fault, Faults, ManualSource, Recorder, drained, manual_source},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};

use crate::common::{SECOND, Script, Sink, Wait, fed, long, outcomes, reason};

#[tokio::test(start_paused = true)]
async fn messages_of_a_chunk_are_settled_in_one_group() {
    let recorder = Recorder::new();
    let script = Script::new().message(|message| match message.data() % 3 {
        0 => Err("a multiple of three".into()),
        _ => Ok(Next::Ack),
    });
    let (pipeline, feed) = fed(script);
    feed.push_all(0..31);
    feed.end();
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    topology.wait().await.unwrap();
    let chunks: Vec<_> = recorder
        .of("chunk_started")
        .iter()
        .map(|chunk| chunk.number("count") as usize)
        .collect();
    let groups = feed.take_groups();
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), chunks);
    let failed = groups
        .iter()
        .flatten()
        .filter(|settled| settled.outcome.is_failed());
    assert!(
        failed
            .map(|settled| settled.token.number())
            .all(|number| number % 3 == 0)
    );
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_batch_are_settled_in_one_group() {
    let script = Script::batching().batch(|_, batch| {
        batch.fail(batch.rows().next().unwrap(), "the first");
        Ok(())
    });
    let (pipeline, feed) = fed(script);
    feed.push_all(0..10);
    feed.end();
    let topology = pipeline
        .batchers(|_| Batching::new(5, SECOND * 60))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    let groups = feed.take_groups();
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
    for group in &groups {
        assert_eq!(
            group
                .iter()
                .filter(|settled| settled.outcome.is_failed())
                .count(),
            1
        );
    }
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn failures_of_a_chunk_are_settled_before_its_successes_reach_a_batch() {
    let settled_before = Collector::new();
    let (source, feed) = manual_source::<u64>();
    let script = Script::new()
        .message(|message| match message.data() % 2 {
            0 => Ok(Next::batch(Sink::One, *message.data())),
            _ => Err("odd".into()),
        })
        .batch({
            let (feed, seen) = (feed.clone(), settled_before.clone());
            move |_, batch| {
                seen.push((*batch.data().last().unwrap(), feed.unsettled()));
                Ok(())
            }
        });
    let topology = Pipeline::new(source, script)
        .processors(Processors::new(1))
        .batchers(|_| Batching::new(1, SECOND * 60));
    feed.push_all(0..8);
    feed.end();
    topology.start().await.unwrap().wait().await.unwrap();
    for (number, unsettled) in settled_before.all() {
        let later_failure = unsettled
            .iter()
            .find(|n| *n % 2 == 1 && **n < number as usize);
        assert_eq!(
            later_failure, None,
            "when {number} was in a batch, a failure before it was not settled"
        );
    }
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_batch_go_to_the_producers_that_delivered_them() {
    // Two producers share one feed; its ledger checks that each gets its own tokens back.
    let (pipeline, feed) = fed(Script::batching());
    let topology = pipeline
        .producers(2)
        .processors(Processors::new(2))
        .start()
        .await
        .unwrap();
    for n in 0..40 {
        feed.push(n);
    }
    feed.wait_delivered(40).await;
    let totals = drained(&topology).await;
    assert_eq!(totals.done, 40);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn an_acknowledger_that_fails_is_an_event_and_the_pipeline_goes_on() {
    failing_acknowledger(Fault::error("broker away"), "settle failed: broker away").await;
}

#[tokio::test(start_paused = true)]
async fn an_acknowledger_that_panics_is_an_event_and_the_pipeline_goes_on() {
    failing_acknowledger(Fault::panic("broken pipe"), "settle panicked: broken pipe").await;
}

async fn failing_acknowledger(fault: Fault, expected: &str) {
    for script in [Script::new(), Script::batching()] {
        let recorder = Recorder::new();
        let (pipeline, feed) = fed(script);
        feed.faults().at(Callback::Settle, 0, fault.clone());
        let pipeline = pipeline
            .batchers(|_| Batching::new(1, SECOND * 60))
            .observe(recorder.clone());
        let topology = pipeline.start().await.unwrap();
        outcomes([feed.push(1), feed.push(2)]).await;
        assert_eq!(drained(&topology).await.done, 2);
        let events = recorder.of("ack_failed");
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].number("count"), events[0].get("reason")),
            (1, Some(expected))
        );
        feed.assert_settled_once();
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_acknowledger_holds_back_only_its_processor() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    feed.faults().at(Callback::Settle, 0, Fault::Hang);
    let topology = pipeline
        .processors(Processors::new(2))
        .start()
        .await
        .unwrap();
    let first = feed.push(1);
    feed.faults().wait_hanging(1).await;
    outcomes([feed.push(2), feed.push(3)]).await;
    assert_eq!(feed.unsettled(), [0]);
    feed.faults().release();
    assert!(first.outcome().await.unwrap().is_done());
    drained(&topology).await;
    feed.assert_settled_once();
}

/// How [`Early`] handles a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Nothing,
    /// Acknowledge in `handle_message`, twice, and then fail.
    MessageTwiceThenFail,
    Message,
    /// Go into a batch, of which messages 0 and 1 are acknowledged before it fails.
    Batch,
    Polled,
}

struct Early {
    answers: Collector<Result<(), String>>,
}

fn text(answer: Result<(), BoxError>) -> Result<(), String> {
    answer.map_err(|error| error.to_string())
}

impl Handler for Early {
    type In = Ask;
    type Out = Ask;
    type Batcher = Sink;

    async fn handle_message(
        &self,
        message: &mut Message<Ask>,
    ) -> Result<Next<Ask, Sink>, BoxError> {
        match *message.data() {
            Ask::Nothing => Ok(Next::Ack),
            Ask::Message => {
                self.answers.push(text(message.ack_now().await));
                Ok(Next::Ack)
            }
            Ask::Polled => {
                // Created and dropped without being polled: requests nothing.
                drop(message.ack_now());
                Err("refused".into())
            }
            Ask::MessageTwiceThenFail => {
                self.answers.push(text(message.ack_now().await));
                self.answers.push(text(message.ack_now().await));
                Err("too late".into())
            }
            ask @ Ask::Batch => Ok(Next::batch(Sink::One, ask)),
        }
    }

    async fn handle_batch(&self, _: Sink, batch: &mut Batch<Ask>) -> Result<(), BoxError> {
        self.answers
            .push(text(batch.ack_now(batch.rows().take(2)).await));
        Err("the rest fails".into())
    }
}

type EarlyPipeline = Pipeline<ManualSource<Ask>, Early>;

fn early() -> (
    EarlyPipeline,
    broadway_core::testing::Feed<Ask>,
    Collector<Result<(), String>>,
) {
    let answers = Collector::new();
    let (pipeline, feed) = fed(Early {
        answers: answers.clone(),
    });
    let pipeline = pipeline.batchers(|_| Batching::new(3, SECOND * 60));
    (pipeline, feed, answers)
}

#[tokio::test(start_paused = true)]
async fn a_message_that_ack_now_acknowledged_is_not_settled_again() {
    let (pipeline, feed, answers) = early();
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes([
        feed.push(Ask::MessageTwiceThenFail),
        feed.push(Ask::Message),
    ])
    .await;
    assert!(
        outcomes.iter().all(|outcome| outcome.is_done()),
        "{outcomes:?}"
    );
    drained(&topology).await;
    assert_eq!(answers.all(), [Ok(()), Ok(()), Ok(())]);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn ack_now_that_is_never_awaited_settles_nothing() {
    let (pipeline, feed, _) = early();
    let topology = pipeline.start().await.unwrap();
    assert!(outcomes([feed.push(Ask::Polled)]).await[0].is_failed());
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn ack_now_returns_the_error_of_the_acknowledger() {
    let (pipeline, feed, answers) = early();
    feed.faults()
        .at(Callback::Settle, 0, Fault::error("broker away"));
    let topology = pipeline.start().await.unwrap();
    outcomes([feed.push(Ask::Message)]).await;
    drained(&topology).await;
    assert_eq!(
        answers.all(),
        [Err("settle failed: broker away".to_owned())]
    );
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn ack_now_settles_a_range_of_a_batch_that_then_fails() {
    let (pipeline, feed, answers) = early();
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all([Ask::Batch; 3])).await;
    assert!(outcomes[0].is_done() && outcomes[1].is_done());
    assert_eq!(reason(&outcomes[2]), "handle_batch failed: the rest fails");
    drained(&topology).await;
    assert_eq!(answers.all(), [Ok(())]);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn ack_now_of_one_message_leaves_its_chunk_alone() {
    let (pipeline, feed, _) = early();
    let topology = pipeline.start().await.unwrap();
    let asks = [
        Ask::Nothing,
        Ask::Nothing,
        Ask::Nothing,
        Ask::Nothing,
        Ask::Message,
        Ask::Nothing,
    ];
    assert!(
        outcomes(feed.push_all(asks))
            .await
            .iter()
            .all(|outcome| outcome.is_done())
    );
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn ack_now_completes_after_a_failure_in_the_same_chunk() {
    // A bug: `handle_failed` for the message before took the request, and it was never answered.
    let (pipeline, feed, answers) = early();
    let topology = pipeline.start().await.unwrap();
    // Chunks of one and two messages first, then the chunk under test.
    let asks = [
        Ask::Nothing,
        Ask::Nothing,
        Ask::Nothing,
        Ask::Polled,
        Ask::Message,
    ];
    let outcomes = outcomes(feed.push_all(asks)).await;
    assert!(outcomes[3].is_failed() && outcomes[4].is_done());
    assert_eq!(answers.all(), [Ok(())]);
    drained(&topology).await;
    feed.assert_settled_once();
}

/// A record whose text names its ack options.
#[derive(Debug, Clone)]
struct Parcel(&'static str);

impl Record for Parcel {
    type AckOptions = String;

    fn payload(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[tokio::test(start_paused = true)]
async fn options_for_a_message_reach_its_acknowledger_however_it_ends() {
    let script = Script::new().message(|message: &mut Message<Parcel>| {
        let text = message.data().0;
        message.configure_ack("overwritten".to_owned());
        message.configure_ack(format!("{text}!"));
        match text {
            "done" => Ok(Next::Ack),
            "failed" => Err("refused".into()),
            _ => Ok(Next::batch(Sink::One, message.data().clone())),
        }
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline.batchers(|_| long()).start().await.unwrap();
    feed.push_all(["done", "failed", "batch"].map(Parcel));
    feed.wait_delivered(3).await;
    drained(&topology).await;
    let mut options: Vec<_> = feed
        .take_groups()
        .iter()
        .flatten()
        .map(|settled| {
            (
                settled.token.number(),
                settled.options::<String>().unwrap().clone(),
            )
        })
        .collect();
    options.sort();
    let expected = ["done!", "failed!", "batch!"].map(str::to_owned);
    assert_eq!(
        options
            .into_iter()
            .map(|(_, text)| text)
            .collect::<Vec<_>>(),
        expected
    );
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_producer_that_failed_are_settled_with_its_own_acknowledger() {
    let (script, plan) = Faults::of(Script::<u64>::new().wait(|_| Wait::No));
    plan.at(Callback::HandleMessage, 0, Fault::Hang);
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    let held = feed.push(1);
    plan.wait_hanging(1).await;
    feed.fail("connection lost");
    let later = feed.push(2);
    feed.wait_delivered(2).await;
    plan.release();
    assert_eq!(outcomes([held, later]).await.len(), 2);
    drained(&topology).await;
    feed.assert_settled_once();
}

/// Acknowledges in combinators that poll only woken futures.
struct Combined;

impl Handler for Combined {
    type In = u64;
    type Out = u64;
    type Batcher = Sink;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, Sink>, BoxError> {
        let n = *message.data();
        if n.is_multiple_of(2) {
            let mut all = FuturesUnordered::from_iter([message.ack_now()]);
            while let Some(answer) = all.next().await {
                answer?;
            }
            return Err("too late to matter".into());
        }
        Ok(Next::batch(Sink::One, n))
    }

    async fn handle_batch(&self, _: Sink, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        // More than 30: above that, `join_all` polls only woken futures.
        let answers = batch.rows().map(|row| batch.ack_now([row]));
        for answer in futures_util::future::join_all(answers).await {
            answer?;
        }
        Err("too late to matter".into())
    }
}

#[tokio::test(start_paused = true)]
async fn ack_now_completes_in_combinators_that_poll_only_woken_futures() {
    let (pipeline, feed) = fed(Combined);
    let pipeline = pipeline.batchers(|_| Batching::new(100, SECOND));
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all(0..1_000)).await;
    assert!(outcomes.iter().all(|outcome| outcome.is_done()));
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn ack_now_that_a_select_drops_acknowledges_no_other_message() {
    struct Impatient;
    impl Handler for Impatient {
        type In = u64;
        type Out = u64;
        type Batcher = Sink;

        async fn handle_message(
            &self,
            message: &mut Message<u64>,
        ) -> Result<Next<u64, Sink>, BoxError> {
            if message.data().is_multiple_of(2) {
                tokio::select! {
                    biased;
                    answer = message.ack_now() => answer?,
                    () = std::future::ready(()) => {}
                }
            } else {
                tokio::task::yield_now().await;
            }
            Err("refused".into())
        }

        async fn handle_batch(&self, _: Sink, _: &mut Batch<u64>) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let (pipeline, feed) = fed(Impatient);
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all(0..100)).await;
    assert!(outcomes.iter().all(|outcome| outcome.is_failed()));
    drained(&topology).await;
}
