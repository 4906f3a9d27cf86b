//! Tasks that fail, with and without restarts.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_temporary_task_is_not_run_again_however_it_failed() {
    for times in [2, 3] {
        let failures = Log::new();
        let tasks = failing(&failures, None).await;
        let task = tasks.start_task(times).unwrap();
        settle().await;
        assert_eq!(failures.take(), [(task, false)]);
        let count = tasks.count();
        assert_eq!((count.failed, count.restarted, count.active), (1, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_task_is_run_again_until_it_succeeds() {
    for times in [2, 3] {
        let failures = Log::new();
        let tasks = failing(&failures, Some(THREE_IN_FIVE_S)).await;
        let task = tasks.start_task(times).unwrap();
        settle().await;
        assert_eq!(failures.take(), vec![(task, true); times as usize]);
        let count = tasks.count();
        assert_eq!((count.done, count.failed, count.restarted), (1, 0, times));
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_restarts_end_the_stage() {
    let failures = Log::new();
    let tasks = failing(&failures, Some(THREE_IN_FIVE_S)).await;
    tasks.start_task(5).unwrap();
    let end = tasks.join().await;
    let reason = end.failure().unwrap().reason();
    let too_many: &TooManyRestarts = reason.as_error().unwrap().downcast_ref().unwrap();
    assert!(too_many.last().is_panic());
    assert_eq!(too_many.intensity(), THREE_IN_FIVE_S);
    let restarts = failures.take().into_iter().map(|(_, restarts)| restarts);
    assert!(restarts.eq([true, true, true, false]));
    assert_eq!((tasks.count().failed, tasks.count().restarted), (1, 3));
    assert!(tasks.start_task(0).is_err());
}

#[tokio::test(start_paused = true)]
async fn restarts_that_are_far_apart_are_not_too_many() {
    let tasks = stage::task_per_event(|()| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Err("again".into())
    })
    .restart_transient(THREE_IN_FIVE_S)
    .start()
    .await
    .unwrap();
    tasks.start_task(()).unwrap();
    tokio::time::sleep(Duration::from_secs(101)).await;
    assert_eq!(tasks.count().restarted, 50);
    assert!(tasks.end().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_restarts_of_all_tasks_count_together() {
    let tasks = stage::task_per_event(|()| async { Err("no".into()) })
        .restart_transient(Intensity {
            restarts_max: 100,
            window: Duration::from_secs(1),
        })
        .start()
        .await
        .unwrap();
    for _ in 0..10 {
        tasks.start_task(()).unwrap();
    }
    assert!(tasks.join().await.is_failed());
    assert_eq!((tasks.count().restarted, tasks.count().failed), (100, 10));
}

#[tokio::test(start_paused = true)]
async fn tasks_are_run_again_also_while_the_stage_waits_for_the_last() {
    let failures = Log::new();
    let tasks = failing(&failures, Some(THREE_IN_FIVE_S)).await;
    tasks.start_task(3).unwrap();
    assert!(matches!(tasks.stop().await, End::Shutdown));
    assert_eq!((tasks.count().done, tasks.count().restarted), (1, 3));
    let tasks = failing(&failures, Some(THREE_IN_FIVE_S)).await;
    tasks.start_task(4).unwrap();
    assert!(tasks.stop().await.is_failed());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_copied_fails_its_task() {
    struct Original;
    impl Clone for Original {
        fn clone(&self) -> Self {
            panic!("there is only one")
        }
    }
    let tasks = stage::task_per_event(|_: Original| async { Ok(()) })
        .restart_transient(THREE_IN_FIVE_S)
        .start()
        .await
        .unwrap();
    tasks.start_task(Original).unwrap();
    assert!(tasks.join().await.is_failed());
}
