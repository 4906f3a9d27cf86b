//! A runtime that is shut down under a topology: callers that wait on another runtime get an error at once.

use std::{thread, time::Duration};

use broadway_core::{
    Pipeline, RunError, StartError, Topology,
    testing::{Feed, ManualSource},
};
use tokio::runtime::{Builder, Runtime};

use crate::common::{SECOND, Script, Wait, fed};

fn threads(n: usize) -> Runtime {
    let mut builder = match n {
        0 => Builder::new_current_thread(),
        n => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(n);
            builder
        }
    };
    builder.enable_time().build().unwrap()
}

/// Fails if the future does not complete in time.
fn soon<T>(future: impl Future<Output = T>) -> T {
    threads(0).block_on(async {
        let ended = tokio::time::timeout(SECOND * 60, future).await;
        ended.expect("it hangs")
    })
}

fn hanging() -> (Pipeline<ManualSource<u64>, Script<u64>>, Feed<u64>) {
    fed(Script::<u64>::new().wait(|_| Wait::Ever))
}

fn assert_shut_down(ended: Result<broadway_core::Totals, RunError>) {
    let error = ended.unwrap_err();
    assert!(
        matches!(error, RunError::RuntimeShutDown { unsettled: 3 }),
        "{error}"
    );
}

fn started(runtime: &Runtime) -> (Topology<u64>, Feed<u64>) {
    runtime.block_on(async {
        let (pipeline, feed) = hanging();
        let topology = pipeline.start().await.unwrap();
        feed.push_all(0..3);
        while topology.totals().in_flight() < 3 {
            tokio::task::yield_now().await;
        }
        (topology, feed)
    })
}

#[test]
fn wait_drain_and_abort_fail_after_the_runtime_was_shut_down() {
    for workers in [0, 1, 4] {
        let runtime = threads(workers);
        let (topology, _feed) = started(&runtime);
        runtime.shutdown_background();
        assert_shut_down(soon(topology.wait()));
        assert_shut_down(soon(topology.drain()));
        assert_shut_down(soon(topology.drain_within(Duration::MAX)));
        assert_shut_down(soon(topology.abort()));
        assert_eq!(soon(topology.push([7])).unwrap_err().into_messages(), [7]);
        topology.pause();
        topology.resume();
        drop(topology);
    }
}

#[test]
fn wait_fails_when_the_runtime_is_shut_down_meanwhile() {
    for workers in [1, 4] {
        let runtime = threads(workers);
        let (topology, _feed) = started(&runtime);
        thread::scope(|scope| {
            let waits = scope.spawn(|| soon(topology.wait()));
            let drains = scope.spawn(|| soon(topology.drain_within(Duration::MAX)));
            runtime.shutdown_background();
            assert_shut_down(waits.join().unwrap());
            assert_shut_down(drains.join().unwrap());
        });
    }
}

#[test]
fn receipts_and_pushes_end_with_the_runtime() {
    let runtime = threads(1);
    let (topology, _feed) = started(&runtime);
    // The first message is being handled, the others wait for a processor.
    let mut receipts = Vec::new();
    runtime.block_on(async {
        while let Ok(pushed) = tokio::time::timeout(SECOND / 5, topology.push([9; 100])).await {
            receipts.extend(pushed.unwrap());
        }
    });
    thread::scope(|scope| {
        let full = scope.spawn(|| soon(topology.push([9])));
        runtime.shutdown_background();
        assert_eq!(full.join().unwrap().unwrap_err().into_messages(), [9]);
    });
    for receipt in receipts {
        assert_eq!(soon(receipt.outcome()).map(|_| ()), None);
    }
}

/// The same with an abort: receipts of waiting messages end.
#[tokio::test(start_paused = true)]
async fn receipts_of_messages_that_no_processor_took_end_with_an_abort() {
    let (pipeline, feed) = hanging();
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..3);
    feed.wait_delivered(3).await;
    let receipts = topology.push(0..50).await.unwrap();
    topology.abort().await.unwrap_err();
    for receipt in receipts {
        let outcome = tokio::time::timeout(SECOND * 3_600, receipt.outcome()).await;
        assert!(outcome.expect("the receipt ends").is_none());
    }
}

#[test]
fn a_runtime_without_timers_is_refused_at_the_start() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async {
        let (pipeline, _feed) = hanging();
        pipeline.start().await.unwrap_err()
    });
    assert!(matches!(error, StartError::NoTimers), "{error}");
    assert!(error.to_string().contains("enable_all()"), "{error}");
}

#[test]
fn wait_or_signal_fails_on_a_runtime_without_io() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (pipeline, feed) = fed(Script::<u64>::new());
        let topology = pipeline.start().await.unwrap();
        let error = topology.wait_or_signal().await.unwrap_err();
        assert!(matches!(error, RunError::Signals { .. }), "{error}");
        assert!(error.to_string().contains("enable_all()"), "{error}");
        // It runs on.
        assert!(feed.push(1).outcome().await.unwrap().is_done());
        assert_eq!(topology.drain().await.unwrap().done, 1);
    });
}
