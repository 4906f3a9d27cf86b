//! What flows: [`Message`], and [`Record`], the trait that every connector's item implements.

use std::{any::Any, fmt, time::SystemTime};

use crate::{ack_now::AckNow, error::BoxError, header::Header};

/// One message on its way through a pipeline: the source's item and what belongs to its delivery.
///
/// Handlers borrow messages; they can neither lose nor duplicate one. The original item stays with the message until
/// it is settled, so that failures can still look at it.
pub struct Message<T> {
    data: T,
    ack_options: AckOptions,
}

/// What was set with `configure_ack`. Boxed twice, to be one pointer in every message and cost only who uses it.
pub(crate) type AckOptions = Option<Box<Box<dyn Any + Send>>>;

impl<T> Message<T> {
    pub(crate) fn new(data: T) -> Self {
        Self {
            data,
            ack_options: None,
        }
    }

    /// The source's item.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// The source's item, to be changed in place: what `prepare_messages` adds, `handle_message` sees.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.data
    }

    /// Acknowledges this message now, before it is handled: for work that must rather be lost than repeated.
    ///
    /// The message still runs through the rest of the pipeline; when it ends, or fails, nothing more is said to the
    /// source. Acknowledging twice does nothing.
    ///
    /// # Errors
    ///
    /// What the source's acknowledger said; the message counts as settled all the same.
    ///
    /// Awaited elsewhere than in the callback that was given this message (which the borrow makes hard to do), it never
    /// completes.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, the acknowledgement may or may not have been made.
    pub fn ack_now(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send + use<'_, T> {
        AckNow::message()
    }

    /// Sets how this one message is to be acknowledged, in the words of its connector: what to do when it
    /// fails, for instance. Overrides the options of the source; the last call wins.
    pub fn configure_ack(&mut self, options: T::AckOptions)
    where
        T: Record,
    {
        self.ack_options = Some(Box::new(Box::new(options)));
    }

    pub(crate) fn has_ack_options(&self) -> bool {
        self.ack_options.is_some()
    }

    pub(crate) fn take_ack_options(&mut self) -> AckOptions {
        self.ack_options.take()
    }
}

impl<T: fmt::Debug> fmt::Debug for Message<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

/// What the records of all connectors have in common, so that a handler written over `R: Record` moves between
/// brokers unchanged, and a dead letter can carry the original bytes.
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
    note = "only what a connector delivers has acknowledgement options, a payload and headers",
    note = "`DeadLetters` and `by_record_key` need records; implement `broadway::Record` for an item of your own"
)]
pub trait Record: Send + 'static {
    /// What [`Message::configure_ack`] takes. [`NoAckOptions`] where there is nothing to choose.
    type AckOptions: Send + 'static;

    /// The bytes that the sender sent. Empty for a [tombstone](Self::is_tombstone).
    fn payload(&self) -> &[u8];

    /// Whether there is no payload at all, which is not the same as an empty one: a *tombstone* of Kafka, which deletes its key in
    /// a compacted topic, also where it came by way of another broker. Defaults to `false`.
    fn is_tombstone(&self) -> bool {
        false
    }

    /// The key that the sender gave, which may be empty. `None` where it gave none.
    fn key(&self) -> Option<&[u8]> {
        None
    }

    /// The text or bytes of the first header (attribute, property) of this name; `None` for a null value.
    fn header(&self, name: &str) -> Option<&[u8]> {
        let _ = name;
        None
    }

    /// Calls `visit` with every header, null values among them, in the order of the message where it has one. Copies names and
    /// values; [`header`](Self::header) does not.
    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        let _ = visit;
    }

    /// When the sender or the broker says it was sent.
    fn time(&self) -> Option<SystemTime> {
        None
    }

    /// Where it is from, for logs and dead letters: `orders[3]@88127`.
    fn id(&self) -> String {
        String::new()
    }
}

/// The options of an acknowledger that has none: there is no value of this type.
#[derive(Debug, Clone, Copy)]
pub enum NoAckOptions {}
