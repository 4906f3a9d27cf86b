//! [`Message`], and [`Record`], the trait that the items of all connectors implement.

use std::{any::Any, fmt, time::SystemTime};

use crate::{ack_now::AckNow, error::BoxError, header::Header};

/// One message in a pipeline: the item that the source delivered, and the state of its delivery.
///
/// Handlers borrow messages, so they can neither lose nor duplicate one. The item stays with the message until the message is
/// settled, so that [`Handler::handle_failed`](crate::Handler::handle_failed) can still read it.
pub struct Message<T> {
    data: T,
    extras: Option<Box<Extras>>,
}

/// What few messages have, in a box: one pointer in every message.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) ack_options: AckOptions,
    /// How many attempts earlier deliveries made, as its source has counted them. Known once it has failed in this one.
    pub(crate) earlier_attempts: u32,
    /// How often `handle_message` failed on it, in this delivery.
    pub(crate) attempts: u32,
    /// How often `handle_batch` failed on it, in this delivery.
    pub(crate) batch_attempts: u32,
    /// What a circuit has found out about it, and which one: layers may have one each. Set while it is set aside.
    pub(crate) trial: Option<(CircuitId, CircuitTrial)>,
}

/// The address of a circuit, which is in use as long as the pipeline runs.
pub(crate) type CircuitId = usize;

/// What a circuit has found out about a message.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CircuitTrial {
    /// How often a circuit opened during its calls.
    pub(crate) holds: u32,
    /// Whether it failed while the circuit was open, or about to open.
    pub(crate) is_tried: bool,
    /// How often it failed as the probe.
    pub(crate) probes: u32,
    /// How often it was set aside, so that its processor takes another message.
    pub(crate) asides: u32,
}

/// The options set with `configure_ack`. Boxed twice, so that they are one pointer wherever they pass.
pub(crate) type AckOptions = Option<Box<Box<dyn Any + Send>>>;

impl<T> Message<T> {
    pub(crate) fn new(data: T) -> Self {
        Self { data, extras: None }
    }

    /// Returns the item.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// Returns the item, to be changed in place: `handle_message` sees the changes that `prepare_messages` made.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.data
    }

    /// Acknowledges this message now, before it is handled: for work that may be lost but must not be repeated.
    ///
    /// The message continues through the pipeline, but its result is no longer reported to the source. Acknowledging a message
    /// twice has no effect.
    ///
    /// The future completes only inside the callback that borrows this message; awaited elsewhere, which the borrow makes hard,
    /// it never does.
    ///
    /// # Errors
    ///
    /// Fails if the source's acknowledger fails. The message counts as settled all the same.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the acknowledgement may or may not have been made.
    pub fn ack_now(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send + use<'_, T> {
        AckNow::message()
    }

    /// Sets the connector's acknowledgement options for this message: what to do when it fails, for instance. Overrides the
    /// options of the source; the last call wins.
    pub fn configure_ack(&mut self, options: T::AckOptions)
    where
        T: Record,
    {
        self.extras().ack_options = Some(Box::new(Box::new(options)));
    }

    /// Returns which attempt at this message this is: 1 for the first, 2 after one failure in `handle_message` that was
    /// [retried](crate::Retry), and so on. For the attempts of the broker, see [`Record::deliveries`].
    ///
    /// The attempts before a message was [parked](crate::Retry::park_after) at its source count from its first failure in this delivery
    /// on. Until then this returns 1: the source is asked only about messages that fail.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        let failed = self.extras.as_ref().map_or(0, |extras| {
            extras.earlier_attempts.saturating_add(extras.attempts)
        });
        failed.saturating_add(1)
    }

    /// How many attempts earlier deliveries made. Known once it has failed in this one.
    pub(crate) fn earlier_attempts(&self) -> u32 {
        let extras = self.extras.as_ref();
        extras.map_or(0, |extras| extras.earlier_attempts)
    }

    /// The attempts that its source keeps while it is parked: of earlier deliveries, and of this one in `handle_message` or in batches,
    /// whichever were more.
    pub(crate) fn attempts_to_keep(&self) -> u32 {
        let (alone, in_batches) = self.failed_attempts();
        self.earlier_attempts()
            .saturating_add(alone.max(in_batches))
    }

    /// How often a callback failed on it in this delivery: in `handle_message`, and in batches.
    pub(crate) fn failed_attempts(&self) -> (u32, u32) {
        let extras = self.extras.as_ref();
        extras.map_or((0, 0), |extras| (extras.attempts, extras.batch_attempts))
    }

    /// Takes what this circuit noted when it set the message aside.
    pub(crate) fn take_trial(&mut self, circuit: CircuitId) -> CircuitTrial {
        let noted = self.extras.as_mut().and_then(|extras| {
            let of_this_one = |(id, _): &mut (CircuitId, _)| *id == circuit;
            extras.trial.take_if(of_this_one)
        });
        noted.map(|(_, trial)| trial).unwrap_or_default()
    }

    /// Whether it has anything that few messages have.
    pub(crate) fn has_extras(&self) -> bool {
        self.extras.is_some()
    }

    #[cold]
    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    pub(crate) fn take_ack_options(&mut self) -> AckOptions {
        self.extras.as_mut()?.ack_options.take()
    }
}

