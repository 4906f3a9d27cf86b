//! What an author of a connector gives to the suite.

use std::net::SocketAddr;

use super::Abilities;
use crate::{
    error::BoxError,
    message::Record,
    publisher::Publisher,
    source::{Producer, Source},
};

/// A connector under test, and the way to its broker.
pub trait Subject: Send + Sync + 'static {
    /// The source under test.
    type Source: Source<Producer: Producer<Item: Record>>;
    /// The publisher under test, which also fills the places that are read.
    type Publisher: Publisher;

    /// What this broker can do.
    fn abilities(&self) -> Abilities;

    /// Makes a fresh, empty place (a queue; a topic with its subscription), and names it. `promise` is a stem for the name,
    /// which must be one that nothing else has. It keeps the order of keys, where the abilities say so. Where places
    /// [outlive their process](Abilities::outlives_its_process), another one finds this one by the name.
    ///
    /// # Errors
    ///
    /// Fail the test.
    fn create(&self, promise: &str) -> impl Future<Output = Result<String, BoxError>> + Send;

    /// A source that reads the place; through the proxy at `via`, if there is one, rather than from the broker itself.
    fn source(&self, place: &str, via: Option<SocketAddr>) -> Self::Source;

    /// A publisher to the place, opened; through the proxy at `via`, if there is one.
    ///
    /// # Errors
    ///
    /// Fail the test, but for those that want an error.
    fn publisher(
        &self,
        place: &str,
        via: Option<SocketAddr>,
    ) -> impl Future<Output = Result<Self::Publisher, BoxError>> + Send;

    /// Puts a message into the place that the connector's client cannot parse, or that the connector cannot decode, between those
    /// that are there and those that follow. `false`: there is no such message, and nothing was sent. The source under test must
    /// go on after it, where it can be told to.
    ///
    /// # Errors
    ///
    /// Fail the test.
    fn send_unreadable(&self, place: &str) -> impl Future<Output = Result<bool, BoxError>> + Send {
        let _ = place;
        async { Ok(false) }
    }

    /// How many messages of the place the broker keeps that are not acknowledged, leased ones too: exactly, and as of now. `None`
    /// where it cannot be asked, or only guesses: then only what comes again tells.
    ///
    /// # Errors
    ///
    /// Fail the test.
    fn unacknowledged(
        &self,
        place: &str,
    ) -> impl Future<Output = Result<Option<u64>, BoxError>> + Send {
        let _ = place;
        async { Ok(None) }
    }
}
