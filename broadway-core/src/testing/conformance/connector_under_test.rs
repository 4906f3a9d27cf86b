//! What an author of a connector gives to the suite.

use std::net::SocketAddr;

use super::Capabilities;
use crate::{
    error::BoxError,
    message::Record,
    publisher::Publisher,
    source::{Source, SourceProducer},
};

/// A connector under test, and the way to its broker.
pub trait ConnectorUnderTest: Send + Sync + 'static {
    /// The source under test.
    type Source: Source<Producer: SourceProducer<Item: Record>>;
    /// The publisher under test, which also fills the places that are read.
    type Publisher: Publisher;

    /// What this broker can do.
    fn capabilities(&self) -> Capabilities;

    /// Makes a fresh, empty fixture (a queue; a topic with its subscription), and names it. `promise` is a stem for the name,
    /// which must be one that nothing else has. It keeps the order of keys, where the capabilities say so. Where places
    /// [outlive their process](Capabilities::outlives_its_process), another one finds this one by the name.
    ///
    /// # Errors
    ///
    /// Fail the test.
    fn create(&self, promise: &str) -> impl Future<Output = Result<String, BoxError>> + Send;

    /// A source that reads the fixture; through the proxy at `via`, if there is one, rather than from the broker itself.
    fn source(&self, fixture: &str, via: Option<SocketAddr>) -> Self::Source;

    /// A publisher to the fixture, opened; through the proxy at `via`, if there is one.
    ///
    /// # Errors
    ///
    /// Fail the test, but for those that want an error.
    fn publisher(
        &self,
        fixture: &str,
        via: Option<SocketAddr>,
    ) -> impl Future<Output = Result<Self::Publisher, BoxError>> + Send;

    /// Puts a message into the fixture that the connector's client cannot parse, or that the connector cannot decode, between those
    /// that are there and those that follow. `false`: there is no such message, and nothing was sent. The source under test must
    /// go on after it, where it can be told to.
    ///
    /// # Errors
    ///
    /// Fail the test.
    fn send_unreadable(
        &self,
        fixture: &str,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send {
        let _ = fixture;
        async { Ok(false) }
    }

    /// How many messages of the fixture the broker keeps that are not acknowledged, leased ones too: exactly, and as of now. `None`
    /// where it cannot be asked, or only guesses: then only what comes again tells.
    ///
    /// # Errors
    ///
    /// Fail the test.
    fn unacknowledged(
        &self,
        fixture: &str,
    ) -> impl Future<Output = Result<Option<u64>, BoxError>> + Send {
        let _ = fixture;
        async { Ok(None) }
    }
}
