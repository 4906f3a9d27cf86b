//! What a broker can do, so that nothing is asked of it that it never promised.

use std::{net::SocketAddr, time::Duration};

/// When a failed message is delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redelivery {
    /// To whoever reads, without more ado, or after a pause.
    ToAnyone,
    /// When the source is opened again.
    AfterReopening,
}

/// What a broker can do. A promise that needs more does not apply, and says so.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    pub(super) broker: Option<SocketAddr>,
    pub(super) proxy_at: Option<SocketAddr>,
    pub(super) payload_min: usize,
    pub(super) payload_max: usize,
    pub(super) refused_from: Option<usize>,
    pub(super) is_binary: bool,
    pub(super) headers_max: usize,
    pub(super) orders_keys: bool,
    pub(super) lease: Option<Duration>,
    pub(super) silence_max: Option<Duration>,
    pub(super) redelivery: Redelivery,
    pub(super) fetch_max: Option<usize>,
    pub(super) outlives_its_process: bool,
    pub(super) repeats_max: Option<u64>,
    pub(super) in_flight_max: Option<u64>,
    pub(super) releases_at_drain: bool,
}

impl Capabilities {
    /// Of a broker at this address, before which a proxy can stand; `None` where there is no such thing.
    #[must_use]
    pub const fn new(broker: Option<SocketAddr>) -> Self {
        Self {
            broker,
            proxy_at: None,
            payload_min: 0,
            payload_max: 64 * 1024,
            refused_from: None,
            is_binary: true,
            headers_max: 10,
            orders_keys: false,
            lease: None,
            silence_max: None,
            redelivery: Redelivery::ToAnyone,
            fetch_max: None,
            outlives_its_process: false,
            repeats_max: None,
            in_flight_max: None,
            releases_at_drain: true,
        }
    }

    /// Where the broker is, if a proxy can stand before it.
    #[must_use]
    pub const fn broker(&self) -> Option<SocketAddr> {
        self.broker
    }

    /// The proxy must listen here, since the broker sends its clients to this address. Default: anywhere.
    #[must_use]
    pub const fn proxy_at(mut self, address: SocketAddr) -> Self {
        self.proxy_at = Some(address);
        self
    }

    /// The smallest payload in bytes. Default: 0.
    #[must_use]
    pub const fn payload_min(mut self, bytes: usize) -> Self {
        self.payload_min = bytes;
        self
    }

    /// The largest payload in bytes that is tried. Default: 64 KiB.
    #[must_use]
    pub const fn payload_max(mut self, bytes: usize) -> Self {
        self.payload_max = bytes;
        self
    }

    /// A size of a payload in bytes that is always refused. Default: none is known, and none is tried.
    #[must_use]
    pub const fn payload_refused_from(mut self, bytes: usize) -> Self {
        self.refused_from = Some(bytes);
        self
    }

    /// Payloads are text: bytes that aren't UTF-8 must be refused. Default: any bytes.
    #[must_use]
    pub const fn text_only(mut self) -> Self {
        self.is_binary = false;
        self
    }

    /// The most headers of a message. Default: 10.
    #[must_use]
    pub const fn headers_max(mut self, headers: usize) -> Self {
        self.headers_max = headers;
        self
    }

    /// Messages of one key are delivered in order. Default: they are not.
    #[must_use]
    pub const fn orders_keys(mut self, orders_keys: bool) -> Self {
        self.orders_keys = orders_keys;
        self
    }

    /// How long the broker leaves a message to a consumer that says nothing. Default: there are no leases.
    #[must_use]
    pub const fn lease(mut self, lease: Option<Duration>) -> Self {
        self.lease = lease;
        self
    }

    /// How long the broker bears a client that says nothing (heartbeats, a session), as the connector opens its source, before it counts
    /// the connection as lost. Default: for as long as it is open.
    #[must_use]
    pub const fn silence_max(mut self, silence: Duration) -> Self {
        self.silence_max = Some(silence);
        self
    }

    /// When a failed message comes again. Default: [`Redelivery::ToAnyone`].
    #[must_use]
    pub const fn redelivers(mut self, redelivery: Redelivery) -> Self {
        self.redelivery = redelivery;
        self
    }

    /// The most messages that one producer fetches ahead of those that it delivered, as the connector documents it, where
    /// others could have them meanwhile. Default: not to be seen from outside.
    #[must_use]
    pub const fn fetch_max(mut self, messages: usize) -> Self {
        self.fetch_max = Some(messages);
        self
    }

    /// Places outlive the process that made them, and another that makes the connector anew reaches them by their name. Then
    /// processes are killed: the test starts itself again. Default: no, as of what is in memory, or of a broker that the connector
    /// starts.
    #[must_use]
    pub const fn outlives_its_process(mut self, outlives: bool) -> Self {
        self.outlives_its_process = outlives;
        self
    }

    /// The most messages that come again, although they were handled, when a process or a connection of one producer ends: what
    /// the connector, as documented, may have that is handled and not acknowledged. Where the broker can be asked it is asked
    /// instead. Default: any.
    #[must_use]
    pub const fn repeats_max(mut self, messages: u64) -> Self {
        self.repeats_max = Some(messages);
        self
    }

    /// The most messages that the publisher, as the connector opens it, takes in before one of them is confirmed. A few hundred at
    /// most, so that it is soon reached. Default: not said, and not tried.
    #[must_use]
    pub const fn in_flight_max(mut self, messages: u64) -> Self {
        self.in_flight_max = Some(messages);
        self
    }

    /// Whether the source [delivers again](crate::Acknowledger::redelivers) what a drain releases. Defaults to `true`.
    #[must_use]
    pub const fn releases_at_drain(mut self, releases: bool) -> Self {
        self.releases_at_drain = releases;
        self
    }
}
