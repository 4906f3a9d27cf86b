//! A drain returns messages that no handler has begun: in this process, and after a signal in another.
//!
//! Both drain when every processor has a message and many wait, and then resume where the drain ended.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Write},
    pin::pin,
    process,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{
    ConnectorUnderTest, Redelivery, Verdict,
    child::ChildProcesses,
    child_task::ChildTask,
    fixture::{Fixture, PATIENCE, must, number_of},
    through_a_pipeline::{IN_FLIGHT_MAX, PROCESSORS, run_at_most, wait_distinct},
    verdict::test_name,
};
use crate::{
    error::BoxError,
    handler::handler_fn_async,
    message::Message,
    pipeline::{OnDrain, Pipeline, Processors},
};

const DOES_NOT: Verdict = Verdict::DoesNotApply(
    "the source does not deliver again what a drain releases, so all of it is handled",
);

/// A drain waits only for the messages that handlers have begun; the others are delivered again, well before a lease
/// would end. No message is lost, and none is repeated, except in a log those that were done behind the first that was
/// not begun.
pub async fn a_drain_returns_unhandled_messages<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    if !connector.capabilities().releases_at_drain {
        return DOES_NOT;
    }
    let fixture = Fixture::with(connector, "released", 0..150).await;
    // Handlers stop when 50 messages are done: each processor has one in progress.
    let permits = Arc::new(Semaphore::new(50));
    let (topology, done) = run_at_most(&fixture, |_| None, permits.clone(), OnDrain::Release).await;
    wait_distinct(&done, 50).await;
    let mut drain = pin!(topology.drain());
    // After one poll, the drain has begun.
    let begun = future::poll_immediate(&mut drain).await;
    permits.add_permits(Semaphore::MAX_PERMITS / 2);
    let drained = match begun {
        Some(drained) => drained,
        None => drain.await,
    };
    let totals = must("drain", drained.map_err(BoxError::from));
    assert!(
        done.len() <= 50 + PROCESSORS,
        "finished: {} messages were handled, and {PROCESSORS} handlers had begun when 50 were",
        done.len()
    );
    assert_eq!((totals.in_flight(), totals.failed), (0, 0), "{totals:?}");
    let before: BTreeSet<u64> = done.all().into_iter().collect();
    // Well before a lease would end.
    let within = connector
        .capabilities()
        .lease
        .map_or(LONG, |lease| lease / 2);
    comes_again(&fixture, 150, &before, within).await;
    Verdict::Kept
}

/// Checks that all messages that were not done are delivered again within this time, and no more done messages than can
/// be. Returns how many.
async fn comes_again<S: ConnectorUnderTest>(
    fixture: &Fixture<'_, S>,
    all: u64,
    done: &BTreeSet<u64>,
    within: Duration,
) -> usize {
    let rest: BTreeSet<u64> = (0..all).filter(|number| !done.contains(number)).collect();
    let mut reader = fixture.open().await;
    let (mut came, is_all) = fixture
        .finish_within(&mut reader, rest.clone(), within)
        .await;
    must("close", reader.close().await);
    let missing = rest.iter().filter(|number| !came.contains_key(number));
    assert!(
        is_all,
        "lost or left leased: {} of {} messages that no handler had done did not come within {within:?}",
        missing.count(),
        rest.len()
    );
    came.extend(fixture.finish_rest().await);
    let repeats = came.keys().filter(|number| done.contains(number)).count();
    let repeats_max = match fixture.capabilities().redelivery {
        Redelivery::ToAnyone => 0,
        Redelivery::AfterReopening => IN_FLIGHT_MAX,
    };
    assert!(
        repeats <= repeats_max,
        "repeated: {repeats} messages that were done before the drain came again, of {repeats_max} that may"
    );
    repeats
}

const LONG: Duration = Duration::from_secs(2 * PATIENCE.as_secs());

/// How many messages the other process handles at least before the signal: two rounds of its handlers.
const SHARE: u64 = 8;
/// Far more than its handlers could handle within the drain timeout.
const TOTAL: u64 = 400;
/// How long each handler takes.
const HANDLER: Duration = Duration::from_secs(1);
/// For its drain, without the close of its source.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A process that gets a SIGTERM exits with code 0 when its handlers have finished, and the messages they had not begun
/// are delivered again. No message is lost, and none is repeated, except in a log those that were done behind the first
/// that was not begun.
pub async fn a_signal_returns_unhandled_messages<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    if let Some(task) = ChildTask::of_this_process() {
        work(connector, &task).await;
    }
    let capabilities = connector.capabilities();
    if !capabilities.releases_at_drain {
        return DOES_NOT;
    }
    if !capabilities.outlives_its_process {
        return Verdict::DoesNotApply("its messages are not declared to outlive this process");
    }
    let Some(test) = test_name().filter(|_| cfg!(unix)) else {
        return Verdict::DoesNotApply(
            "only a test of `conformance!` can start itself again, on a system with signals",
        );
    };
    let fixture = Fixture::with(connector, "signal", 0..TOTAL).await;
    let children = ChildProcesses::of(test, &fixture.name);
    let mut child = children.start(TOTAL);
    child.wait(async || children.distinct() >= SHARE).await;
    let begun = Instant::now();
    child.terminate().await;
    let elapsed = begun.elapsed().as_secs_f64();
    let log = children.log();
    let done: BTreeSet<u64> = log.iter().copied().collect();
    assert_eq!(log.len(), done.len(), "repeated before the signal");
    let repeats = comes_again(&fixture, TOTAL, &done, LONG).await;
    write_to_parent(&format!(
        "{test}: exit code 0 after {elapsed:.1} s with {} of {TOTAL} messages done, and {repeats} of them repeated\n",
        done.len()
    ));
    Verdict::Kept
}

/// Not with `println`, which the harness captures.
fn write_to_parent(text: &str) {
    let written = io::stderr().write_all(text.as_bytes());
    written.expect("standard error is open");
}

/// Handles messages slowly, with four processors, until a signal ends it.
async fn work<S: ConnectorUnderTest>(connector: &S, task: &ChildTask) -> ! {
    let log = Arc::new(Mutex::new(task.open_log()));
    let handler = handler_fn_async(async move |message: &mut Message<_>| {
        let line = format!("{}\n", number_of(message.data()));
        sleep(HANDLER).await;
        let mut log: std::sync::MutexGuard<'_, File> =
            log.lock().unwrap_or_else(PoisonError::into_inner);
        log.write_all(line.as_bytes())?;
        Ok(())
    });
    let topology = Pipeline::new(connector.source(&task.fixture, None), handler)
        .name("conformance")
        .processors(Processors::new(PROCESSORS))
        .drain_timeout(DRAIN_TIMEOUT)
        .start()
        .await;
    let topology = topology.unwrap_or_else(|error| panic!("cannot start the pipeline: {error}"));
    let ended = topology.wait_or_signal().await;
    must("drain", ended.map_err(BoxError::from));
    // Nothing of the test around this may run in a child.
    process::exit(0);
}
