//! Durations of any length: one beyond the range of the clock means no limit, and does not overflow.

use std::time::Duration;

use broadway_core::{
    Batching, OpenContext, Pipeline, Processors, Source, machine::restart::RestartPolicy,
    testing::Collector,
};

use crate::common::{SECOND, Script, Wait, fed, outcomes};

const HUGE: [Duration; 4] = [
    Duration::MAX,
    Duration::from_secs(u64::MAX),
    Duration::from_secs(i64::MAX as u64 / 2),
    Duration::from_secs(40 * 365 * 86_400),
];

#[tokio::test(start_paused = true)]
async fn a_drain_without_a_limit_waits_for_its_handlers() {
    for limit in HUGE {
        let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::For(SECOND * 86_400 * 400)));
        let pipeline = pipeline.processors(Processors::new(3)).drain_timeout(limit);
        let topology = pipeline.start().await.unwrap();
        feed.push_all(0..3);
        feed.wait_delivered(3).await;
        let ended = tokio::time::timeout(SECOND * 86_400 * 1_000, topology.drain()).await;
        let totals = ended.expect("the drain hangs").unwrap();
        assert_eq!(totals.done, 3, "{limit:?}");
        feed.assert_settled_once();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_without_a_limit_can_get_one_later() {
    for limit in HUGE {
        let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::Ever));
        let topology = pipeline.drain_timeout(limit).start().await.unwrap();
        feed.push_all(0..3);
        feed.wait_delivered(3).await;
        let unlimited = tokio::time::timeout(SECOND * 86_400, topology.drain()).await;
        assert!(unlimited.is_err(), "{limit:?}: {unlimited:?}");
        let unlimited = tokio::time::timeout(SECOND, topology.drain_within(limit)).await;
        assert!(unlimited.is_err(), "{limit:?}: {unlimited:?}");
        topology.drain_within(SECOND).await.unwrap_err();
        assert_eq!(topology.totals().in_flight(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_topology_without_a_limit_that_is_dropped_drains() {
    for limit in HUGE {
        let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::For(SECOND)));
        let topology = pipeline.drain_timeout(limit).start().await.unwrap();
        let receipts = feed.push_all(0..3);
        feed.wait_delivered(3).await;
        drop(topology);
        assert_eq!(outcomes(receipts).await.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_a_limit_waits_for_its_size() {
    for limit in HUGE {
        let batches = Collector::new();
        let (pipeline, feed) = fed(Script::batching().batches_to(&batches));
        let pipeline = pipeline.batchers(|_| Batching::new(3, limit));
        let topology = pipeline.start().await.unwrap();
        let first = feed.push_all(0..2);
        tokio::time::sleep(SECOND * 86_400).await;
        assert_eq!(batches.len(), 0, "{limit:?}");
        outcomes(first.into_iter().chain(feed.push_all(2..3))).await;
        topology.drain().await.unwrap();
        assert_eq!(batches.all()[0].data, [0, 1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_without_a_limit_before_a_restart_ends_with_the_drain() {
    for limit in HUGE {
        let (pipeline, feed) = fed(Script::<u64>::new());
        let restart = RestartPolicy::default()
            .first(limit)
            .max(limit)
            .healthy_after(limit);
        let topology = pipeline.restart(restart).start().await.unwrap();
        outcomes(feed.push_all(0..2)).await;
        feed.fail("gone");
        tokio::time::sleep(SECOND * 86_400).await;
        assert_eq!(topology.drain().await.unwrap().done, 2, "{limit:?}");
    }
}

#[tokio::test]
async fn a_source_knows_the_size_of_the_largest_batches() {
    struct Told(Collector<usize>);
    impl Source for Told {
        type Producer = broadway_core::source::IdleProducer<u64>;

        async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, broadway_core::BoxError> {
            self.0.push(cx.batch_size_max());
            broadway_core::source::idle().open(cx).await
        }
    }
    let seen = Collector::new();
    let batched = Pipeline::new(Told(seen.clone()), Script::<u64>::new()).batchers(|sink| {
        Batching::new(
            match sink {
                crate::common::Sink::One => 70,
                crate::common::Sink::Two => 300,
            },
            SECOND,
        )
    });
    batched.start().await.unwrap().drain().await.unwrap();
    let default = Pipeline::new(Told(seen.clone()), Script::<u64>::new());
    default.start().await.unwrap().drain().await.unwrap();
    let unbatched = broadway_core::handler_fn(|_: &mut broadway_core::Message<u64>| Ok(()));
    let unbatched = Pipeline::new(Told(seen.clone()), unbatched);
    unbatched.start().await.unwrap().drain().await.unwrap();
    assert_eq!(seen.all(), [300, 100, 0]);
}
