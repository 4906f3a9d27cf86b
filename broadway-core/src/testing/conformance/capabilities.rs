//! [`Capabilities`]: what a broker supports, so that the suite tests only what it guarantees.

use std::{net::SocketAddr, time::Duration};

/// When a failed message is delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redelivery {
    /// To any reader, at once or after a pause.
    ToAnyone,
    /// When the source is opened again.
    AfterReopening,
}

/// Describes what a broker supports. A promise that needs more does not apply, and prints that.
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
    pub(super) delays: bool,
    pub(super) counts_deliveries: bool,
}

impl Capabilities {
    /// For a broker at this address, in front of which a proxy can stand; `None` if that is not possible.
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
            delays: false,
            counts_deliveries: false,
        }
    }

    /// Returns the address of the broker, if a proxy can stand in front of it.
    #[must_use]
    pub const fn broker(&self) -> Option<SocketAddr> {
        self.broker
    }

    /// The address at which the proxy must listen, because the broker sends its clients there. Defaults to any.
    #[must_use]
    pub const fn proxy_at(mut self, address: SocketAddr) -> Self {
        self.proxy_at = Some(address);
        self
    }

    /// The smallest payload in bytes. Defaults to 0.
    #[must_use]
    pub const fn payload_min(mut self, bytes: usize) -> Self {
        self.payload_min = bytes;
        self
    }

    /// The largest payload in bytes to test. Defaults to 64 KiB.
    #[must_use]
    pub const fn payload_max(mut self, bytes: usize) -> Self {
        self.payload_max = bytes;
        self
    }

    /// A payload size in bytes that is always refused. Defaults to none: no refusal is tested.
    #[must_use]
    pub const fn payload_refused_from(mut self, bytes: usize) -> Self {
        self.refused_from = Some(bytes);
        self
    }

    /// Whether payloads are text, so that bytes that are not UTF-8 must be refused. Defaults to any bytes.
    #[must_use]
    pub const fn text_only(mut self) -> Self {
        self.is_binary = false;
        self
    }

    /// The maximum number of headers of a message. Defaults to 10.
    #[must_use]
    pub const fn headers_max(mut self, headers: usize) -> Self {
        self.headers_max = headers;
        self
    }

    /// Whether messages of one key are delivered in order. Defaults to `false`.
    #[must_use]
    pub const fn orders_keys(mut self, orders_keys: bool) -> Self {
        self.orders_keys = orders_keys;
        self
    }

    /// How long the broker leaves a message to a silent consumer. Defaults to no leases.
    #[must_use]
    pub const fn lease(mut self, lease: Option<Duration>) -> Self {
        self.lease = lease;
        self
    }

    /// How long the broker tolerates a silent client (heartbeats, a session) with the connector's settings before it
    /// considers the connection lost. Defaults to as long as the connection is open.
    #[must_use]
    pub const fn silence_max(mut self, silence: Duration) -> Self {
        self.silence_max = Some(silence);
        self
    }

    /// When a failed message is delivered again. Defaults to [`Redelivery::ToAnyone`].
    #[must_use]
    pub const fn redelivers(mut self, redelivery: Redelivery) -> Self {
        self.redelivery = redelivery;
        self
    }

    /// The maximum number of messages that one producer fetches beyond those that it delivered, as the connector
    /// documents it, if other consumers could have them meanwhile. Defaults to unobservable.
    #[must_use]
    pub const fn fetch_max(mut self, messages: usize) -> Self {
        self.fetch_max = Some(messages);
        self
    }

    /// Whether fixtures outlive the process that made them, and another process reaches them by name. Then processes
    /// are killed: the test starts itself again. Defaults to `false`, as for an in-memory broker or one that the
    /// connector starts.
    #[must_use]
    pub const fn outlives_its_process(mut self, outlives: bool) -> Self {
        self.outlives_its_process = outlives;
        self
    }

    /// The maximum number of handled messages that are delivered again when a process or a connection of one producer
    /// ends: those that the connector, as documented, may have handled and not acknowledged. If the broker can be
    /// asked, its answer counts instead. Defaults to any number.
    #[must_use]
    pub const fn repeats_max(mut self, messages: u64) -> Self {
        self.repeats_max = Some(messages);
        self
    }

    /// The maximum number of messages that the publisher, as the connector opens it, accepts before one of them is
    /// confirmed. A few hundred at most, so that the limit is reached soon. Defaults to unknown, which is not tested.
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

    /// Whether the source can [delay](crate::Acknowledger::delay_max) a message that it has just delivered, by 3 s and more. Defaults
    /// to `false`.
    #[must_use]
    pub const fn delays(mut self, delays: bool) -> Self {
        self.delays = delays;
        self
    }

    /// Whether [`Record::deliveries`](crate::Record::deliveries) knows the number of every delivery. Defaults to `false`: it may be
    /// `None`.
    #[must_use]
    pub const fn counts_deliveries(mut self, counts: bool) -> Self {
        self.counts_deliveries = counts;
        self
    }
}
