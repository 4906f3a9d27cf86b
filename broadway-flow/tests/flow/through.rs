//! External stages in a flow.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{
    BoxError,
    stage::{self, Context, Output, ProducerConsumer, Subscription},
};
use broadway_flow::{EventTime, Flow, FlowErrorKind, RunFlowError, Timestamp, Windows};
use futures_util::StreamExt;

/// Passes numbers on, slowly. Fails at one of them.
struct Slow {
    fails_at: u32,
}

impl ProducerConsumer for Slow {
    type In = u32;
    type Out = u32;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u32>,
        _from: &Subscription,
        cx: &mut Context<u32>,
    ) -> Result<(), BoxError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if events.contains(&self.fails_at) {
            return Err("too high".into());
        }
        cx.emit_all(events.drain(..));
        Ok(())
    }
}

async fn slow(numbers: Output<u32>, fails_at: u32) -> Result<Output<u32>, BoxError> {
    let slow = stage::producer_consumer(Slow { fails_at }).name("slow");
    Ok(slow
        .subscribe_to(numbers.max_demand(500))
        .start()
        .await?
        .output())
}

fn flow_error(error: RunFlowError) -> String {
    let RunFlowError::Flow(error) = error else {
        panic!("it did not start: {error}");
    };
    assert_eq!(error.kind(), FlowErrorKind::Stage);
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_events_go_through_the_stages() {
    let flow = Flow::from_iter(0..50_000).workers(3).map(|n| n + 1);
    let flow = flow
        .through(|numbers| slow(numbers, u32::MAX))
        .workers(2)
        .map(|n| n - 1);
    let mut all = flow.collect().await.unwrap();
    all.sort_unstable();
    assert_eq!(all, (0..50_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_one_behind_the_other_lose_nothing_at_the_end() {
    for n in [0, 1, 999, 2_001] {
        let flow = Flow::from_iter(0..n).through(|numbers| slow(numbers, u32::MAX));
        let flow = flow.through(async |numbers| {
            let more = stage::flat_map(|n: u32| [n, n])
                .subscribe_to(numbers)
                .start()
                .await?;
            Ok(more.output())
        });
        let counts = flow
            .partition(|_| ())
            .count()
            .map(|(_, n)| n)
            .collect()
            .await
            .unwrap();
        assert_eq!(counts.iter().sum::<u64>(), u64::from(n) * 2);
    }
}

#[tokio::test]
async fn a_stage_that_fails_ends_the_flow() {
    let flow = Flow::from_iter(0..1_000_000).through(|numbers| slow(numbers, 3_000));
    let error = flow_error(flow.run().await.unwrap_err());
    assert!(
        error.contains("slow") && error.contains("too high"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stage_that_fails_ends_the_stream_of_the_flow() {
    let flow = Flow::from_iter(0..1_000_000)
        .through(|numbers| slow(numbers, 3_000))
        .workers(1);
    let all: Vec<_> = flow.into_stream().await.unwrap().collect().await;
    let error = all.last().unwrap().as_ref().unwrap_err();
    assert!(error.to_string().contains("too high"), "{error}");
}

#[tokio::test]
async fn an_operator_that_fails_before_the_stages_is_the_cause() {
    let flow = Flow::from_iter(0..10_000).map(|n| if n == 5_000 { panic!("no") } else { n });
    let flow = flow.through(|numbers| slow(numbers, u32::MAX));
    assert_eq!(
        flow.run().await.unwrap_err().to_string(),
        "map panicked: no"
    );
}

#[tokio::test]
async fn an_error_of_the_function_is_an_error_of_the_start() {
    let flow = Flow::from_iter(0..10).through(async |_| Err::<Output<u8>, _>("no network".into()));
    let error = flow.named("ask").run().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot start stage through \"ask\": init failed: no network"
    );
}

#[tokio::test]
async fn a_flow_that_does_not_start_stops_its_stages() {
    let (first, second) = (Arc::new(Mutex::new(None)), Arc::new(()));
    let (shared, held) = (Arc::clone(&first), Arc::clone(&second));
    let flow = Flow::from_iter(0..10).map(move |n| (Arc::strong_count(&held), n).1);
    let flow = flow.through(async move |numbers| {
        *shared.lock().unwrap() = Some(numbers.clone());
        Err::<Output<u8>, _>("no network".into())
    });
    flow.run().await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(20)).await;
    // Its source, operators and output are gone, though the output can be reached.
    assert_eq!(Arc::strong_count(&second), 1);
    drop(first);
}

#[tokio::test]
async fn a_stage_that_is_shut_down_ends_the_flow_with_an_error() {
    let flow = Flow::from_iter(0_u32..).through(async |numbers: Output<u32>| {
        let same = stage::map(|n: u32| n)
            .name("same")
            .subscribe_to(numbers)
            .start()
            .await?;
        let handle = same.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            handle.stop().await;
        });
        Ok(same.output())
    });
    let ended = tokio::time::timeout(Duration::from_secs(10), flow.run()).await;
    let RunFlowError::Flow(error) = ended.expect("it ends").unwrap_err() else {
        panic!("it started");
    };
    assert_eq!(
        (error.kind(), error.operator()),
        (FlowErrorKind::Stopped, "same")
    );
}

#[tokio::test]
async fn stages_that_end_early_end_the_flow() {
    let flow = Flow::from_iter(0_u32..).through(async |numbers: Output<u32>| {
        let first = numbers.stream()?.take(10);
        Ok(stage::from_stream(first).start().await?.output())
    });
    let all = tokio::time::timeout(Duration::from_secs(10), flow.workers(1).collect()).await;
    assert_eq!(all.expect("it ends").unwrap().len(), 10);
}

#[tokio::test]
async fn times_do_not_pass_the_stages() {
    let times = EventTime::new(|n: &u32| Timestamp::from_millis(i64::from(*n)));
    let flow = Flow::from_iter(0..10)
        .event_time(times)
        .through(|numbers| slow(numbers, u32::MAX));
    let windows = flow.window(Windows::fixed(Duration::from_secs(1))).count();
    let error = windows.run().await.unwrap_err().to_string();
    assert!(error.contains("event_time"), "{error}");
}

#[tokio::test]
async fn the_plan_shows_the_stages_and_counts_their_events() {
    let flow = Flow::from_iter(0..10)
        .workers(1)
        .through(|numbers| slow(numbers, u32::MAX));
    let mut running = flow.named("ask").workers(2).start().await.unwrap();
    running.wait().await.unwrap();
    let plan = running.explain().to_string();
    assert!(
        plan.contains("3. through, 2 workers\n   - through \"ask\"  10 events\n"),
        "{plan}"
    );
}
