//! How many tasks run at once, and when more events are asked for.

use super::*;

#[tokio::test(start_paused = true)]
async fn each_event_is_handled_in_a_task_of_its_own() {
    let (counter, _) = Counter::new(0..2_500);
    let counter = stage::producer(counter).start().await.unwrap();
    let came = Log::new();
    let seen = came.clone();
    let tasks = stage::task_per_event(move |event| {
        seen.push(event);
        async { Ok(()) }
    })
    .subscribe_to(counter.output())
    .start()
    .await
    .unwrap();
    assert!(matches!(tasks.join().await, End::Normal));
    let mut came = came.take();
    came.sort_unstable();
    assert_eq!(came, (0..2_500).collect::<Vec<_>>());
    let count = tasks.count();
    assert_eq!((count.started, count.done, count.active), (2_500, 2_500, 0));
    assert_eq!(tasks.stats().received, 2_500);
}

#[tokio::test(start_paused = true)]
async fn no_more_tasks_run_than_the_maximum_demand() {
    let (numbers, demands) = numbers().await;
    let gate = Gate::new();
    let tasks = stage::task_per_event(gate.tasks())
        .subscribe_to(numbers.output().max_demand(10).min_demand(3))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(tasks.count().active, 10);
    assert_eq!(sum(&demands), 10);
    for _ in 0..20 {
        gate.open(1).await;
        assert!(tasks.count().active <= 10);
    }
    assert_eq!(tasks.count().done, 20);
}

#[tokio::test(start_paused = true)]
async fn more_is_asked_for_when_the_minimum_has_ended_and_as_much_as_that() {
    for min in [1, 3, 9] {
        let (numbers, demands) = numbers().await;
        let gate = Gate::new();
        let tasks = stage::task_per_event(gate.tasks())
            .subscribe_to(numbers.output().max_demand(10).min_demand(min))
            .start()
            .await
            .unwrap();
        settle().await;
        assert_eq!(demands.take(), [10]);
        for _ in 0..3 {
            gate.open(min - 1).await;
            assert_eq!(sum(&demands), 0, "minimum {min}");
            gate.open(1).await;
            assert_eq!(sum(&demands), min);
            assert_eq!(tasks.count().active, 10);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_task_at_a_time_takes_the_events_in_their_order() {
    let (numbers, _) = numbers().await;
    let gate = Gate::new();
    let tasks = stage::task_per_event(gate.tasks())
        .subscribe_to(numbers.output().max_demand(1))
        .start()
        .await
        .unwrap();
    for done in 0..5 {
        settle().await;
        assert_eq!(gate.came.take(), [done]);
        assert_eq!(tasks.count().done, done);
        gate.open(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_subscription_has_slots_of_its_own() {
    let (first, _) = numbers().await;
    let (second, _) = numbers().await;
    let gate = Gate::new();
    let tasks = stage::task_per_event(gate.tasks())
        .subscribe_to(first.output().max_demand(2))
        .subscribe_to(second.output().max_demand(3))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(tasks.count().active, 5);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_or_panics_frees_its_slot() {
    let (numbers, _) = numbers().await;
    let ends = Log::new();
    let seen = ends.clone();
    let tasks = stage::task_per_event(move |event: u64| {
        assert!(event != 1, "in the function itself");
        let seen = seen.clone();
        async move {
            match event {
                0 => return Err("an error".into()),
                2 => panic!("in the future"),
                5 => pending().await,
                _ => seen.push(event),
            }
            Ok(())
        }
    })
    .subscribe_to(numbers.output().max_demand(1))
    .start()
    .await
    .unwrap();
    settle().await;
    assert_eq!(ends.take(), [3, 4]);
    let count = tasks.count();
    assert_eq!((count.failed, count.done, count.active), (3, 2, 1));
    assert!(tasks.end().is_none());
}

#[tokio::test(start_paused = true)]
async fn tasks_that_are_started_by_hand_take_no_slot() {
    let (numbers, demands) = numbers().await;
    let gate = Gate::new();
    let tasks = stage::task_per_event(gate.tasks())
        .subscribe_to(numbers.output().max_demand(2).min_demand(1))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(gate.came.take(), [0, 1]);
    let by_hand = tasks.start_task(100).unwrap();
    settle().await;
    assert_eq!(gate.came.take(), [100]);
    assert_eq!(tasks.count().active, 3);
    assert_eq!(tasks.tasks().last(), Some(&by_hand));
    assert_eq!(sum(&demands), 2);
    assert!(tasks.terminate_task(by_hand));
    settle().await;
    assert_eq!(sum(&demands), 0);
    gate.open(1).await;
    assert_eq!(sum(&demands), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_run_again_keeps_its_slot_and_its_id() {
    let (numbers, demands) = numbers().await;
    let gate = Gate::new();
    let tries = Log::new();
    let (seen, last) = (tries.clone(), gate.clone());
    let tasks = stage::task_per_event(move |event: u64| {
        seen.push(event);
        let (failed, last) = (seen.clone(), last.clone());
        async move {
            last.pass(event).await?;
            failed.push(u64::MAX);
            Err("again".into())
        }
    })
    .restart_transient(THREE_IN_FIVE_S)
    .subscribe_to(numbers.output().max_demand(1))
    .start()
    .await
    .unwrap();
    settle().await;
    let before = tasks.tasks();
    for _ in 0..3 {
        gate.open(1).await;
    }
    assert_eq!(sum(&demands), 1);
    assert_eq!(tries.take(), [0, u64::MAX, 0, u64::MAX, 0, u64::MAX, 0]);
    assert_eq!(tasks.tasks(), before);
    assert_eq!((tasks.count().started, tasks.count().restarted), (1, 3));
}
