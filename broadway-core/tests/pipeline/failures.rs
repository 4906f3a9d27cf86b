//! `handle_failed`: the failures that it gets, and the limits of what it can change.

use broadway_core::{
    Batching, BoxError, Callback, Failed, Handler, Message, Next, NoBatcher, Record,
    testing::{Collector, Fault, Faults, Recorder, drained, manual_source},
};

use crate::common::{SECOND, Script, Sink, fed, outcomes, reason};

type Glimpse = (u64, Option<u64>, String);

fn glimpses(
    seen: &Collector<Vec<Glimpse>>,
) -> impl Fn(&mut [Failed<u64, u64>]) + Send + Sync + 'static {
    let seen = seen.clone();
    move |failed| {
        let glimpse = |failed: &Failed<u64, u64>| {
            (
                *failed.message().data(),
                failed.output().copied(),
                failed.reason().to_string(),
            )
        };
        seen.push(failed.iter().map(glimpse).collect());
    }
}

#[tokio::test(start_paused = true)]
async fn it_gets_messages_that_failed_in_a_processor() {
    let seen = Collector::new();
    let script = Script::new()
        .message(|message| match *message.data() {
            0 => Ok(Next::Ack),
            1 => Err("refused".into()),
            _ => panic!("broken"),
        })
        .failed(glimpses(&seen));
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    outcomes(feed.push_all([0, 1, 2])).await;
    drained(&topology).await;
    let all: Vec<_> = seen.all().into_iter().flatten().collect();
    let expected = [
        (1, None, "handle_message failed: refused".to_owned()),
        (2, None, "handle_message panicked: broken".to_owned()),
    ];
    assert_eq!(all, expected);
}

#[tokio::test(start_paused = true)]
async fn it_is_called_once_for_all_failures_of_a_chunk() {
    let (seen, recorder) = (Collector::new(), Recorder::new());
    let script = Script::new()
        .message(|_| Err("all fail".into()))
        .failed(glimpses(&seen));
    let (pipeline, feed) = fed(script);
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    outcomes(feed.push_all(0..31)).await;
    drained(&topology).await;
    let per_chunk: Vec<_> = recorder
        .of("chunk_stopped")
        .iter()
        .map(|chunk| chunk.number("failed") as usize)
        .collect();
    let per_call: Vec<_> = seen.all().iter().map(Vec::len).collect();
    assert_eq!(per_call, per_chunk);
    assert!(
        per_call.iter().any(|len| *len > 1),
        "the test needs a chunk of several"
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_not_called_without_a_failure() {
    let seen = Collector::new();
    let (pipeline, feed) = fed(Script::batching().failed(glimpses(&seen)));
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..5);
    drained(&topology).await;
    assert!(seen.is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_gets_messages_failed_by_their_row_with_their_output() {
    let seen = Collector::new();
    let script = Script::new()
        .message(|message| Ok(Next::batch(Sink::One, *message.data() + 100)))
        .batch(|_, batch| {
            batch.fail(batch.rows().nth(1).unwrap(), "bad row");
            Ok(())
        })
        .failed(glimpses(&seen));
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .batchers(|_| Batching::new(3, SECOND * 60))
        .start()
        .await
        .unwrap();
    outcomes(feed.push_all(0..3)).await;
    drained(&topology).await;
    assert_eq!(
        seen.all(),
        [vec![(
            1,
            Some(101),
            "handle_batch failed: bad row".to_owned()
        )]]
    );
}

#[tokio::test(start_paused = true)]
async fn it_gets_the_whole_batch_when_the_batch_fails() {
    let seen = Collector::new();
    let script = Script::batching()
        .batch(|_, _| panic!("broken"))
        .failed(glimpses(&seen));
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .batchers(|_| Batching::new(3, SECOND * 60))
        .start()
        .await
        .unwrap();
    outcomes(feed.push_all(0..3)).await;
    drained(&topology).await;
    let calls = seen.all();
    assert_eq!(calls.len(), 1);
    let whole: Vec<_> = calls[0]
        .iter()
        .map(|(n, output, _)| (*n, *output))
        .collect();
    assert_eq!(whole, [(0, Some(0)), (1, Some(1)), (2, Some(2))]);
}

#[tokio::test(start_paused = true)]
async fn its_panic_is_contained_in_a_processor() {
    contained(
        Script::new().message(|_| Err("refused".into())),
        "handle_message failed: refused",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn its_panic_is_contained_in_a_batch_processor() {
    contained(
        Script::batching().batch(|_, _| Err("refused".into())),
        "handle_batch failed: refused",
    )
    .await;
}

async fn contained(script: Script<u64>, expected: &str) {
    let recorder = Recorder::new();
    let (script, plan) = Faults::of(script);
    plan.at(Callback::HandleFailed, 0, Fault::panic("while failing"));
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline
        .batchers(|_| Batching::new(1, SECOND * 60))
        .observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes([feed.push(1), feed.push(2)]).await;
    assert_eq!(
        outcomes.iter().map(reason).collect::<Vec<_>>(),
        [expected, expected]
    );
    drained(&topology).await;
    let panic = recorder
        .wait_for(|event| event.get("panic").is_some())
        .await;
    assert_eq!(
        panic.get("panic"),
        Some("handle_failed panicked: while failing")
    );
    feed.assert_settled_once();
}

/// A record with ack options.
#[derive(Debug)]
pub(crate) struct Letter(u64);

impl Record for Letter {
    type AckOptions = &'static str;

    fn payload(&self) -> &[u8] {
        &[]
    }
}

struct Returning;

impl Handler for Returning {
    type In = Letter;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Letter>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        match message.data().0 {
            0 => Err("refused".into()),
            _ => Ok(Next::Ack),
        }
    }

    async fn handle_failed(&self, failed: &mut [Failed<Letter, ()>]) {
        failed
            .iter_mut()
            .for_each(|failed| failed.configure_ack("return to sender"));
    }
}

#[tokio::test(start_paused = true)]
async fn ack_options_that_it_sets_reach_the_source() {
    let (source, feed) = manual_source::<Letter>();
    let topology = broadway_core::Pipeline::new(source, Returning)
        .start()
        .await
        .unwrap();
    outcomes([feed.push(Letter(0)), feed.push(Letter(1))]).await;
    drained(&topology).await;
    let mut options: Vec<_> = feed
        .take_groups()
        .iter()
        .flatten()
        .map(|settled| {
            (
                settled.token.number(),
                settled.options::<&'static str>().copied(),
            )
        })
        .collect();
    options.sort_unstable();
    assert_eq!(options, [(0, Some("return to sender")), (1, None)]);
}
