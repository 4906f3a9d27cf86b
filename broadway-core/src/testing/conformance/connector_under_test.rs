//! [`ConnectorUnderTest`]: the trait that an author of a connector implements for the suite.

use std::net::SocketAddr;

use super::Capabilities;
use crate::{
    error::BoxError,
    message::Record,
    publisher::Publisher,
    source::{Source, SourceProducer},
};

/// A connector, and access to its broker.
pub trait ConnectorUnderTest: Send + Sync + 'static {
    /// The source under test.
    type Source: Source<Producer: SourceProducer<Item: Record>>;
    /// The publisher under test, which also fills the fixtures that are read.
    type Publisher: Publisher;

    /// Returns what this broker supports.
    fn capabilities(&self) -> Capabilities;

    /// Makes a new, empty fixture (a queue; a topic with its subscription), and returns its name. `promise` is a stem
    /// for the name, which must be unique. It keeps the order of keys if the capabilities declare that. If fixtures
    /// [outlive their process](Capabilities::outlives_its_process), another process finds this one by its name.
    ///
    /// # Errors
    ///
    /// Errors fail the test.
    fn create(&self, promise: &str) -> impl Future<Output = Result<String, BoxError>> + Send;

    /// Returns a source that reads the fixture, through the proxy at `via` if there is one.
    fn source(&self, fixture: &str, via: Option<SocketAddr>) -> Self::Source;

    /// Opens a publisher to the fixture, through the proxy at `via` if there is one.
    ///
    /// # Errors
    ///
    /// Errors fail the test, except tests that expect one.
    fn publisher(
        &self,
        fixture: &str,
        via: Option<SocketAddr>,
    ) -> impl Future<Output = Result<Self::Publisher, BoxError>> + Send;

    /// Puts a message into the fixture that the connector's client cannot parse, or that the connector cannot decode,
    /// between the present messages and those that follow. Returns `false` if such a message does not exist and nothing was
    /// sent. The source under test must continue after it, if it has an option for that.
    ///
    /// # Errors
    ///
    /// Errors fail the test.
    fn send_unreadable(
        &self,
        fixture: &str,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send {
        let _ = fixture;
        async { Ok(false) }
    }

    /// Returns how many messages of the fixture are not acknowledged at the broker, including leased ones: exactly, and
    /// as of now. `None` if the broker cannot be asked, or only estimates: then only redeliveries show it.
    ///
    /// # Errors
    ///
    /// Errors fail the test.
    fn unacknowledged(
        &self,
        fixture: &str,
    ) -> impl Future<Output = Result<Option<u64>, BoxError>> + Send {
        let _ = fixture;
        async { Ok(None) }
    }
}
