//! Runs a pipeline over dead letters until the queue is empty, or something else ends it.

use std::{mem, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{self, Either};

use super::{
    error::ReplayError,
    handler::{ReplayHandler, Step},
    options::ReadOptions,
    report::{ReplayReport, StopReason},
    session::SessionObserver,
};
use crate::{
    error::{Problem, RunError, StartError},
    message::Record,
    pipeline::{Batching, Pipeline, Processors, Totals},
    publisher::Publisher,
    source::{Source, SourceProducer},
};

/// The most messages that are sent together, and the time after which fewer are.
const BATCH_SIZE: usize = 100;
const BATCH_TIMEOUT: Duration = Duration::from_millis(20);

pub(super) async fn run<S, R, P>(
    source: S,
    mut handler: ReplayHandler<R, P>,
) -> Result<ReplayReport, ReplayError>
where
    S: Source<Producer: SourceProducer<Item = R>>,
    R: Record,
    P: Publisher,
{
    let session = Arc::clone(&handler.session);
    let ReadOptions {
        idle_after,
        first_within,
        hold_max,
        stops_on_signals,
        ..
    } = handler.options;
    let observers = mem::take(&mut handler.options.observers);
    // One processor and one batch at a time, so that messages keep the order of the dead letters.
    let pipeline = Pipeline::new(source, handler)
        .name("replay")
        .processors(Processors::new(1).max_demand(BATCH_SIZE))
        .batchers(move |step| match step {
            Step::Send => Batching::new(BATCH_SIZE, BATCH_TIMEOUT).buffered_max(BATCH_SIZE * 2),
            Step::Hold => Batching::new(hold_max, Duration::MAX).buffered_max(hold_max * 2),
        })
        .observed_by(observers)
        .observe(SessionObserver(Arc::clone(&session)));
    let topology = pipeline.start().await.map_err(ReplayError::Start)?;
    let mut end = pin!(async {
        match stops_on_signals {
            true => topology.wait_or_signal().await,
            false => topology.wait().await,
        }
    });
    let ended: Result<Totals, RunError> = loop {
        let idle = session.idle_at(idle_after, first_within);
        let begun = pin!(session.begun());
        match idle.within(future::select(end.as_mut(), begun)).await {
            Some(Either::Left((ended, _))) => break ended,
            // From now on `idle_after` counts.
            Some(Either::Right(_)) => continue,
            None => {}
        }
        if session.has_stopped() {
            break end.await;
        }
        // Something may have come meanwhile.
        if session.idle_at(idle_after, first_within).is_over() {
            session.stop(StopReason::Idle);
        }
    };
    session.stop(StopReason::SourceEnded);
    ended.map_err(ReplayError::Run)?;
    Ok(session.report())
}

/// Fails unless there are no problems.
pub(super) fn checked(problems: Vec<Problem>) -> Result<(), ReplayError> {
    match problems.is_empty() {
        true => Ok(()),
        false => Err(ReplayError::Start(StartError::Invalid(problems))),
    }
}
