//! Checks options, and lists all problems at once.

use std::{collections::HashSet, ops::RangeInclusive, time::Duration};

use super::{
    config::{Batching, Options, Processors, SourceNames},
    describe::BatcherDescription,
};
use crate::{
    batcher_key::BatcherKey, config_error::Checks, error::Problem, failure::FailurePolicy,
    handler::Handler, rate_limit::RateLimit,
};

/// Limits on the number of tasks, far above useful values: they catch slips.
const PRODUCERS: RangeInclusive<usize> = 1..=1_024;
/// One bit each in [`ControlState`](crate::engine::control::ControlState).
const SOURCES_MAX: usize = 64;
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
    sources: &'a SourceNames,
    drain_timeout: Duration,
    pushed_max: usize,
    blocked_after: Duration,
    concurrency: usize,
    max_demand: usize,
    min_demand: Option<usize>,
    in_flight: Option<usize>,
    waiting_max: usize,
    in_flight_max: Option<usize>,
    in_flight_bytes_max: Option<usize>,
    on_failure: &'a FailurePolicy,
    autoscale: Option<&'a RangeInclusive<usize>>,
}

impl<'a, H: Handler> From<&'a Options<H>> for General<'a> {
    fn from(options: &'a Options<H>) -> Self {
        let Processors {
            concurrency,
            max_demand,
            min_demand,
            in_flight,
            ..
        } = options.processors;
        let autoscale = options.processors.autoscale.as_ref();
        Self {
            name: &options.name,
            producers: options.producers,
            sources: &options.sources,
            drain_timeout: options.drain_timeout,
            pushed_max: options.pushed_max,
            blocked_after: options.blocked_after,
            concurrency,
            max_demand,
            min_demand,
            in_flight,
            waiting_max: options.waiting_max,
            in_flight_max: options.caps.messages_max,
            in_flight_bytes_max: options.caps.bytes_max.as_ref().map(|(max, _)| *max),
            on_failure: &options.on_failure,
            autoscale,
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
    sources(options.sources, options.producers, found);
    found.above_zero("drain_timeout", options.drain_timeout);
    found.within("pushed_max", options.pushed_max, 1..=usize::MAX);
    found.above_zero("blocked_after", options.blocked_after);
    found.within("waiting_max", options.waiting_max, 1..=usize::MAX);
    for (option, max) in [
        ("in_flight_max", options.in_flight_max),
        ("in_flight_bytes_max", options.in_flight_bytes_max),
    ] {
        found.within(option, max.unwrap_or(1), 1..=usize::MAX);
    }
    failure_policy("on_failure", options.on_failure, found);
    processors(options, found);
}

fn failure_policy(option: &str, policy: &FailurePolicy, found: &mut Checks) {
    let Some(retry) = &policy.retry else {
        return;
    };
    let schedule = &retry.schedule;
    found.above_zero(format!("{option}.pause"), schedule.first);
    if let Some(max) = schedule.max.filter(|max| *max < schedule.first) {
        let first = schedule.first;
        found.add(
            format!("{option}.max"),
            format!("is {max:?}, but must be at least the first pause, which is {first:?}"),
        );
    }
    if schedule.attempts_max == 0 {
        found.add(
            format!("{option}.attempts"),
            "is 0, but must be at least 1: the first attempt counts",
        );
    }
    found.above_zero(format!("{option}.total_time"), schedule.total_max);
    for (_, message) in retry.budget.iter().flat_map(RateLimit::problems) {
        found.add(format!("{option}.budget"), message);
    }
}

fn sources(sources: &SourceNames, default: usize, found: &mut Checks) {
    found.within("producers", default, PRODUCERS);
    found.within("sources", sources.names.len(), 1..=SOURCES_MAX);
    let mut seen = HashSet::new();
    for name in &sources.names {
        if name.trim().is_empty() {
            found.add(
                "sources",
                "the name of a source is empty: give each source a name",
            );
        } else if !seen.insert(name) {
            found.add(
                format!("sources.{name}"),
                "is the name of two sources: rename one of them",
            );
        }
    }
    for (name, producers) in &sources.producers {
        let option = format!("sources.{name}.producers");
        if !sources.names.contains(name) {
            found.add(option, no_such("source", &sources.names));
            continue;
        }
        found.within(option, *producers, PRODUCERS);
    }
    let each = sources.producers_of_each(default);
    let all = each.into_iter().fold(0, usize::saturating_add);
    if sources.names.len() > 1 && all > *PRODUCERS.end() {
        let max = PRODUCERS.end();
        found.add(
            "sources",
            format!("open {all} producers together, but may open at most {max}"),
        );
    }
}

/// Says that a name is none of the known ones.
pub(super) fn no_such(kind: &str, names: &[impl AsRef<str>]) -> String {
    if names.is_empty() {
        return format!("the pipeline has no {kind}s");
    }
    let names: Vec<_> = names
        .iter()
        .map(|name| format!("{:?}", name.as_ref()))
        .collect();
    format!(
        "the pipeline has no {kind} of this name, only {}",
        names.join(", ")
    )
}

fn rate_limit(rate: &RateLimit, found: &mut Checks) {
    for (option, message) in rate.problems() {
        found.add(option, message);
    }
}

fn processors(options: &General<'_>, found: &mut Checks) {
    found.within("processors.concurrency", options.concurrency, CONCURRENCY);
    found.within("processors.max_demand", options.max_demand, DEMAND);
    if let Some(in_flight) = options.in_flight {
        let least = options.concurrency.max(1);
        found.within("processors.in_flight", in_flight, least..=*DEMAND.end());
    }
    if let Some(range) = options.autoscale {
        let (min, max) = (*range.start(), *range.end());
        let is_valid = CONCURRENCY.contains(&min) && CONCURRENCY.contains(&max) && min <= max;
        let given = options.concurrency;
        found.require(
            is_valid,
            "processors.autoscale",
            format_args!("is {min}..={max}, but must be a range within 1..=65536"),
        );
        found.require(
            !is_valid || range.contains(&given),
            "processors.autoscale",
            format_args!("is {min}..={max}, but the number of processors to begin with is {given}"),
        );
    }
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
    let limits = LiveLimits {
        size: batching.size,
        timeout: batching.timeout,
        idle_timeout: batching.idle_timeout,
        buffered_max: batching.buffered_max,
    };
    live_limits(&option, &limits, found);
    found.within(option("concurrency"), batching.concurrency, CONCURRENCY);
    if let Some(partitions) = batching.partitions {
        found.within(option("partitions"), partitions, CONCURRENCY);
    }
    found.within(option("open_max"), batching.open_max, 1..=usize::MAX);
    if let Some(policy) = &batching.on_failure {
        failure_policy(&option("on_failure"), policy, found);
    }
    if let Some((0, _)) = batching.bytes {
        found.add(option("bytes"), "is 0, but must be at least 1");
    }
}

/// The options of a batcher that can be changed while it runs, and the limit on them.
struct LiveLimits {
    size: usize,
    timeout: Duration,
    idle_timeout: Duration,
    buffered_max: usize,
}

fn live_limits(option: &impl Fn(&str) -> String, limits: &LiveLimits, found: &mut Checks) {
    found.within(option("size"), limits.size, SIZE);
    found.above_zero(option("timeout"), limits.timeout);
    found.above_zero(option("idle_timeout"), limits.idle_timeout);
    if limits.buffered_max < limits.size {
        let (max, size) = (limits.buffered_max, limits.size);
        found.add(
            option("buffered_max"),
            format!("is {max}, but must be at least the batch size, which is {size}"),
        );
    }
}

/// Checks values to which the options of a running batcher are changed. Returns the first problem.
pub(super) fn live_batcher(batcher: &BatcherDescription) -> Option<Problem> {
    let option = |option: &str| format!("batchers.{}.{option}", batcher.name);
    let mut found = Checks::default();
    let limits = LiveLimits {
        size: batcher.size,
        timeout: batcher.timeout,
        idle_timeout: batcher.idle_timeout,
        buffered_max: batcher.buffered_max,
    };
    live_limits(&option, &limits, &mut found);
    found.within(option("concurrency"), batcher.concurrency, CONCURRENCY);
    found.into_problems().into_iter().next()
}

/// Checks a number of processors to which a running topology is changed.
pub(super) fn live_processors(processors: usize) -> Option<Problem> {
    let mut found = Checks::default();
    found.within("processors.concurrency", processors, CONCURRENCY);
    found.into_problems().into_iter().next()
}
