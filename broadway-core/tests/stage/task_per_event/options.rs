//! Options that are refused, and subscriptions that come and go.

use super::*;

#[tokio::test(start_paused = true)]
async fn demand_that_cannot_work_is_refused_at_start_and_later() {
    let (numbers, _) = numbers().await;
    let gate = Gate::new();
    let refused = stage::task_per_event(gate.tasks())
        .name(" ")
        .subscribe_to(numbers.output().max_demand(0))
        .subscribe_to(numbers.output().max_demand(10).min_demand(10))
        .subscribe_to(numbers.output().manual())
        .start()
        .await;
    let Err(StartError::Invalid(problems)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(problems.len(), 4, "{problems:?}");
    let tasks = stage::task_per_event(gate.tasks()).start().await.unwrap();
    for output in [
        numbers.output().max_demand(0),
        numbers.output().max_demand(1_000_001),
        numbers.output().manual(),
    ] {
        let refused = tasks.subscribe(&output);
        assert!(matches!(refused, Err(SubscribeError::Invalid(_))));
    }
    assert!(tasks.end().is_none());
}

#[test]
fn without_a_runtime_it_does_not_start() {
    let start = stage::task_per_event(Gate::new().tasks()).start();
    let started = start.now_or_never().unwrap();
    assert!(matches!(started, Err(StartError::NoRuntime)));
}

#[tokio::test(start_paused = true)]
async fn it_can_be_subscribed_and_resubscribed_while_it_runs() {
    let (first, _) = numbers().await;
    let (second, demands) = numbers().await;
    let gate = Gate::new();
    let tasks = stage::task_per_event(gate.tasks()).start().await.unwrap();
    let old = tasks.subscribe(&first.output().max_demand(2)).unwrap();
    settle().await;
    assert_eq!(tasks.count().active, 2);
    let new = tasks.resubscribe(&old, &second.output().max_demand(3));
    settle().await;
    assert_eq!(new.unwrap().producer(), "producer");
    assert_eq!(tasks.count().active, 5, "those of the old one go on");
    gate.open(2).await;
    assert_eq!(tasks.count().active, 3, "and free no slots of the new one");
    assert_eq!(sum(&demands), 3);
}

#[test]
fn a_handle_is_shared_by_threads_whatever_the_events_are() {
    fn shared<T: Send + Sync + Unpin>() {}
    shared::<TaskPerEventHandle<std::cell::Cell<u8>>>();
}
