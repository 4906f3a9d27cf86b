//! Where messages come from: a [`Source`] opens [`SourceProducer`]s, which deliver messages on demand.
//!
//! Connectors implement these two traits and [`Acknowledger`]. [`from_iter`], [`from_stream`] and [`idle`] make sources for tests,
//! tools and files; the [`Output`](crate::stage::Output) of a stage is a source; [`SourceExt`] adapts sources.

mod adapt;
mod boxed;
mod idle;
mod iter;
mod numbered;
mod split;
mod stage;
mod stream;

use std::{num::NonZeroUsize, sync::Arc};

pub use adapt::{MapProducer, MapSource, SourceExt};
pub use boxed::{BoxAcknowledger, BoxProducer, BoxSource, BoxToken};
pub use idle::{Idle, IdleProducer, idle};
pub use iter::{IterProducer, IterSource, from_iter};
pub use numbered::NumberedAcknowledger;
pub use split::{PartToken, SplitAcknowledger, SplitProducer, SplitSource};
pub use stage::StageProducer;
pub use stream::{StreamProducer, StreamSource, from_stream};

use crate::{
    ack::Acknowledger,
    error::{BoxError, Problem},
    telemetry::{Emitter, MessageInfo},
};

/// The token type of a producer's acknowledger.
pub type TokenOf<P> = <<P as SourceProducer>::Acknowledger as Acknowledger>::Token;

/// The acknowledger of a source's producers.
pub(crate) type AcknowledgerOf<S> = <<S as Source>::Producer as SourceProducer>::Acknowledger;

/// The token type of a source's acknowledger.
pub(crate) type TokenOfSource<S> = <AcknowledgerOf<S> as Acknowledger>::Token;

/// The item type of a source.
pub type ItemOf<S> = <<S as Source>::Producer as SourceProducer>::Item;

/// The configuration of a source, which opens producers. Each [`SourceProducer`] is a connection.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source",
    label = "a pipeline reads from a source",
    note = "use a connector's source, or `broadway::source::from_iter` for data at hand"
)]
pub trait Source: Send + Sync + 'static {
    /// The producer that it opens.
    type Producer: SourceProducer;

    /// Validates the options without connecting. [`StartError::Invalid`] lists the problems together with the problems of the pipeline.
    /// Returns none by default.
    ///
    /// [`StartError::Invalid`]: crate::StartError::Invalid
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// Opens one producer: connects, checks that it can work, and returns once no message that is published from then on will be
    /// missed. Called once for each producer at start, and again for each that failed.
    ///
    /// # Errors
    ///
    /// At start, an error makes [`Pipeline::start`](crate::Pipeline::start) fail; later it counts as a failed restart. The text names
    /// the option at fault and the remedy, and contains no secret.
    fn open(
        &self,
        cx: &OpenContext,
    ) -> impl Future<Output = Result<Self::Producer, BoxError>> + Send;
}

/// The argument of [`Source::open`]: the pipeline, and which of its producers to open.
#[derive(Debug, Clone)]
pub struct OpenContext {
    pub(crate) pipeline: Arc<str>,
    pub(crate) producer: usize,
    pub(crate) producers: usize,
    pub(crate) in_flight_max: usize,
    pub(crate) batch_size_max: usize,
    pub(crate) retry_attempts: Option<u32>,
    pub(crate) holds_messages: bool,
    pub(crate) emitter: Emitter,
}

impl OpenContext {
    /// Creates a context for tests of a connector without a pipeline: pipeline `"test"`, one producer, no batchers, no
    /// retries, no observer.
    #[must_use]
    pub fn for_test() -> Self {
        Self {
            pipeline: Arc::from("test"),
            producer: 0,
            producers: 1,
            in_flight_max: 1_000,
            batch_size_max: 0,
            retry_attempts: None,
            holds_messages: false,
            emitter: Emitter::silent("test"),
        }
    }

    /// Creates a context for a program that reads a source without a pipeline: this name, one producer, no batchers, no retries, no observer.
    #[must_use]
    pub fn standalone(name: &str) -> Self {
        Self {
            pipeline: Arc::from(name),
            emitter: Emitter::silent(name),
            ..Self::for_test()
        }
    }

    /// Declares that the reader [holds messages](Self::holds_messages).
    #[must_use]
    pub fn holding_messages(mut self) -> Self {
        self.holds_messages = true;
        self
    }

    /// Sets the emitter.
    #[must_use]
    pub fn with_emitter(mut self, emitter: Emitter) -> Self {
        self.emitter = emitter;
        self
    }

    /// Sets the number of producers.
    #[must_use]
    pub fn with_producers(mut self, producers: usize) -> Self {
        self.producers = producers;
        self
    }

    /// Sets [`in_flight_max`](Self::in_flight_max).
    #[must_use]
    pub fn with_in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// Sets [`batch_size_max`](Self::batch_size_max).
    #[must_use]
    pub fn with_batch_size_max(mut self, size: usize) -> Self {
        self.batch_size_max = size;
        self
    }

    /// Sets [`retry_attempts`](Self::retry_attempts).
    #[must_use]
    pub fn with_retry_attempts(mut self, attempts: Option<u32>) -> Self {
        self.retry_attempts = attempts;
        self
    }

    /// Whether the reader holds messages while it takes later ones, as a flow does until a window fires. It handles all messages in the
    /// order of their delivery. A source must not let one message wait until another one is settled then.
    #[must_use]
    pub fn holds_messages(&self) -> bool {
        self.holds_messages
    }

    /// Returns the name of the pipeline.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Returns the index of the producer to open, from 0.
    #[must_use]
    pub fn producer(&self) -> usize {
        self.producer
    }

