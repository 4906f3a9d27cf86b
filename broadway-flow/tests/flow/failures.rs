//! What ends a flow before its sources do.

use broadway_core::{
    BoxError,
    stage::{self, Context, Producer},
};
use broadway_flow::{Flow, FlowErrorKind, RunFlowError};
use futures_util::StreamExt;

use crate::feed::{in_parts, s};

/// Emits numbers, and fails.
struct Failing;

impl Producer for Failing {
    type Event = u32;

    async fn handle_demand(&mut self, n: usize, cx: &mut Context<u32>) -> Result<(), BoxError> {
        if n < 10_000 {
            cx.emit_all(0..100);
        }
        Err("the disk is gone".into())
    }
}

fn of_flow(error: RunFlowError) -> (FlowErrorKind, String) {
    let RunFlowError::Flow(error) = error else {
        panic!("it did not start: {error}");
    };
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn a_source_that_panics_ends_the_flow() {
    let panics = || (0..5_000).map(|n| if n == 3_000 { panic!("no {n}") } else { n });
    let (kind, text) = of_flow(Flow::from_iter(panics()).run().await.unwrap_err());
    assert!(text.contains("no 3000"), "{kind:?} {text}");
    let mut running = Flow::from_iter(panics()).map(|n| n).start().await.unwrap();
    let text = running.wait().await.unwrap_err().to_string();
    assert!(text.contains("no 3000"), "{text}");
    let stream = Flow::from_iter(panics())
        .workers(1)
        .into_stream()
        .await
        .unwrap();
    let last = stream.collect::<Vec<_>>().await.pop().unwrap();
    assert!(last.unwrap_err().to_string().contains("no 3000"));
}

#[tokio::test]
async fn an_empty_source_ends_the_flow_normally() {
    assert!(
        Flow::from_iter(0..0)
            .map(|n| n)
            .collect()
            .await
            .unwrap()
            .is_empty()
    );
    let mut running = Flow::from_iter(0..0).start().await.unwrap();
    running.wait().await.unwrap();
}

#[tokio::test]
async fn a_stage_that_fails_as_a_source_ends_the_flow() {
    let failing = stage::producer(Failing)
        .name("disk")
        .accumulate()
        .start()
        .await
        .unwrap();
    let flow = Flow::from_stages([failing.output()]).map(|n| n);
    let running = tokio::spawn(flow.run());
    tokio::task::yield_now().await;
    failing.forward_demand();
    let (_, text) = of_flow(running.await.unwrap().unwrap_err());
    assert!(text.contains("the disk is gone"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_stopped_ends_the_flow_with_an_error() {
    let endless = stage::from_iter(0_u32..).start().await.unwrap();
    let flow = Flow::from_stages([endless.output()]).workers(1).map(|n| n);
    let (output, mut running) = flow.into_stages().await.unwrap();
    let mut events = output.stream().unwrap();
    assert_eq!(events.next().await, Some(0));
    endless.abort();
    while events.next().await.is_some() {}
    assert!(running.wait().await.is_err());
}

#[tokio::test]
async fn a_panic_behind_a_partition_ends_the_flow_with_more_workers_as_well() {
    let flow = Flow::from_iter(0..10_000)
        .workers(4)
        .map(|n| if n == 77 { panic!("no") } else { n });
    assert_eq!(
        flow.run().await.unwrap_err().to_string(),
        "map panicked: no"
    );
    let counts = Flow::from_iter(0..10_000)
        .partition(|n| n % 9)
        .workers(4)
        .count();
    let counts = counts.map(|(key, n)| if key == 5 { panic!("five") } else { n });
    assert_eq!(
        counts.collect().await.unwrap_err().to_string(),
        "map panicked: five"
    );
    let sums = Flow::from_iter(0..10).partition(|n| n % 2);
    let sums = sums.reduce(
        || 0,
        |sum, n| if n == 7 { panic!("seven") } else { *sum += n },
    );
    assert_eq!(
        sums.collect().await.unwrap_err().to_string(),
        "reduce panicked: seven"
    );
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_fails_leaves_the_flow_to_others() {
    let flow = Flow::from_iter(0..20_000_u32).workers(1).map(|n| n);
    let (output, mut running) = flow.into_stages().await.unwrap();
    let failing = stage::for_each(|n: u32| async move {
        match n {
            5 => Err("five".into()),
            _ => Ok(()),
        }
    });
    let failing = failing.subscribe_to(output.clone()).start().await.unwrap();
    assert!(failing.join().await.is_failed());
    let rest: Vec<u32> = output.stream().unwrap().collect().await;
    assert_eq!(rest.last(), Some(&19_999));
    running.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_dropped_ends_its_consumers() {
    let (output, running) = Flow::from_iter(0_u32..)
        .workers(1)
        .into_stages()
        .await
        .unwrap();
    let mut events = output.stream().unwrap();
    assert_eq!(events.next().await, Some(0));
    drop(running);
    let rest = async { while events.next().await.is_some() {} };
    tokio::time::timeout(s(60), rest)
        .await
        .expect("the stream ends");
}

#[tokio::test(start_paused = true)]
async fn a_future_that_does_not_return_holds_an_error_back_for_half_a_minute() {
    let began = tokio::time::Instant::now();
    let flow = in_parts(vec![vec![1], vec![2]]).workers(1);
    let flow = flow.map(|n: u32| if n == 2 { panic!("two") } else { n });
    let ended = flow.for_each_batch(|_| std::future::pending::<Result<(), BoxError>>());
    let (_, text) = of_flow(ended.await.unwrap_err());
    assert_eq!(text, "map panicked: two");
    assert!(began.elapsed() < s(40), "{:?}", began.elapsed());
}
