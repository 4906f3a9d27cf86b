//! A runtime that is shut down under stages: waits for them on other runtimes end at once.

use std::{convert::Infallible, future::pending, thread, time::Duration};

use broadway_core::{
    BoxError, StartError,
    stage::{self, Consumer, Context, End, Subscription},
};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_time().build().unwrap()
}

/// Fails where the future would wait forever.
fn soon<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(async {
        let ended = tokio::time::timeout(Duration::from_secs(60), future).await;
        ended.expect("it hangs")
    })
}

struct Hanging;

impl Consumer for Hanging {
    type Event = u64;

    async fn handle_events(
        &mut self,
        _: &mut Vec<u64>,
        _: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        pending().await
    }
}

#[test]
fn handles_streams_and_pools_end_with_their_runtime() {
    let own = runtime();
    let (numbers, consumer, pool, tasks, mut stream) = own.block_on(async {
        let numbers = stage::from_stream(futures_util::stream::pending::<u64>());
        let numbers = numbers.start().await.unwrap();
        let consumer = stage::for_each(|_: u64| pending());
        let consumer = consumer.subscribe_to(numbers.output()).start();
        let pool = stage::pool(|| Hanging);
        let pool = pool.subscribe_to(numbers.output()).start();
        let tasks = stage::task_per_event(|_: u64| pending());
        let tasks = tasks.start().await.unwrap();
        tasks.start_task(7).unwrap();
        let stream = numbers.output().stream().unwrap();
        (
            numbers,
            consumer.await.unwrap(),
            pool.await.unwrap(),
            tasks,
            stream,
        )
    });
    thread::scope(|scope| {
        let waits = scope.spawn(|| soon(consumer.join()));
        own.shutdown_background();
        assert!(matches!(waits.join().unwrap(), End::Shutdown));
    });
    for end in [
        soon(numbers.join()),
        soon(numbers.stop()),
        soon(consumer.stop()),
        soon(pool.join()),
        soon(pool.stop()),
        soon(tasks.join()),
        soon(tasks.stop()),
    ] {
        assert!(matches!(end, End::Shutdown), "{end:?}");
    }
    assert_eq!(soon(stream.next()), None);
    assert!(pool.subscribe(&numbers.output()).is_err());
}

#[test]
fn a_runtime_without_timers_is_refused_at_the_start_of_every_stage() {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let consumer = stage::consumer(Hanging).start().await.map(drop);
        let producer = stage::from_iter(0..3_u64).start().await.map(drop);
        let pool = stage::pool(|| Hanging).start().await.map(drop);
        let tasks = stage::task_per_event(|_: u64| async { Ok::<_, BoxError>(()) });
        let tasks = tasks.start().await.map(drop);
        for error in [consumer, producer, pool, tasks].map(Result::unwrap_err) {
            assert!(matches!(error, StartError::NoTimers), "{error}");
        }
    });
}
