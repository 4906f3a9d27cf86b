//! The rate limit: exact per window, shared by producers, changed while it runs.

use std::time::Duration;

use broadway_core::{
    Next, Pipeline, Processors, RateLimit,
    testing::{Collector, Feed, ManualSource, Recorder, drained},
};
use tokio::time::Instant;

use crate::common::{SECOND, Script, fed, outcomes, settle_down};

type TimedPipeline = Pipeline<ManualSource<u64>, Script<u64>>;

/// A pipeline that records in which millisecond it handled each message.
fn timed() -> (TimedPipeline, Feed<u64>, Collector<u128>) {
    let (times, began) = (Collector::new(), Instant::now());
    let script = Script::new().message({
        let times = times.clone();
        move |_| {
            times.push(began.elapsed().as_millis());
            Ok(Next::Ack)
        }
    });
    let (pipeline, feed) = fed(script);
    (pipeline.processors(Processors::new(2)), feed, times)
}

fn per_second(times: &[u128], seconds: usize) -> Vec<usize> {
    (0..seconds)
        .map(|second| {
            times
                .iter()
                .filter(|time| **time / 1_000 == second as u128)
                .count()
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn exactly_the_allowed_number_passes_in_each_window() {
    let (pipeline, feed, times) = timed();
    feed.push_all(0..50);
    feed.end();
    let topology = pipeline
        .rate_limit(RateLimit::per(20, SECOND))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    assert_eq!(per_second(&times.all(), 3), [20, 20, 10]);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn fewer_messages_than_allowed_pass_at_once() {
    let (pipeline, feed, times) = timed();
    feed.push_all(0..5);
    feed.end();
    pipeline
        .rate_limit(RateLimit::per(20, SECOND))
        .start()
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    assert_eq!(times.all(), [0; 5]);
}

#[tokio::test(start_paused = true)]
async fn producers_share_the_limit() {
    let (pipeline, feed, times) = timed();
    for n in 0..60 {
        feed.push(n);
    }
    feed.end();
    let topology = pipeline
        .producers(2)
        .rate_limit(RateLimit::per(7, SECOND))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    let counts = per_second(&times.all(), 9);
    assert_eq!(counts, [7, 7, 7, 7, 7, 7, 7, 7, 4]);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_held_back_are_an_event_and_are_not_lost() {
    let recorder = Recorder::new();
    let (pipeline, feed, _) = timed();
    feed.push_all(0..10);
    feed.end();
    let topology = pipeline
        .rate_limit(RateLimit::per(4, SECOND))
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    assert_eq!(topology.wait().await.unwrap().done, 10);
    assert_eq!(recorder.of("rate_limited")[0].number("held"), 6);
}

#[tokio::test(start_paused = true)]
async fn a_change_counts_from_the_next_window() {
    let (pipeline, feed, times) = timed();
    feed.push_all(0..40);
    let topology = pipeline
        .rate_limit(RateLimit::per(5, SECOND))
        .start()
        .await
        .unwrap();
    assert_eq!(topology.rate_limit(), Some(RateLimit::per(5, SECOND)));
    times.wait_len(5).await;
    topology.set_rate_limit(RateLimit::per(10, SECOND)).unwrap();
    feed.end();
    topology.wait().await.unwrap();
    assert_eq!(per_second(&times.all(), 5), [5, 10, 10, 10, 5]);
    assert_eq!(topology.rate_limit(), Some(RateLimit::per(10, SECOND)));
}

#[tokio::test(start_paused = true)]
async fn a_change_with_reset_counts_at_once() {
    let (pipeline, feed, times) = timed();
    feed.push_all(0..30);
    let topology = pipeline
        .rate_limit(RateLimit::per(5, SECOND * 3_600))
        .start()
        .await
        .unwrap();
    times.wait_len(5).await;
    settle_down().await;
    assert_eq!(times.len(), 5);
    topology
        .reset_rate_limit(RateLimit::per(20, SECOND))
        .unwrap();
    feed.end();
    topology.wait().await.unwrap();
    assert_eq!(per_second(&times.all(), 2), [25, 5]);
}

#[tokio::test(start_paused = true)]
async fn values_that_cannot_work_are_refused_while_running() {
    let (pipeline, _feed, _) = timed();
    let topology = pipeline
        .rate_limit(RateLimit::per(5, SECOND))
        .start()
        .await
        .unwrap();
    for (messages, interval) in [(0, SECOND), (5, Duration::ZERO)] {
        let problem = topology
            .reset_rate_limit(RateLimit::per(messages, interval))
            .unwrap_err();
        assert_eq!(problem.option(), "rate_limit");
    }
    assert_eq!(
        topology.rate_limit(),
        Some(RateLimit::per(5, SECOND)),
        "nothing has changed"
    );
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_may_come_while_the_pipeline_runs() {
    let (pipeline, feed, times) = timed();
    let topology = pipeline.start().await.unwrap();
    assert_eq!(topology.rate_limit(), None);
    feed.push_all(0..300);
    // The producer is lent to the processors meanwhile.
    times.wait_len(300).await;
    topology.set_rate_limit(RateLimit::per(5, SECOND)).unwrap();
    assert_eq!(topology.rate_limit(), Some(RateLimit::per(5, SECOND)));
    feed.push_all(300..320);
    feed.end();
    topology.wait().await.unwrap();
    assert_eq!(per_second(&times.all(), 4), [305, 5, 5, 5]);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_sends_held_messages_at_the_limited_pace() {
    let (pipeline, feed, times) = timed();
    feed.push_all(0..25);
    let topology = pipeline
        .rate_limit(RateLimit::per(10, SECOND))
        .start()
        .await
        .unwrap();
    feed.wait_delivered(25).await;
    let totals = drained(&topology).await;
    assert_eq!(totals.done, 25);
    assert_eq!(per_second(&times.all(), 3), [10, 10, 5]);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_times_out_leaves_held_messages() {
    let (pipeline, feed, times) = timed();
    feed.push_all(0..25);
    let topology = pipeline
        .rate_limit(RateLimit::per(10, SECOND))
        .start()
        .await
        .unwrap();
    feed.wait_delivered(25).await;
    let error = topology
        .drain_within(Duration::from_millis(1_500))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("5 message(s) unsettled"),
        "{error}"
    );
    assert_eq!(per_second(&times.all(), 3), [10, 10, 0]);
    assert_eq!(feed.unsettled().len(), 5);
    feed.assert_contract();
}

#[tokio::test(start_paused = true)]
async fn pushed_messages_are_not_limited() {
    let (pipeline, _feed, times) = timed();
    let topology = pipeline
        .rate_limit(RateLimit::per(1, SECOND * 3_600))
        .start()
        .await
        .unwrap();
    let receipts = topology.push(0..20).await.unwrap();
    assert_eq!(outcomes(receipts).await.len(), 20);
    assert_eq!(times.all(), [0; 20]);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn the_smooth_limit_passes_a_burst_and_then_evenly() {
    let (pipeline, feed, times) = timed();
    feed.push_all(0..12);
    feed.end();
    let topology = pipeline
        .rate_limit(RateLimit::per(10, SECOND).with_burst(3))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    let times = times.all();
    assert_eq!(times[..3], [0; 3]);
    for (index, time) in times[3..].iter().enumerate() {
        let due = (index as u128 + 1) * 100;
        assert!(
            (due..due + 3).contains(time),
            "message {} passed at {time} ms, due at {due}",
            index + 3
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_other_kind_counts_at_once() {
    let (pipeline, feed, times) = timed();
    feed.push_all(0..12);
    let topology = pipeline
        .rate_limit(RateLimit::per(2, SECOND * 3_600))
        .start()
        .await
        .unwrap();
    times.wait_len(2).await;
    let smooth = RateLimit::per(10, SECOND).with_burst(5);
    topology.set_rate_limit(smooth).unwrap();
    assert_eq!(topology.rate_limit(), Some(smooth));
    feed.end();
    topology.wait().await.unwrap();
    assert_eq!(times.all()[..7], [0; 7], "2, and then a burst of 5");
    assert_eq!(per_second(&times.all(), 1), [12]);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_nothing_is_refused_while_running() {
    let (pipeline, _feed, _) = timed();
    let limit = RateLimit::per(5, SECOND);
    let topology = pipeline.rate_limit(limit).start().await.unwrap();
    assert_eq!(topology.describe().rate_limit, Some(limit));
    let problem = topology.set_rate_limit(limit.with_burst(0)).unwrap_err();
    assert_eq!(problem.option(), "rate_limit.burst");
    assert_eq!(topology.rate_limit(), Some(limit), "nothing has changed");
    drained(&topology).await;
}
