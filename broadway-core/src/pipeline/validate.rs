//! Checks options, and lists all problems at once.

use std::ops::RangeInclusive;

use super::config::{Batching, Options, Processors};
use crate::{batcher_key::BatcherKey, config_error::Checks, error::Problem, handler::Handler};

/// Limits on the number of tasks, far above useful values: they catch slips.
const PRODUCERS: RangeInclusive<usize> = 1..=1_024;
const CONCURRENCY: RangeInclusive<usize> = 1..=65_536;
const DEMAND: RangeInclusive<usize> = 1..=1_000_000;
const SIZE: RangeInclusive<usize> = 1..=1_000_000;

pub(super) fn problems<H: Handler>(options: &Options<H>) -> Vec<Problem> {
    let mut found = Checks::default();
    if options.name.trim().is_empty() {
        found.add(
            "name",
            "is empty: give the pipeline a name for its metrics and logs",
        );
    }
    found.within("producers", options.producers, PRODUCERS);
    found.above_zero("drain_timeout", options.drain_timeout);
    found.within("pushed_max", options.pushed_max, 1..=usize::MAX);
    found.above_zero("blocked_after", options.blocked_after);
    processors(&options.processors, &mut found);
    for (key, batching) in &options.batching {
        batcher(key.name(), batching, &mut found);
    }
    for (index, key) in H::Batcher::ALL
        .iter()
        .enumerate()
        .filter(|(index, key)| key.index() != *index)
    {
        let message = format!(
            "has index {}, but is at position {index} in ALL: use the `batchers!` macro",
            key.index()
        );
        found.add(format!("batchers.{}", key.name()), message);
    }
    let mut names: Vec<_> = H::Batcher::ALL.iter().map(|key| key.name()).collect();
    names.sort_unstable();
    for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
        found.add(
            format!("batchers.{}", pair[0]),
            "is the name of two batchers: rename one of them",
        );
    }
    if let Some(rate) = &options.rate_limit {
        for (option, message) in rate.problems() {
            found.add(option, message);
        }
    }
    found.into_problems()
}

fn processors<T>(processors: &Processors<T>, found: &mut Checks) {
    found.within(
        "processors.concurrency",
        processors.concurrency,
        CONCURRENCY,
    );
    found.within("processors.max_demand", processors.max_demand, DEMAND);
    if let Some(min) = processors
        .min_demand
        .filter(|min| *min >= processors.max_demand)
    {
        let max = processors.max_demand;
        found.add(
            "processors.min_demand",
            format!("is {min}, but must be below max_demand, which is {max}"),
        );
    }
}

fn batcher<T>(name: &str, batching: &Batching<T>, found: &mut Checks) {
    let option = |option: &str| format!("batchers.{name}.{option}");
    found.within(option("size"), batching.size, SIZE);
    found.above_zero(option("timeout"), batching.timeout);
    found.within(option("concurrency"), batching.concurrency, CONCURRENCY);
    found.within(option("open_max"), batching.open_max, 1..=usize::MAX);
    if batching.buffered_max < batching.size {
        let (max, size) = (batching.buffered_max, batching.size);
        found.add(
            option("buffered_max"),
            format!("is {max}, but must be at least the batch size, which is {size}"),
        );
    }
    if let Some((0, _)) = batching.bytes {
        found.add(option("bytes"), "is 0, but must be at least 1");
    }
}
