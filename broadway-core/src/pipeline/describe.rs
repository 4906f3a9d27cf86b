//! The shape of a topology, for logs, dashboards and tests: [`Description`].

use std::{fmt, time::Duration};

use super::config::Options;
use crate::{batcher_key::BatcherKey, handler::Handler, rate_limit::RateLimit};

/// The shape of a running topology.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The name of the pipeline.
    pub name: String,
    /// The number of producers.
    pub producers: usize,
    /// The rate limit that the topology was started with. [`Topology::rate_limit`](crate::Topology::rate_limit) returns the current
    /// one.
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
    /// The number of batches that are handled at once.
    pub concurrency: usize,
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
                    concurrency: batching.concurrency,
                });
            }
        }
        Self {
            name: options.name.clone(),
            producers: options.producers,
            rate_limit: options.rate_limit,
            processors: options.processors.concurrency,
            max_demand: options.processors.max_demand,
            partitioned: options.processors.partition_by.is_some(),
            batchers,
        }
    }
}

impl fmt::Display for Description {
    /// Writes one line: `orders: producers ×2 (5000 per 1s) → processors ×8 by key → audit (50 | 1s) ×1, events (500 | 200ms) ×4`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: producers ×{}", self.name, self.producers)?;
        if let Some(limit) = &self.rate_limit {
            write!(f, " ({limit})")?;
        }
        write!(f, " → processors ×{}", self.processors)?;
        if self.partitioned {
            f.write_str(" by key")?;
        }
        for (index, batcher) in self.batchers.iter().enumerate() {
            let BatcherDescription {
                name,
                size,
                bytes,
                timeout,
                concurrency,
            } = batcher;
            f.write_str(if index == 0 { " → " } else { ", " })?;
            write!(f, "{name} ({size}")?;
            if let Some(bytes) = bytes {
                write!(f, " | {bytes} B")?;
            }
            write!(f, " | {timeout:?}) ×{concurrency}")?;
        }
        Ok(())
    }
}
