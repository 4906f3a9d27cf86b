//! What the run has to know of a broker besides what the conformance suite knows.

use std::{io, net::SocketAddr};

use broadway::{
    OnDrain,
    source::{Source, SourceProducer},
    testing::{Proxy, conformance::ConnectorUnderTest},
};

/// What a source of this broker delivers.
pub(crate) type ItemOf<B> =
    <<<B as ConnectorUnderTest>::Source as Source>::Producer as SourceProducer>::Item;

/// A broker, as the run uses it.
pub(crate) trait Broker: ConnectorUnderTest + Clone {
    /// As it stands in the figures, and in the environment of a worker.
    const NAME: &'static str;

    /// How many ids a run has unless it is told.
    const IDS: u64;

    /// Whether messages have keys whose order is checked.
    const IS_KEYED: bool;

    /// How many messages a lost worker, or one whose connection is lost, makes come again at most. `None`: it is only
    /// counted.
    const REPEATS_MAX: Option<u64>;

    /// What workers do at a drain, so that it repeats nothing.
    const ON_DRAIN: OnDrain = OnDrain::Release;

    /// Whether the id of a record is the same whenever it comes, so that it tells two messages apart.
    const HAS_ORIGINS: bool = true;

    /// How many ways there are to be a member, each of which has a graceful run.
    const VARIANTS: usize = 1;

    /// How many producers a worker has.
    const PRODUCERS: usize = 1;

    /// The broker of the tests; `None`, said, where there is none.
    fn find() -> Option<Self>;

    /// A source as a worker reads, through the proxy where there is one.
    fn member(&self, place: &str, via: Option<SocketAddr>, variant: usize) -> Self::Source {
        let _ = variant;
        self.source(place, via)
    }

    /// Why this broker's own behaviour after a fault would be taken for ours, if so: then the run with faults is left out.
    fn misbehaves(&self) -> Option<&'static str> {
        None
    }

    /// A proxy before this broker.
    fn proxy(&self) -> impl Future<Output = io::Result<Proxy>> + Send;
}

/// The two places of a run: where it reads, and where its dead letters go.
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