impl<T: fmt::Debug> fmt::Debug for Message<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

/// What the records of all connectors share, so that a handler over `R: Record` works with every broker, and a dead letter carries
/// the original bytes.
///
/// ```
/// use broadway_core::{BoxError, Message, Record};
///
/// fn tenant<R: Record>(message: &Message<R>) -> Result<&str, BoxError> {
///     let header = message.data().header("tenant").ok_or("no header named tenant")?;
///     Ok(std::str::from_utf8(header)?)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a record of a connector",
    label = "not a record",
    note = "only items of connectors have acknowledgement options, a payload and headers",
    note = "`DeadLetters` and `by_record_key` need records; implement `broadway::Record` for an item of your own"
)]
pub trait Record: Send + 'static {
    /// The argument of [`Message::configure_ack`]. [`NoAckOptions`] if there is nothing to choose.
    type AckOptions: Send + 'static;

    /// Returns the payload. Empty for a [tombstone](Self::is_tombstone).
    fn payload(&self) -> &[u8];

    /// Returns whether the payload is null rather than empty: a *tombstone*, which deletes its key in a compacted Kafka topic. Other
    /// brokers carry the mark in a header. Defaults to `false`.
    fn is_tombstone(&self) -> bool {
        false
    }

    /// Returns the key, which may be empty, or `None` if the sender set none. Defaults to `None`.
    fn key(&self) -> Option<&[u8]> {
        None
    }

    /// Returns the text or bytes of the first header (attribute, property) with this name; `None` if there is none or its value is
    /// null. Defaults to `None`.
    fn header(&self, name: &str) -> Option<&[u8]> {
        let _ = name;
        None
    }

    /// Calls `visit` with every header, null values included, in the order of the message if it has one. Copies names and values;
    /// [`header`](Self::header) does not. Defaults to no headers.
    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        let _ = visit;
    }

    /// Returns the time at which the message was sent, according to the sender or the broker. Defaults to `None`.
    fn time(&self) -> Option<SystemTime> {
        None
    }

    /// Returns how often the broker has delivered this message, this delivery included, as far as it counts: 1 for the first. Attempts
    /// of a program that was restarted in between thus count as well. Defaults to `None`, for brokers that do not count.
    fn deliveries(&self) -> Option<u32> {
        None
    }

    /// Returns the coordinates of the record for logs and dead letters, such as `orders[3]@88127`. Empty by default.
    fn id(&self) -> String {
        String::new()
    }
}

/// The acknowledgement options of a source that has none. This type has no values.
#[derive(Debug, Clone, Copy)]
pub enum NoAckOptions {}

/// Logs, once in a process, that acknowledgement options are ignored.
pub(crate) fn warn_of_ignored_options(expected: &str) {
    static WARNED: std::sync::Once = std::sync::Once::new();
    WARNED.call_once(|| {
        #[cfg(feature = "tracing")]
        ::tracing::warn!(
            target: "broadway",
            expected,
            "acknowledgement options given to `configure_ack` are ignored: the source expects another type; set them before `map`, or \
             map to an item whose `AckOptions` are the options of the source"
        );
        let _ = expected;
    });
}
