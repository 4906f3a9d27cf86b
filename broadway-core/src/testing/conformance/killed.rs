//! A process is killed while it works, and another one continues.
//!
//! The test starts its own program again as a child that runs this one test, and passes the task in the environment: a
//! pipeline over the same fixture, which writes each number it has handled to a log file. The parent reads the log and
//! kills the child.
//!
//! ```text
//! parent: fills the fixture ─▶ child 1: handles a share, hangs ─▶ SIGKILL ─▶ … ─▶ the last: handles the rest, drains, exits
//!            ▲                        │ writes, then acknowledges
//!            └──────── log ◄───────┘
//! ```
//!
//! A child that has handled its share keeps the messages it holds, so that each kill meets messages that are
//! acknowledged, handled and perhaps acknowledged, begun, and fetched ahead, however fast the machine is. A child ends
//! when its standard input ends: because its parent ends it, or is gone.

use std::{
    io::{self, Read, Write},
    process,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::Semaphore, task::block_in_place};

use super::{
    ConnectorUnderTest, Verdict,
    child::ChildProcesses,
    child_task::ChildTask,
    fixture::{Fixture, PATIENCE, must, number_of},
    verdict::test_name,
};
use crate::{
    error::BoxError,
    handler::handler_fn_async,
    message::Message,
    pipeline::{Pipeline, Processors},
};

/// More messages than a share may be delivered again after a kill, if that is documented: otherwise no number could be
/// too high.
const SHARE: u64 = 150;
const KILLS: u64 = 3;
const TOTAL: u64 = SHARE * (KILLS + 1);
/// Before this kill the broker, if it can be asked, must have all acknowledgements.
const CALM_KILL: u64 = 2;

/// Repeated kills of a process lose no message, and repeat no more messages than can have been unacknowledged.
pub async fn resumes_after_a_kill<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    if let Some(task) = ChildTask::of_this_process() {
        work(connector, &task).await;
    }
    let capabilities = connector.capabilities();
    if !capabilities.outlives_its_process {
        return Verdict::DoesNotApply("its messages are not declared to outlive this process");
    }
    let Some(test) = test_name() else {
        return Verdict::DoesNotApply("only a test of `conformance!` can start itself again");
    };
    let fixture = Fixture::with(connector, "killed", 0..TOTAL).await;
    let children = ChildProcesses::of(test, &fixture.name);
    let mut repeats_max = 0;
    for kill in 1..=KILLS {
        let mut child = children.start(SHARE);
        child
            .wait(async || children.log().len() as u64 >= kill * SHARE)
            .await;
        let unhandled = TOTAL - children.distinct();
        if kill == CALM_KILL {
            // Messages that an earlier child handled may still be leased to it.
            let unacknowledged_max = unhandled + repeats_max;
            fixture
                .assert_unacknowledged_at_most(unacknowledged_max)
                .await;
        }
        // The number of handled messages is final: the child has no permit for more. Only these can be delivered again.
        repeats_max += match fixture.unacknowledged().await {
            Some(unacknowledged) => unacknowledged.saturating_sub(unhandled),
            None => capabilities.repeats_max.map_or(SHARE, |max| SHARE.min(max)),
        };
        child.kill();
    }
    let mut last = children.start(Semaphore::MAX_PERMITS as u64);
    last.wait(async || {
        let left = fixture.unacknowledged().await;
        let distinct = children.distinct();
        // In this order: acknowledged messages are in the log.
        assert!(
            left != Some(0) || distinct == TOTAL,
            "lost: of {TOTAL} messages {distinct} were handled, and the broker has no more"
        );
        distinct == TOTAL
    })
    .await;
    last.end().await;
    let again: usize = fixture.finish_rest().await.values().sum();
    let repeats = (children.log().len() + again) as u64 - TOTAL;
    assert!(
        repeats <= repeats_max,
        "{repeats} messages were repeated after {KILLS} kills, of {repeats_max} that can have been unacknowledged"
    );
    Verdict::Kept
}

/// Handles its share, and then holds the next message until it ends: by a kill, or with its standard input.
async fn work<S: ConnectorUnderTest>(connector: &S, task: &ChildTask) -> ! {
    let log = Arc::new(Mutex::new(task.open_log()));
    let permits = usize::try_from(task.share).expect("a share fits");
    let permits = Arc::new(Semaphore::new(permits));
    let handler = handler_fn_async(async move |message: &mut Message<_>| {
        let line = format!("{}\n", number_of(message.data()));
        permits.acquire().await?.forget();
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        // One call to the kernel: a line that is written before a kill stays.
        log.write_all(line.as_bytes())?;
        Ok(())
    });
    let topology = Pipeline::new(connector.source(&task.fixture, None), handler)
        .name("conformance")
        // One processor, so that all handled messages can be acknowledged: in a log, not even a waiting message
        // precedes them.
        .processors(Processors::new(1).max_demand(7))
        .drain_timeout(PATIENCE)
        .start()
        .await;
    let topology = topology.unwrap_or_else(|error| panic!("cannot start the pipeline: {error}"));
    let read = block_in_place(|| io::stdin().read_to_end(&mut Vec::new()));
    must(
        "wait for the end of the input",
        read.map_err(BoxError::from),
    );
    must("drain", topology.drain().await.map_err(BoxError::from));
    // Nothing of the test around this may run in a child.
    process::exit(0);
}
