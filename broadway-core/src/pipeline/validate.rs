//! Checks options, and lists all problems at once.

use std::{ops::RangeInclusive, time::Duration};

use super::config::{Batching, Options, Processors};
use crate::{
    batcher_key::BatcherKey, config_error::Checks, error::Problem, handler::Handler,
    rate_limit::RateLimit,
};

/// Limits on the number of tasks, far above useful values: they catch slips.
const PRODUCERS: RangeInclusive<usize> = 1..=1_024;
const CONCURRENCY: RangeInclusive<usize> = 1..=65_536;
const DEMAND: RangeInclusive<usize> = 1..=1_000_000;
const SIZE: RangeInclusive<usize> = 1..=1_000_000;

pub(super) fn problems<H: Handler>(options: &Options<H>) -> Vec<Problem> {
    let mut found = Checks::default();
    general(&options.into(), &mut found);
    if const { !H::Batcher::ALL.is_empty() } {
        batchers(&options.batching, &mut found);
    }
    if let Some(rate) = &options.rate_limit {
        rate_limit(rate, &mut found);
    }
    found.into_problems()
}

/// The options that do not depend on the types of the handler.
struct General<'a> {
    name: &'a str,
    producers: usize,
    drain_timeout: Duration,
    pushed_max: usize,
    blocked_after: Duration,
    concurrency: usize,
    max_demand: usize,
    min_demand: Option<usize>,
}

impl<'a, H: Handler> From<&'a Options<H>> for General<'a> {
    fn from(options: &'a Options<H>) -> Self {
        let Processors {
            concurrency,
            max_demand,
            min_demand,
            ..
        } = options.processors;
        Self {
            name: &options.name,
            producers: options.producers,
            drain_timeout: options.drain_timeout,
            pushed_max: options.pushed_max,
            blocked_after: options.blocked_after,
            concurrency,
            max_demand,
            min_demand,
        }
    }
}

fn general(options: &General<'_>, found: &mut Checks) {
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
    processors(options, found);
}

fn rate_limit(rate: &RateLimit, found: &mut Checks) {
    for (option, message) in rate.problems() {
        found.add(option, message);
    }
}

fn processors(options: &General<'_>, found: &mut Checks) {
    found.within("processors.concurrency", options.concurrency, CONCURRENCY);
    found.within("processors.max_demand", options.max_demand, DEMAND);
    if let Some(min) = options.min_demand.filter(|min| *min >= options.max_demand) {
        let max = options.max_demand;
        found.add(
            "processors.min_demand",
            format!("is {min}, but must be below max_demand, which is {max}"),
        );
    }
}

fn batchers<K: BatcherKey, T>(batchings: &[(K, Batching<T>)], found: &mut Checks) {
    for (key, batching) in batchings {
        batcher(key.name(), batching, found);
    }
    for (index, key) in K::ALL
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
    let mut names: Vec<_> = K::ALL.iter().map(|key| key.name()).collect();
    names.sort_unstable();
    for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
        found.add(
            format!("batchers.{}", pair[0]),
            "is the name of two batchers: rename one of them",
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
