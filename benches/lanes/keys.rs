//! `keys_1000` and `keys_20`: how long all messages take.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use broadway::{Pipeline, source};
use futures_util::{StreamExt, stream};
use tokio::runtime::Runtime;

use crate::{
    line::{Figures, Line, median},
    messages::{IN_FLIGHT, Sleeper, Work, by_key, work},
    support::BoxError,
};

const MESSAGES: u64 = 10_000;

pub(crate) fn over_1000(runtime: &Runtime, rounds: usize, quick: bool) -> Result<Line, BoxError> {
    measure(
        runtime,
        rounds,
        quick,
        1_000,
        "for_each_concurrent",
        unordered,
    )
}

pub(crate) fn over_20(runtime: &Runtime, rounds: usize, quick: bool) -> Result<Line, BoxError> {
    measure(runtime, rounds, quick, 20, "slowest_key", slowest_key)
}

fn measure<F>(
    runtime: &Runtime,
    rounds: usize,
    quick: bool,
    keys: u64,
    reference: &'static str,
    by_hand: impl Fn(u64, u64) -> F,
) -> Result<Line, BoxError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let messages = if quick { MESSAGES / 10 } else { MESSAGES };
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let wall = timed(runtime, ordered(messages, keys))?;
        let reference = timed(runtime, by_hand(messages, keys))?;
        ratios.push(reference / wall);
        ours.push(wall);
        theirs.push(reference);
    }
    Ok(Line {
        messages,
        rounds,
        reference,
        figures: Figures::Wall {
            wall_ms: median(ours),
            reference_wall_ms: median(theirs),
        },
        ratio: median(ratios),
        goal: Some(0.95),
    })
}

/// Runs a program on a worker thread. Returns its milliseconds.
fn timed(
    runtime: &Runtime,
    program: impl Future<Output = ()> + Send + 'static,
) -> Result<f64, BoxError> {
    let begun = Instant::now();
    runtime.block_on(async { tokio::spawn(program).await })?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

async fn ordered(messages: u64, keys: u64) {
    let source = source::from_iter(move |_| (0..messages).map(move |n| work(n, keys)));
    let pipeline = Pipeline::new(source, Sleeper).processors(by_key());
    let topology = pipeline.start().await.expect("the options are valid");
    let totals = topology.wait().await.expect("the source ends");
    assert_eq!(totals.done, messages);
}

async fn unordered(messages: u64, keys: u64) {
    stream::iter((0..messages).map(|n| work(n, keys)))
        .for_each_concurrent(IN_FLIGHT, |work| tokio::time::sleep(work.sleep))
        .await;
}

/// Handles the messages of the key with the longest sum of sleeps.
async fn slowest_key(messages: u64, keys: u64) {
    let mut by_key: HashMap<u64, Vec<Duration>> = HashMap::new();
    for Work { key, sleep } in (0..messages).map(|n| work(n, keys)) {
        by_key.entry(key).or_default().push(sleep);
    }
    // tokio sleeps in whole milliseconds.
    let sum = |sleeps: &Vec<Duration>| -> u128 {
        sleeps
            .iter()
            .map(|sleep| sleep.as_micros().div_ceil(1_000))
            .sum()
    };
    let slowest = by_key.into_values().max_by_key(sum).unwrap_or_default();
    for sleep in slowest {
        tokio::time::sleep(sleep).await;
    }
}
