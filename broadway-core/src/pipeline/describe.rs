//! The shape of a topology, for logs, dashboards and tests: [`Description`].

use std::{fmt, ops::Range, time::Duration};

use super::config::{Options, SourceNames};
use crate::{batcher_key::BatcherKey, handler::Handler, rate_limit::RateLimit};

/// The shape of a running topology, with the values that held when it was made: see
/// [`Topology::describe`](crate::Topology::describe).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The name of the pipeline.
    pub name: String,
    /// The number of producers of all sources.
    pub producers: usize,
    /// The sources, in the order in which they were added.
    pub sources: Vec<SourceDescription>,
    /// Whether all producers are paused, by the handle or by a [`Pause`](crate::Pause).
    pub paused: bool,
    /// The rate limit that was set last, if there is one.
    pub rate_limit: Option<RateLimit>,
    /// The number of processors.
    pub processors: usize,
    /// The maximum number of messages that a processor holds at once.
    pub max_demand: usize,
    /// Whether messages are in order per key.
    pub partitioned: bool,
    /// The batchers, in the order of their keys.
    pub batchers: Vec<BatcherDescription>,
}

/// One source of a [`Description`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceDescription {
    /// The name of the source.
    pub name: String,
    /// The indices of its producers, as in events and metrics.
    pub producers: Range<usize>,
    /// Whether this source alone is paused. See also [`Description::paused`].
    pub paused: bool,
}

/// One batcher of a [`Description`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatcherDescription {
    /// The name of the batcher.
    pub name: &'static str,
    /// The maximum number of messages in a batch.
    pub size: usize,
    /// The maximum number of bytes in a batch, if they are counted.
    pub bytes: Option<usize>,
    /// How long after its first message a batch is due.
    pub timeout: Duration,
    /// How long after its last message a batch is due. [`Duration::MAX`] means never.
    pub idle_timeout: Duration,
    /// The number of batches that are handled at once.
    pub concurrency: usize,
    /// The maximum number of messages in open batches.
    pub buffered_max: usize,
}

impl Description {
    pub(super) fn of<H: Handler>(options: &Options<H>) -> Self {
        let mut batchers = Vec::new();
        if const { !H::Batcher::ALL.is_empty() } {
            for (key, batching) in &options.batching {
                batchers.push(BatcherDescription {
                    name: key.name(),
                    size: batching.size,
                    bytes: batching.bytes.as_ref().map(|(max, _)| *max),
                    timeout: batching.timeout,
                    idle_timeout: batching.idle_timeout,
                    concurrency: batching.concurrency,
                    buffered_max: batching.buffered_max,
                });
            }
        }
        Self {
            name: options.name.clone(),
            producers: options.producers_of_all(),
            sources: sources(
                &options.sources,
                options.sources.producers_of_each(options.producers),
            ),
            paused: false,
            rate_limit: options.rate_limit,
            processors: options.processors.concurrency,
            max_demand: options.processors.max_demand,
            partitioned: options.processors.partition_by.is_some(),
            batchers,
        }
    }

    fn write_producers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [_] = &self.sources[..] {
            return write!(f, "producers ×{}", self.producers);
        }
        for (index, source) in self.sources.iter().enumerate() {
            f.write_str(if index == 0 { "producers " } else { ", " })?;
            write!(f, "{} ×{}", source.name, source.producers.len())?;
            if source.paused {
                f.write_str(" paused")?;
            }
        }
        Ok(())
    }
}

/// Describes the sources. The indices of their producers run through.
fn sources(sources: &SourceNames, producers_of_each: Vec<usize>) -> Vec<SourceDescription> {
    let (mut first, mut described) = (0, Vec::new());
    for (name, producers) in sources.names.iter().zip(producers_of_each) {
        let producers = first..first + producers;
        first = producers.end;
        described.push(SourceDescription {
            name: name.clone(),
            producers,
            paused: false,
        });
    }
    described
}

impl fmt::Display for Description {
    /// Writes one line: `orders: producers ×2 (5000 per 1s) → processors ×8 by key → audit (50 | 1s) ×1, events (500 | 200ms) ×4`.
    /// Several sources are named: `orders: producers kafka ×2, replayed ×1 paused → …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        self.write_producers(f)?;
        if let Some(limit) = &self.rate_limit {
            write!(f, " ({limit})")?;
        }
        if self.paused {
            f.write_str(" (paused)")?;
        }
        write!(f, " → processors ×{}", self.processors)?;
        if self.partitioned {
            f.write_str(" by key")?;
        }
        for (index, batcher) in self.batchers.iter().enumerate() {
            f.write_str(if index == 0 { " → " } else { ", " })?;
            write!(f, "{batcher}")?;
        }
        Ok(())
    }
}

impl fmt::Display for BatcherDescription {
    /// Writes `events (500 | 4096 B | 200ms | idle 50ms) ×4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            size,
            bytes,
            timeout,
            idle_timeout,
            concurrency,
            buffered_max: _,
        } = self;
        write!(f, "{name} ({size}")?;
        if let Some(bytes) = bytes {
            write!(f, " | {bytes} B")?;
        }
        write!(f, " | {timeout:?}")?;
        if *idle_timeout != Duration::MAX {
            write!(f, " | idle {idle_timeout:?}")?;
        }
        write!(f, ") ×{concurrency}")
    }
}