    /// Returns the number of producers of the pipeline.
    #[must_use]
    pub fn producers(&self) -> usize {
        self.producers
    }

    /// Returns the most messages that processors hold or have waiting at any time, without those in batches: a hint for how much to
    /// prefetch.
    #[must_use]
    pub fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    /// Returns the largest [`Batching`](crate::Batching) size of the pipeline's batchers; 0 without batchers.
    ///
    /// A source that has fewer messages than this in flight never fills such a batch: each batch waits for its timeout.
    #[must_use]
    pub fn batch_size_max(&self) -> usize {
        self.batch_size_max
    }

    /// Returns how often the pipeline, or one of its batchers, handles a failed message at most, by its
    /// [`Retry::attempts`](crate::Retry::attempts); `None` if it retries nothing.
    ///
    /// A source compares it with the broker's own limit: see [`DeliveryLimit`](crate::connector::DeliveryLimit).
    #[must_use]
    pub fn retry_attempts(&self) -> Option<u32> {
        self.retry_attempts
    }

    /// Returns the emitter, through which the source reports its events.
    #[must_use]
    pub fn emitter(&self) -> &Emitter {
        &self.emitter
    }
}

/// A message as a producer delivers it.
#[derive(Debug)]
pub struct Delivery<T, K> {
    /// The item, which the handler receives.
    pub item: T,
    /// The token, which returns to the acknowledger once.
    pub token: K,
}

impl<T, K> Delivery<T, K> {
    /// Creates a delivery from an item and its token.
    pub const fn new(item: T, token: K) -> Self {
        Self { item, token }
    }
}

/// Whether a producer may deliver more messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Produced {
    /// There may be more messages.
    More,
    /// The producer is exhausted: `out` has its last messages. When all producers are exhausted, the topology drains and ends.
    End,
}

/// A connection that delivers messages on demand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a producer",
    label = "a source opens producers",
    note = "implement `broadway::source::SourceProducer` for it"
)]
pub trait SourceProducer: Send + 'static {
    /// The item of each message.
    type Item: Send + 'static;
    /// Receives the outcomes of the messages.
    type Acknowledger: Acknowledger;

    /// Returns the acknowledger of this producer's messages. Called once, after the producer was opened.
    fn acknowledger(&self) -> Arc<Self::Acknowledger>;

    /// Appends at least one and at most `demand` messages to `out`. Waits while there are none, but not for more once there is one.
    ///
    /// It may append none together with [`Produced::End`]. Otherwise an empty result makes the pipeline call again after a pause: 1 ms,
    /// doubled with each empty result in a row, up to 100 ms. At 100 ms it reports an [`Event::SourceError`], once for each opening
    /// of the source. A message ends the pauses.
    ///
    /// While a producer has messages at once, processors call this themselves: they poll the future once, and drop it if it is pending.
    /// The producer's own task then calls it again and waits. So return messages that are there on the first poll, do not begin work
    /// that a dropped call would repeat, do not rely on task-local values, and do not block the thread: that blocks the processor. If a
    /// call takes longer than 20 microseconds (every eighth is timed), only the producer's own task makes the next ones.
    ///
    /// [`Event::SourceError`]: crate::telemetry::Event::SourceError
    ///
    /// # Errors
    ///
    /// After an error or a panic the producer is dropped, and opened again after a pause. Messages in `out` count as delivered.
    ///
    /// # Cancel safety
    ///
    /// Must be cancel safe: the pipeline drops the future to stop or to pause, and when a processor found it pending. Messages in `out`
    /// count as delivered; no other message may be lost.
    fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<Self::Item, TokenOf<Self>>>,
    ) -> impl Future<Output = Result<Produced, BoxError>> + Send;

    /// Describes an item for logs. Connectors return [`MessageInfo::of_record`], with the [attempt](MessageInfo::attempt) if the
    /// broker counts deliveries. Never its payload.
    ///
    /// Called only for messages that a log names, a few per second. Empty by default; [`Acknowledger::describe`] fills in missing
    /// parts.
    #[must_use]
    fn describe(item: &Self::Item) -> MessageInfo {
        let _ = item;
        MessageInfo::default()
    }

    /// Describes an item by way of its acknowledger, which alone knows the producer's type if that is erased.
    #[doc(hidden)]
    #[must_use]
    fn describe_delivered(acknowledger: &Self::Acknowledger, item: &Self::Item) -> MessageInfo {
        let _ = acknowledger;
        Self::describe(item)
    }

    /// Stops fetching, and returns messages that were fetched but not delivered. Called when the topology begins to drain. Messages in
    /// flight are still settled; those that no handler has begun are released after this has returned, if the source
    /// [delivers them again](Acknowledger::redelivers). Does nothing by default.
    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Returns whether the producer holds messages, after [`stop`](Self::stop), that must still be handled since its source does not deliver
    /// them again. As long as it returns `true`, the pipeline calls [`produce`](Self::produce), which must not fetch more then. Defaults
    /// to `false`. An adaptor returns the answer of the producer that it wraps.
    #[must_use]
    fn has_rest(&self) -> bool {
        false
    }

    /// Flushes acknowledgements, commits, and disconnects. The last call: every delivered message is settled, or the deadline has
    /// passed.
    ///
    /// # Errors
    ///
    /// Fails if acknowledgements could not be confirmed. The topology then ends with [`RunError::Close`](crate::RunError::Close).
    fn close(self) -> impl Future<Output = Result<(), BoxError>> + Send
    where
        Self: Sized,
    {
        async { Ok(()) }
    }
}
