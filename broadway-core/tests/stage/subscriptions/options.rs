//! Invalid subscriptions, and subscriptions to stages that have ended.

use broadway_core::{
    StartError,
    stage::{self, Cancel, ConsumerHandle, End, SubscribeError},
};

use super::{Order, Probe, Push, queue};
use crate::common::{Forwarder, settle};

#[tokio::test(start_paused = true)]
async fn resubscribing_with_bad_options_leaves_the_old_subscription() {
    let (queue, _) = queue("queue").await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).start().await.unwrap();
    let old = probe.subscribe(&queue.output()).unwrap();
    let refused = probe.resubscribe(&old, &queue.output().max_demand(0));
    assert!(matches!(refused, Err(SubscribeError::Invalid(_))));
    queue.call(Push(0..1)).await.unwrap();
    settle().await;
    assert_eq!(log.take(), ["subscribed queue", "queue [0]"]);
}

#[tokio::test(start_paused = true)]
async fn bad_options_are_errors_with_a_remedy() {
    let (queue, log) = queue("queue").await;
    let probe = stage::consumer(Probe::new().0).start().await.unwrap();
    let refused = |output| probe.subscribe(&output).unwrap_err().to_string();
    let output = || queue.output();
    let texts = [
        refused(output().max_demand(0)),
        refused(output().max_demand(1_000_001)),
        refused(output().max_demand(5).min_demand(5)),
    ];
    for (text, says) in texts.iter().zip([
        "max demand is 0: give at least 1",
        "is 1000001: give 1 to 1000000",
        "min demand 5 is not below max demand 5: give at most 4",
    ]) {
        assert!(text.contains(says), "{text}");
        assert!(text.starts_with("cannot subscribe"), "{text}");
    }
    assert!(output().max_demand(0).stream().is_err());
    settle().await;
    assert_eq!(log.take(), [""; 0], "nobody has subscribed");
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_cannot_start_reports_all_problems_and_subscribes_to_nothing() {
    let (queue, log) = queue("queue").await;
    let error = stage::producer_consumer(Forwarder)
        .name(" ")
        .mailbox(0)
        .buffer(stage::Buffer::wait(0))
        .subscribe_to(queue.output())
        .subscribe_to(queue.output().max_demand(0))
        .start()
        .await
        .unwrap_err();
    let StartError::Invalid(problems) = error else {
        panic!("{error}");
    };
    assert_eq!(problems.len(), 4, "{problems:?}");
    settle().await;
    let log = log.take();
    let subscribed = log.iter().filter(|entry| entry.starts_with("subscribed"));
    let cancelled = log.iter().filter(|entry| entry.starts_with("cancelled"));
    assert_eq!(subscribed.count(), cancelled.count());
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_has_ended_cannot_subscribe_and_the_producer_is_not_notified() {
    let (queue, log) = queue("queue").await;
    let probe = stage::consumer(Probe::new().0).start().await.unwrap();
    probe.stop().await;
    let refused = probe.subscribe(&queue.output()).unwrap_err();
    assert!(matches!(refused, SubscribeError::ConsumerEnded));
    assert_eq!(
        refused.to_string(),
        "cannot subscribe: the consumer has ended"
    );
    settle().await;
    assert_eq!(log.take(), [""; 0]);
}

async fn subscribed_to_an_ended_stage(
    order: Order,
    cancel: Cancel,
) -> (ConsumerHandle<Probe>, Vec<String>) {
    let (queue, _) = queue("queue").await;
    let _ = queue.call(order).await;
    queue.join().await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe)
        .subscribe_to(queue.output().cancel(cancel))
        .start()
        .await
        .unwrap();
    settle().await;
    (probe, log.take())
}

#[tokio::test(start_paused = true)]
async fn subscribing_to_a_stage_that_has_ended_ends_the_consumer_by_its_mode() {
    use Cancel::{Permanent, Temporary, Transient};
    use Order::{Fail, Stop};
    for (order, cancel, ends) in [
        (Stop, Permanent, true),
        (Stop, Transient, false),
        (Stop, Temporary, false),
        (Fail, Permanent, true),
        (Fail, Transient, true),
        (Fail, Temporary, false),
    ] {
        let (probe, log) = subscribed_to_an_ended_stage(order, cancel).await;
        assert_eq!(probe.end().is_some(), ends, "{order:?} {cancel:?}");
        let failed = probe.end().is_some_and(|end| end.is_failed());
        assert_eq!(failed, ends && order == Fail);
        assert_eq!(log[0], "subscribed queue");
        assert!(log[1].starts_with("cancelled queue: "), "{log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_subscribes_to_a_stage_that_has_ended_gets_its_buffered_events() {
    let (queue, _) = queue("queue").await;
    queue.call(Push(0..3)).await.unwrap();
    queue.call(Order::Stop).await.unwrap();
    queue.join().await;
    let mut stream = queue.output().stream().unwrap();
    assert_eq!(stream.next_chunk().await, Some(vec![0, 1, 2]));
    assert_eq!(stream.next_chunk().await, None);
    assert!(matches!(stream.end(), Some(End::Normal)));
}
