//! How far a flow is: in paused time, so that rates are exact.

use std::time::Duration;

use broadway_flow::{Flow, FlowError, ProgressUnit};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, sleep, sleep_until};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Sends `n` events: after 50 ms, and then every 100 ms.
fn slow(n: u64) -> impl Stream<Item = u64> + Send {
    let start = Instant::now() + ms(50);
    stream::iter(0..n).then(move |n| async move {
        sleep_until(start + ms(n * 100)).await;
        n
    })
}

#[tokio::test(start_paused = true)]
async fn progress_counts_what_a_stream_has_sent() {
    let mut running = Flow::from_stream(slow(30))
        .workers(1)
        .start()
        .await
        .unwrap();
    let progress = running.progress();
    assert_eq!((progress.done, progress.per_second), (0, 0.0));
    sleep(ms(2_000)).await;
    let progress = running.progress();
    assert_eq!((progress.done, progress.per_second), (20, 10.0));
    assert_eq!(
        (progress.total, progress.share, progress.left),
        (None, None, None)
    );
    assert_eq!(progress.unit, ProgressUnit::Events);
    assert_eq!(progress.to_string(), "20 events, 10/s");
    running.wait().await.unwrap();
    assert_eq!(running.progress().done, 30);
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_that_of_the_last_ten_seconds_even_if_asked_for_once() {
    let mut running = Flow::from_stream(slow(200))
        .workers(1)
        .start()
        .await
        .unwrap();
    sleep(ms(15_000)).await;
    let progress = running.progress();
    assert_eq!(progress.done, 150);
    // The ten seconds begin at a tenth of a second.
    assert!((progress.per_second - 10.0).abs() < 0.2, "{progress}");
    running.wait().await.unwrap();
    sleep(ms(11_000)).await;
    let progress = running.progress();
    assert_eq!((progress.done, progress.per_second), (200, 0.0));
}

#[tokio::test(start_paused = true)]
async fn the_share_grows_with_what_consumers_take() {
    let flow = Flow::from_iter(0..100_000).workers(1).map(|n| n);
    let (output, running) = flow.into_stages().await.unwrap();
    let mut events = output.stream().unwrap();
    let (mut last, mut between) = (0.0, 0);
    let mut n = 0;
    while let Some(event) = events.next().await {
        assert_eq!(event, n);
        n += 1;
        if n % 1_000 != 0 {
            continue;
        }
        sleep(ms(100)).await;
        let progress = running.progress();
        let share = progress.share.unwrap();
        assert!(share >= last && progress.done >= n as u64, "{progress}");
        assert_eq!(share, progress.done as f64 / 100_000.0);
        between += u32::from(share > last && share < 1.0);
        last = share;
    }
    assert!(between > 10, "{between}");
    assert_eq!((last, running.progress().left), (1.0, Some(Duration::ZERO)));
}

#[tokio::test]
async fn the_totals_of_all_sources_add_up() {
    let one = Flow::from_iters([0..3_000, 0..10]).workers(1);
    let mut running = one
        .merge(Flow::from_iter(0..500).workers(1))
        .start()
        .await
        .unwrap();
    running.wait().await.unwrap();
    let progress = running.progress();
    assert_eq!(
        (progress.done, progress.total, progress.share),
        (3_510, Some(3_510), Some(1.0))
    );
}

#[tokio::test]
async fn one_source_of_unknown_length_leaves_the_total_unknown() {
    let known = Flow::from_iter(0..500).workers(1);
    let unknown = Flow::from_iter((0..500).filter(|n| n % 2 == 0)).workers(1);
    let mut running = known.merge(unknown).start().await.unwrap();
    running.wait().await.unwrap();
    let progress = running.progress();
    assert_eq!(
        (progress.done, progress.total, progress.share),
        (750, None, None)
    );
}

#[tokio::test]
async fn an_empty_flow_is_complete() {
    let mut running = Flow::from_iter(0..0).start().await.unwrap();
    running.wait().await.unwrap();
    assert_eq!(running.progress().share, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn progress_stops_where_a_flow_fails() {
    let flow = Flow::from_stream(slow(30))
        .workers(1)
        .try_map(|n| if n < 7 { Ok(n) } else { Err("seven") });
    let mut running = flow.start().await.unwrap();
    let error: FlowError = running.wait().await.unwrap_err();
    assert_eq!(error.to_string(), "try_map failed: seven");
    sleep(ms(1_000)).await;
    assert_eq!(running.progress().done, 8);
}

/// Standard error of tests is usually no terminal. Tests within the crate look at the bar.
#[cfg(feature = "progress")]
#[tokio::test(start_paused = true)]
async fn a_flow_with_a_bar_does_what_it_does_without_one() {
    let mut running = Flow::from_stream(slow(3)).workers(1).start().await.unwrap();
    let report = running.wait_with_bar().await.unwrap();
    assert_eq!(report.elapsed(), ms(250));
    assert_eq!(
        Flow::from_iter(0..3)
            .workers(1)
            .progress_bar()
            .collect()
            .await
            .unwrap(),
        [0, 1, 2]
    );
    let failing = Flow::from_iter(0..3)
        .progress_bar()
        .map(|n: u8| if n == 2 { panic!("two") } else { n });
    assert_eq!(
        failing.run().await.unwrap_err().to_string(),
        "map panicked: two"
    );
}
