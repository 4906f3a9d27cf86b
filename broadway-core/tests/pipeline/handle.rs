//! The handle: pause, resume, wait, totals; and runtimes of either kind.

use broadway_core::{
    Batching, Pipeline, Processors, Topology, Totals,
    source::from_iter,
    testing::{ProducerCall, Recorder, drained, manual_source},
};

use crate::common::{SECOND, Script, Wait, fed, outcomes, settle_down};

#[tokio::test(start_paused = true)]
async fn a_paused_topology_fetches_nothing_and_a_resumed_one_goes_on() {
    let recorder = Recorder::new();
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline
        .producers(2)
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    outcomes(feed.push_all(0..3)).await;
    assert!(!topology.is_paused());
    topology.pause();
    topology.pause();
    assert!(topology.is_paused());
    settle_down().await;
    let held = feed.push_all(3..6);
    settle_down().await;
    assert_eq!(feed.delivered(), 3);
    topology.resume();
    assert_eq!(outcomes(held).await.len(), 3);
    assert!(!topology.is_paused());
    drained(&topology).await;
    assert_eq!(
        (recorder.count("paused"), recorder.count("resumed")),
        (1, 1)
    );
    assert!(
        !feed.producer_calls().contains(&ProducerCall::Dropped(0)),
        "no producer was opened anew"
    );
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_in_flight_are_handled_while_paused_and_pushes_pass() {
    let (pipeline, feed) = fed(Script::<u64>::batching().wait(|_| Wait::Yield));
    let topology = pipeline
        .batchers(|_| Batching::new(2, SECOND * 60))
        .start()
        .await
        .unwrap();
    let receipts = feed.push_all(0..4);
    feed.wait_delivered(4).await;
    topology.pause();
    assert_eq!(outcomes(receipts).await.len(), 4);
    assert_eq!(
        outcomes(topology.push([8, 9]).await.unwrap()).await.len(),
        2
    );
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn all_callers_of_wait_get_the_result_and_so_do_later_ones() {
    let topology = Pipeline::new(from_iter(|_| 0..10_u64), Script::new())
        .start()
        .await
        .unwrap();
    let (first, second) = tokio::join!(topology.wait(), topology.wait());
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(topology.wait().await.unwrap().done, 10);
    assert_eq!(topology.drain().await.unwrap().done, 10);
    assert_eq!(
        topology.abort().await.unwrap().done,
        10,
        "it had ended before"
    );
}

#[tokio::test(start_paused = true)]
async fn totals_count_received_messages_and_their_outcomes() {
    let script = Script::new().message(|message: &mut broadway_core::Message<u64>| {
        match message.data() % 2 {
            0 => Ok(broadway_core::Next::Ack),
            _ => Err("odd".into()),
        }
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    assert_eq!(topology.totals(), Totals::default());
    outcomes(feed.push_all(0..9)).await;
    outcomes(topology.push([1]).await.unwrap()).await;
    let totals = drained(&topology).await;
    assert_eq!(
        (totals.received, totals.done, totals.failed, totals.released),
        (10, 5, 5, 0)
    );
    assert_eq!(totals.in_flight(), 0);
    assert_eq!(topology.totals(), totals);
}

#[tokio::test(start_paused = true)]
async fn totals_show_messages_in_flight() {
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::Ever));
    let topology: Topology<u64> = pipeline.start().await.unwrap();
    feed.push_all(0..3);
    feed.wait_delivered(3).await;
    settle_down().await;
    assert_eq!(topology.totals().in_flight(), 3);
    topology.abort().await.unwrap_err();
}

async fn busy(producers: usize) {
    let (source, feed) = manual_source::<u64>();
    let script = Script::batching().wait(|n| if n % 11 == 0 { Wait::Yield } else { Wait::No });
    let pipeline = Pipeline::new(source, script)
        .producers(producers)
        .processors(
            Processors::new(6)
                .max_demand(9)
                .partition_by(|message| message.data() % 13),
        )
        .batchers(|_| Batching::new(7, SECOND).concurrency(3));
    let topology = pipeline.start().await.unwrap();
    for piece in 0..200 {
        feed.push_all(piece * 10..piece * 10 + 10);
    }
    feed.end();
    assert_eq!(topology.wait().await.unwrap().done, 2_000);
    feed.assert_settled_once();
}

#[test]
fn a_pipeline_runs_on_a_runtime_of_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(busy(3));
}

#[test]
fn a_pipeline_runs_on_a_runtime_of_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    for _ in 0..20 {
        runtime.block_on(async { tokio::spawn(busy(3)).await.unwrap() });
    }
}

#[tokio::test(start_paused = true)]
async fn topologies_run_side_by_side_in_one_runtime() {
    let mut topologies = Vec::new();
    for n in 1..=5_u64 {
        let source = from_iter(move |_| 0..n * 100);
        topologies.push((
            n * 100,
            Pipeline::new(source, Script::new()).start().await.unwrap(),
        ));
    }
    for (expected, topology) in topologies {
        assert_eq!(topology.wait().await.unwrap().done, expected);
    }
}
