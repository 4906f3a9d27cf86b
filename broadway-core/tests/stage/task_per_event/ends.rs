//! How the stage ends, and its tasks with it.

use super::*;

/// Tasks that take 2 s, and one that never ends.
async fn slow(shutdown: Option<Shutdown>) -> TaskPerEventHandle<Option<u64>> {
    let tasks = stage::task_per_event(|secs: Option<u64>| async move {
        match secs {
            Some(secs) => tokio::time::sleep(Duration::from_secs(secs)).await,
            None => pending().await,
        }
        Ok(())
    });
    let tasks = match shutdown {
        None => tasks,
        Some(shutdown) => tasks.shutdown(shutdown),
    };
    tasks.start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_tasks_that_are_left_are_terminated() {
    let tasks = slow(None).await;
    tasks.start_task(Some(2)).unwrap();
    tasks.start_task(None).unwrap();
    let before = Instant::now();
    assert!(matches!(tasks.stop().await, End::Shutdown));
    assert_eq!(before.elapsed().as_secs(), 5);
    let count = tasks.count();
    assert_eq!((count.done, count.terminated, count.active), (1, 1, 0));
    assert!(tasks.tasks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn tasks_that_end_in_time_are_waited_for_no_longer() {
    let tasks = slow(Some(Shutdown::After(Duration::from_secs(60)))).await;
    tasks.start_task(Some(2)).unwrap();
    let before = Instant::now();
    tasks.stop().await;
    assert_eq!(before.elapsed().as_secs(), 2);
    assert_eq!(tasks.count().done, 1);
}

#[tokio::test(start_paused = true)]
async fn the_stage_can_wait_for_as_long_as_it_takes() {
    let tasks = slow(Some(Shutdown::Wait)).await;
    tasks.start_task(Some(1_000_000)).unwrap();
    tasks.stop().await;
    assert_eq!(tasks.count().done, 1);
}

#[tokio::test(start_paused = true)]
async fn the_stage_can_terminate_its_tasks_at_once() {
    let tasks = slow(Some(Shutdown::Abort)).await;
    tasks.start_task(Some(2)).unwrap();
    settle().await;
    let before = Instant::now();
    tasks.stop().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(tasks.count().terminated, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_or_asked_for_while_the_stage_waits_for_its_last_tasks() {
    let (numbers, demands) = numbers().await;
    let gate = Gate::new();
    let tasks = stage::task_per_event(gate.tasks())
        .subscribe_to(numbers.output().max_demand(4).min_demand(1))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(sum(&demands), 4);
    let stopping = tokio::spawn({
        let tasks = tasks.clone();
        async move { tasks.stop().await }
    });
    settle().await;
    gate.open(3).await;
    assert_eq!(sum(&demands), 0);
    assert!(tasks.start_task(1).is_err());
    assert!(!stopping.is_finished());
    gate.open(1).await;
    assert!(matches!(stopping.await.unwrap(), End::Shutdown));
    assert_eq!(tasks.count().done, 4);
}

#[tokio::test(start_paused = true)]
async fn a_terminated_task_is_gone_and_not_run_again() {
    let gate = Gate::new();
    let failures = Log::new();
    let tasks = stage::task_per_event(gate.tasks())
        .restart_transient(THREE_IN_FIVE_S)
        .observe(Failures(failures.clone()))
        .start()
        .await
        .unwrap();
    let ids = [0, 1, 2].map(|event| tasks.start_task(event).unwrap());
    settle().await;
    assert_eq!(tasks.tasks(), ids);
    assert!(tasks.terminate_task(ids[1]));
    settle().await;
    assert!(!tasks.terminate_task(ids[1]));
    assert_eq!(tasks.tasks(), [ids[0], ids[2]]);
    let again = tasks.start_task(3).unwrap();
    assert_ne!(again, ids[1], "ids are not used again");
    assert!(!tasks.terminate_task(ids[1]));
    let count = tasks.count();
    assert_eq!((count.terminated, count.restarted, count.active), (1, 0, 3));
    assert!(failures.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_terminated_before_its_first_poll_never_begins() {
    let gate = Gate::new();
    let tasks = stage::task_per_event(gate.tasks()).start().await.unwrap();
    let ids = [0, 1].map(|event| tasks.start_task(event).unwrap());
    assert!(tasks.terminate_task(ids[0]));
    settle().await;
    assert_eq!(gate.came.take(), [1]);
    assert_eq!(tasks.tasks(), [ids[1]]);
    assert_eq!(tasks.count().terminated, 1);
}

/// A task ends wherever it is when it is terminated: between the poll of its future and its wait, too.
#[tokio::test(start_paused = true)]
async fn a_task_that_terminates_itself_ends_at_its_next_await() {
    let own: Arc<std::sync::OnceLock<TaskPerEventHandle<u64>>> = Arc::default();
    let of_task = own.clone();
    let tasks = stage::task_per_event(move |_: u64| {
        let of_task = of_task.clone();
        async move {
            let tasks = of_task.get().unwrap();
            assert!(tasks.terminate_task(tasks.tasks()[0]));
            pending().await
        }
    });
    let tasks = tasks.start().await.unwrap();
    assert!(own.set(tasks.clone()).is_ok());
    tasks.start_task(1).unwrap();
    settle().await;
    let count = tasks.count();
    assert_eq!((count.terminated, count.active), (1, 0));
    tasks.abort();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_being_run_again_can_be_terminated() {
    let tasks = stage::task_per_event(|()| async { Err("again".into()) })
        .restart_transient(Intensity {
            restarts_max: u16::MAX,
            window: Duration::from_secs(1),
        })
        .start()
        .await
        .unwrap();
    let task = tasks.start_task(()).unwrap();
    settle().await;
    assert!(tasks.count().restarted > 0);
    assert!(tasks.terminate_task(task));
    settle().await;
    assert_eq!((tasks.count().active, tasks.count().terminated), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn tasks_outlive_a_producer_that_the_stage_outlives() {
    let (counter, _) = Counter::new(0..3);
    let counter = stage::producer(counter).start().await.unwrap();
    let gate = Gate::new();
    let tasks = stage::task_per_event(gate.tasks())
        .subscribe_to(counter.output().cancel(Cancel::Temporary))
        .start()
        .await
        .unwrap();
    counter.join().await;
    settle().await;
    assert_eq!(tasks.count().active, 3);
    gate.open(3).await;
    assert_eq!(tasks.count().done, 3);
    assert!(tasks.end().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_ends_with_its_producer_ends_after_its_tasks() {
    let (counter, _) = Counter::new(0..3);
    let counter = stage::producer(counter).start().await.unwrap();
    let gate = Gate::new();
    let tasks = stage::task_per_event(gate.tasks())
        .shutdown(Shutdown::Wait)
        .subscribe_to(counter.output())
        .start()
        .await
        .unwrap();
    counter.join().await;
    gate.open(2).await;
    assert!(tasks.end().is_none());
    gate.open(1).await;
    assert!(matches!(tasks.end(), Some(End::Normal)));
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_has_ended_ends_a_permanent_subscriber_only() {
    let (counter, _) = Counter::new(0..1);
    let counter = stage::producer(counter).start().await.unwrap();
    let output = counter.output();
    counter.stop().await;
    let permanent = failing(&Log::new(), None).await;
    let temporary = failing(&Log::new(), None).await;
    permanent.subscribe(&output).unwrap();
    let output = output.cancel(Cancel::Temporary);
    temporary.subscribe(&output).unwrap();
    settle().await;
    assert!(matches!(permanent.end(), Some(End::Shutdown)));
    assert!(temporary.end().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_nothing_can_reach_ends_after_its_tasks() {
    let gate = Gate::new();
    let ended = Log::new();
    struct Ended(Log<bool>);
    impl Observer for Ended {
        fn on_event(&self, _: &str, event: &Event<'_>) {
            if let Event::Stage(StageEvent::Ended { end, .. }) = event {
                self.0.push(end.is_failed());
            }
        }
    }
    let tasks = stage::task_per_event(gate.tasks())
        .observe(Ended(ended.clone()))
        .start()
        .await
        .unwrap();
    tasks.start_task(0).unwrap();
    drop(tasks);
    settle().await;
    assert!(ended.take().is_empty());
    gate.open(1).await;
    assert_eq!(ended.take(), [false]);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_stage_takes_its_tasks_with_it() {
    let tasks = slow(Some(Shutdown::Wait)).await;
    tasks.start_task(None).unwrap();
    settle().await;
    tasks.abort();
    tasks.join().await;
    settle().await;
    assert_eq!((tasks.count().terminated, tasks.count().active), (1, 0));
    assert!(tasks.start_task(None).is_err());
}

#[tokio::test(start_paused = true)]
async fn the_unserved_demand_of_a_stopped_stage_goes_to_others() {
    let (counter, _) = Counter::new(0..u64::MAX);
    let counter = stage::producer(counter)
        .dispatcher(Broadcast::new())
        .start()
        .await
        .unwrap();
    let gate = Gate::new();
    let slow = stage::task_per_event(gate.tasks())
        .shutdown(Shutdown::Wait)
        .subscribe_to(counter.output().max_demand(1))
        .start()
        .await
        .unwrap();
    let mut stream = counter.output().max_demand(1).stream().unwrap();
    settle().await;
    assert_eq!(stream.next().await, Some(0));
    let stopping = tokio::spawn({
        let slow = slow.clone();
        async move { slow.stop().await }
    });
    settle().await;
    // Its task still runs; the others no longer wait for it.
    assert_eq!(stream.next().await, Some(1));
    assert!(!stopping.is_finished());
    gate.open(1).await;
    stopping.await.unwrap();
}
