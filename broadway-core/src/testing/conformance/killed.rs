//! A process dies in the midst of its work, and another goes on.
//!
//! The test starts its own program again as a child that runs this one test, and tells it by the environment what to do: a
//! pipeline over the same fixture, which writes each number it has handled into a ledger, a file. The parent looks at the ledger
//! and kills.
//!
//! ```text
//! parent: fills the fixture ─▶ child 1: handles a share, hangs ─▶ SIGKILL ─▶ … ─▶ the last: handles the rest, drains, exits
//!            ▲                        │ writes, then acknowledges
//!            └──────── ledger ◄───────┘
//! ```
//!
//! A child that handled its share keeps what it has in hand, so that each kill meets messages that are handled and
//! acknowledged, handled and perhaps not, begun, and fetched ahead, however fast the machine is. It ends when its standard input
//! does: when it is asked to, or when its parent is gone.

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

/// More than a share may come again after a kill, where that is documented: else nothing could be too much.
const SHARE: u64 = 150;
const KILLS: u64 = 3;
const TOTAL: u64 = SHARE * (KILLS + 1);
/// The kill before which the broker, where it can be asked, must have heard of all that was handled.
const CALM_KILL: u64 = 2;

/// Of a process that is killed again and again nothing is lost, and no more is repeated than can have been unacknowledged.
pub async fn resumes_after_a_kill<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    if let Some(task) = ChildTask::of_this_process() {
        work(connector, &task).await;
    }
    let capabilities = connector.capabilities();
    if !capabilities.outlives_its_process {
        return Verdict::DoesNotApply("its messages are not said to outlive this process");
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
            .wait(async || children.ledger().len() as u64 >= kill * SHARE)
            .await;
        let unhandled = TOTAL - children.distinct();
        if kill == CALM_KILL {
            // What a child before handled may be leased to it still.
            let unacknowledged_max = unhandled + repeats_max;
            fixture
                .assert_unacknowledged_at_most(unacknowledged_max)
                .await;
        }
        // What is handled by now stays so: the child has no permit for more. So what comes again is among these.
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
        // In this order: what is acknowledged stands in the ledger.
        assert!(
            left != Some(0) || distinct == TOTAL,
            "lost: of {TOTAL} messages {distinct} were handled, and the broker has no more"
        );
        distinct == TOTAL
    })
    .await;
    last.end().await;
    let again: usize = fixture.finish_rest().await.values().sum();
    let repeats = (children.ledger().len() + again) as u64 - TOTAL;
    assert!(
        repeats <= repeats_max,
        "{repeats} messages were repeated after {KILLS} kills, of {repeats_max} that can have been unacknowledged"
    );
    Verdict::Kept
}

/// Handles its share, and waits with the next in hand for its end: a kill, or that of its standard input.
async fn work<S: ConnectorUnderTest>(connector: &S, task: &ChildTask) -> ! {
    let ledger = Arc::new(Mutex::new(task.open_ledger()));
    let permits = usize::try_from(task.share).expect("a share fits");
    let permits = Arc::new(Semaphore::new(permits));
    let handler = handler_fn_async(async move |message: &mut Message<_>| {
        let line = format!("{}\n", number_of(message.data()));
        permits.acquire().await?.forget();
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        // One call, into the kernel's hands: what stands there before a kill stays.
        ledger.write_all(line.as_bytes())?;
        Ok(())
    });
    let topology = Pipeline::new(connector.source(&task.fixture, None), handler)
        .name("conformance")
        // One, so that all it handled can be acknowledged: in a log not even one that waits stands before them.
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
    // Of the test around this nothing may run in a child.
    process::exit(0);
}
