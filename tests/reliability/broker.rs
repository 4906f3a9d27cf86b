//! The properties of a broker that the run needs, besides those that the conformance suite needs.

use std::{io, net::SocketAddr};

use broadway::{
    OnDrain,
    source::{Source, SourceProducer},
    testing::{Proxy, conformance::ConnectorUnderTest},
};

/// The item of this broker's source.
pub(crate) type ItemOf<B> =
    <<<B as ConnectorUnderTest>::Source as Source>::Producer as SourceProducer>::Item;

/// A broker, as the run uses it.
pub(crate) trait Broker: ConnectorUnderTest + Clone {
    /// Its name in the report, and in the environment of a worker.
    const NAME: &'static str;

    /// The default number of ids of a run.
    const IDS: u64;

    /// Whether messages have keys whose order is checked.
    const IS_KEYED: bool;

    /// How many messages are delivered again at most when a worker, or its connection, is lost. `None` only counts
    /// them.
    const REPEATS_MAX: Option<u64>;

    /// The drain mode of workers, such that a drain repeats no message.
    const ON_DRAIN: OnDrain = OnDrain::Release;

    /// Whether the id of a record is the same at each delivery, so that it distinguishes messages.
    const HAS_ORIGINS: bool = true;

    /// How many membership protocols there are. Each has a graceful run.
    const VARIANTS: usize = 1;

    /// How many runs can have a proxy at the same time.
    const PROXIES: usize = 5;

    /// How many producers a worker has.
    const PRODUCERS: usize = 1;

    /// Returns the broker of the tests; `None`, after printing that, if there is none.
    fn find() -> Option<Self>;

    /// Returns a source for a worker, through the proxy if there is one.
    fn member(&self, place: &str, via: Option<SocketAddr>, variant: usize) -> Self::Source {
        let _ = variant;
        self.source(place, via)
    }

    /// If the broker's own behaviour after a fault would look like a defect of the connector, the reason: then the run
    /// with faults is skipped, and those with failing handlers.
    fn misbehaves(&self) -> Option<&'static str> {
        None
    }

    /// Starts a proxy in front of this broker.
    fn proxy(&self) -> impl Future<Output = io::Result<Proxy>> + Send;
}

/// The two fixtures of a run: its queue, and the queue of its dead letters.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) work: String,
    pub(crate) dead: String,
}

impl Places {
    pub(crate) async fn new<B: Broker>(broker: &B) -> Self {
        Self {
            work: broker.create("ledger").await.unwrap(),
            dead: broker.create("dead").await.unwrap(),
        }
    }
}
