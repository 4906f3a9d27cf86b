//! What can be wrong with options: all of it, at once.

use std::{ops::RangeInclusive, time::Duration};

use super::config::{Batching, Options, Processors, RateLimit};
use crate::{batcher_key::BatcherKey, error::Problem, handler::Handler, machine::rate::Allowance};

/// Limits on the number of tasks; far above what makes sense, so that a slip is noticed.
const PRODUCERS: RangeInclusive<usize> = 1..=1_024;
const CONCURRENCY: RangeInclusive<usize> = 1..=65_536;
const DEMAND: RangeInclusive<usize> = 1..=1_000_000;
const SIZE: RangeInclusive<usize> = 1..=1_000_000;

pub(super) fn problems<H: Handler>(options: &Options<H>) -> Vec<Problem> {
    let mut found = Found::default();
    if options.name.trim().is_empty() {
        found.add(
            "name",
            "is empty: give the pipeline a name for its metrics and logs",
        );
    }
    found.range("producers", options.producers, PRODUCERS);
    found.positive("drain_timeout", options.drain_timeout);
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
            "has the index {}, but is at {index} in ALL: use the `batchers!` macro",
            key.index()
        );
        found.add(format!("batchers.{}", key.name()), message);
    }
    let mut names: Vec<_> = H::Batcher::ALL.iter().map(|key| key.name()).collect();
    names.sort_unstable();
    for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
        found.add(
            format!("batchers.{}", pair[0]),
            "is the name of two batchers: give one of them another name",
        );
    }
    if let Some(rate) = &options.rate_limit {
        rate_limit(rate, &mut found);
    }
    found.problems
}

fn processors<T>(processors: &Processors<T>, found: &mut Found) {
    found.range(
        "processors.concurrency",
        processors.concurrency,
        CONCURRENCY,
    );
    found.range("processors.max_demand", processors.max_demand, DEMAND);
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

fn batcher<T>(name: &str, batching: &Batching<T>, found: &mut Found) {
    let option = |option: &str| format!("batchers.{name}.{option}");
    found.range(option("size"), batching.size, SIZE);
    found.positive(option("timeout"), batching.timeout);
    found.range(option("concurrency"), batching.concurrency, CONCURRENCY);
    found.range(option("open_max"), batching.open_max, 1..=usize::MAX);
    if batching.buffered_max < batching.size {
        let (max, size) = (batching.buffered_max, batching.size);
        found.add(
            option("buffered_max"),
            format!("is {max}, but one batch may hold {size}: make it at least that"),
        );
    }
    if let Some((0, _)) = batching.bytes {
        found.add(
            option("bytes"),
            "is 0: a batch must be allowed to hold something",
        );
    }
}

fn rate_limit(rate: &RateLimit, found: &mut Found) {
    if let Err(error) = Allowance::new(rate.messages, rate.interval) {
        found.add("rate_limit", error.to_string());
    }
    if rate.burst == Some(0) {
        found.add(
            "rate_limit.burst",
            "is 0: nothing would ever pass, allow at least 1",
        );
    }
}

#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
}

impl Found {
    fn add(&mut self, option: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(option, message));
    }

    fn range(&mut self, option: impl Into<String>, value: usize, allowed: RangeInclusive<usize>) {
        if !allowed.contains(&value) {
            let (min, max) = (allowed.start(), allowed.end());
            self.add(
                option,
                format!("is {value}, but must be between {min} and {max}"),
            );
        }
    }

    fn positive(&mut self, option: impl Into<String>, duration: Duration) {
        if duration.is_zero() {
            self.add(option, "is zero, but must be longer");
        }
    }
}
