//! On many threads, where tasks end while others are being started.

use std::thread::available_parallelism;

use super::*;

fn on_threads(test: impl Future<Output = ()>) {
    let threads = available_parallelism().map_or(4, |n| n.get().max(4));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

/// Tasks that run, and the most that ever did.
#[derive(Default)]
struct Running {
    now: AtomicU64,
    most: AtomicU64,
}

impl Running {
    async fn once(self: Arc<Self>, event: u64) -> Result<(), BoxError> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        if event.is_multiple_of(7) {
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn every_event_has_its_task_and_no_more_run_than_there_are_slots() {
    on_threads(async {
        let (counter, _) = Counter::new(0..20_000);
        let counter = stage::producer(counter).start().await.unwrap();
        let running = Arc::new(Running::default());
        let seen = Arc::clone(&running);
        let tasks = stage::task_per_event(move |event| Arc::clone(&seen).once(event))
            .subscribe_to(counter.output().max_demand(64).min_demand(5))
            .start()
            .await
            .unwrap();
        assert!(!tasks.join().await.is_failed());
        assert_eq!((tasks.count().done, tasks.count().active), (20_000, 0));
        assert!(running.most.load(Ordering::SeqCst) <= 64);
    });
}

#[test]
fn tasks_that_are_terminated_at_any_moment_free_their_slots_once() {
    on_threads(async {
        let (counter, _) = Counter::new(0..20_000);
        let counter = stage::producer(counter).start().await.unwrap();
        let tasks = stage::task_per_event(|_| tokio::task::yield_now().map(Ok))
            .subscribe_to(counter.output().max_demand(8).min_demand(1))
            .start()
            .await
            .unwrap();
        let others = tasks.clone();
        let terminator = tokio::spawn(async move {
            while others.start_task(0).is_ok() {
                others.tasks().into_iter().for_each(|task| {
                    others.terminate_task(task);
                });
                tokio::task::yield_now().await;
            }
        });
        assert!(!tasks.join().await.is_failed());
        terminator.await.unwrap();
        let count = tasks.count();
        assert_eq!((count.active, count.failed), (0, 0));
        assert_eq!(count.started, count.done + count.terminated);
        assert_eq!(tasks.stats().received, 20_000);
    });
}
