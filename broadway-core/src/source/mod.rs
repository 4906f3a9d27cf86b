//! Where messages come from: a [`Source`] opens [`SourceProducer`]s, and a producer delivers what is asked for.
//!
//! Connectors implement these two traits and [`Acknowledger`]. For tests, tools and files there are
//! ready ones: [`from_iter`], [`from_stream`], [`idle`]; the [`Output`](crate::stage::Output) of a stage is one; and
//! [`SourceExt`] changes what a source delivers.

mod adapt;
mod boxed;
mod idle;
mod iter;
mod numbered;
mod stage;
mod stream;

use std::{num::NonZeroUsize, sync::Arc};

pub use adapt::{MapProducer, MapSource, SourceExt};
pub use boxed::{BoxAcknowledger, BoxProducer, BoxSource, BoxToken};
pub use idle::{Idle, IdleProducer, idle};
pub use iter::{IterProducer, IterSource, from_iter};
pub use numbered::NumberedAcknowledger;
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

/// The item type that a source delivers.
pub type ItemOf<S> = <<S as Source>::Producer as SourceProducer>::Item;

/// Opens producers. It is the configuration; the connection is the [`SourceProducer`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source",
    label = "a pipeline reads from a source",
    note = "use a connector's source, or `broadway::source::from_iter` for data at hand"
)]
pub trait Source: Send + Sync + 'static {
    /// What it opens.
    type Producer: SourceProducer;

    /// What can be told of the options to be wrong without connecting anywhere; listed by [`StartError::Invalid`]
    /// together with the problems of the pipeline's own options. Nothing, by default.
    ///
    /// [`StartError::Invalid`]: crate::StartError::Invalid
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// Opens one producer: connect, check that it can work, and return only when messages published from now on will
    /// not be missed. Called once for each producer at start, and again for each that failed.
    ///
    /// # Errors
    ///
    /// At start they make [`Pipeline::start`](crate::Pipeline::start) fail; later they count as a failed restart. Say which
    /// option is to blame and what to do, and never put a secret into the text.
    fn open(
        &self,
        cx: &OpenContext,
    ) -> impl Future<Output = Result<Self::Producer, BoxError>> + Send;
}

/// What [`Source::open`] is told.
#[derive(Debug, Clone)]
pub struct OpenContext {
    pub(crate) pipeline: Arc<str>,
    pub(crate) producer: usize,
    pub(crate) producers: usize,
    pub(crate) in_flight_max: usize,
    pub(crate) batch_size_max: usize,
    pub(crate) emitter: Emitter,
}

impl OpenContext {
    /// A context for tests of a connector by itself: pipeline `"test"`, one producer, no batchers, no observer.
    #[must_use]
    pub fn for_test() -> Self {
        Self {
            pipeline: Arc::from("test"),
            producer: 0,
            producers: 1,
            in_flight_max: 1_000,
            batch_size_max: 0,
            emitter: Emitter::silent("test"),
        }
    }

    /// The same context with another observer.
    #[must_use]
    pub fn with_emitter(mut self, emitter: Emitter) -> Self {
        self.emitter = emitter;
        self
    }

    /// The same context of a pipeline with so many producers.
    #[must_use]
    pub fn with_producers(mut self, producers: usize) -> Self {
        self.producers = producers;
        self
    }

    /// The same context of a pipeline whose processors hold `messages` at most.
    #[must_use]
    pub fn with_in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// The same context of a pipeline whose largest batches hold `size` messages.
    #[must_use]
    pub fn with_batch_size_max(mut self, size: usize) -> Self {
        self.batch_size_max = size;
        self
    }

    /// The name of the pipeline.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Which producer is opened, counted from 0.
    #[must_use]
    pub fn producer(&self) -> usize {
        self.producer
    }

    /// How many producers the pipeline has.
    #[must_use]
    pub fn producers(&self) -> usize {
        self.producers
    }

    /// The most messages that processors hold or have waiting at any time, batches apart: a hint for how much to
    /// fetch ahead.
    #[must_use]
    pub fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    /// The largest [`Batching`](crate::Batching) size of the pipeline's batchers; 0 without batchers.
    ///
    /// A source that delivers no more than so many messages before the first of them are settled never fills such a batch:
    /// each waits for its timeout.
    #[must_use]
    pub fn batch_size_max(&self) -> usize {
        self.batch_size_max
    }

    /// Where the connector tells what happens to it.
    #[must_use]
    pub fn emitter(&self) -> &Emitter {
        &self.emitter
    }
}

/// One message as a producer delivers it.
#[derive(Debug)]
pub struct Delivery<T, K> {
    /// What the handler sees.
    pub item: T,
    /// What the acknowledger gets back, once.
    pub token: K,
}

impl<T, K> Delivery<T, K> {
    /// An item and its token.
    pub const fn new(item: T, token: K) -> Self {
        Self { item, token }
    }
}

/// What [`SourceProducer::produce`] says about the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Produced {
    /// There may be more.
    More,
    /// Exhausted: what is in `out` is the last. When all producers are, the topology drains and ends.
    End,
}

/// A connection that delivers messages on demand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a producer",
    label = "a source opens producers",
    note = "implement `broadway::source::SourceProducer` for it"
)]
pub trait SourceProducer: Send + 'static {
    /// What it delivers.
    type Item: Send + 'static;
    /// Who learns how deliveries ended.
    type Acknowledger: Acknowledger;

    /// The acknowledger of this producer's deliveries. Asked once, right after it was opened.
    fn acknowledger(&self) -> Arc<Self::Acknowledger>;

    /// Appends at least one and at most `demand` messages; waits if there is nothing, and doesn't wait for more than there
    /// is. May append nothing only together with [`Produced::End`], or to be asked again: after a pause of 1 ms, which doubles with
    /// each such answer in a row, up to 100 ms, where it is told as [`Event::SourceTrouble`], once each time the source was opened.
    /// A message ends the pauses.
    ///
    /// [`Event::SourceTrouble`]: crate::telemetry::Event::SourceTrouble
    ///
    /// It may be polled by the task of a processor that has just made room, as well as by a task of its own: task-local values
    /// are no one's in particular, and what blocks its thread holds up that processor.
    ///
    /// # Errors
    ///
    /// The producer is dropped and opened again after a pause; what is already in `out` counts as delivered.
    ///
    /// # Cancel safety
    ///
    /// Must be cancel safe: the engine drops this future to stop or pause. What is already in `out` counts as delivered,
    /// and nothing else may be lost.
    fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<Self::Item, TokenOf<Self>>>,
    ) -> impl Future<Output = Result<Produced, BoxError>> + Send;

    /// What logs say of this item: a connector returns [`MessageInfo::of_record`], with the
    /// [attempt](MessageInfo::attempt) where the broker counts deliveries. Never its payload.
    ///
    /// Called only for messages that are named in a log, a few in a second. Defaults to nothing; what is missing is taken from
    /// [`Acknowledger::describe`].
    #[must_use]
    fn describe(item: &Self::Item) -> MessageInfo {
        let _ = item;
        MessageInfo::default()
    }

    /// Describes an item whose acknowledger is at hand. For producers whose type is erased: only their acknowledger knows it.
    #[doc(hidden)]
    #[must_use]
    fn describe_delivered(acknowledger: &Self::Acknowledger, item: &Self::Item) -> MessageInfo {
        let _ = acknowledger;
        Self::describe(item)
    }

    /// Draining begins: stop fetching and hand back what was never delivered. What is in flight still settles; what no handler has
    /// begun is released only after this has returned, where the source [delivers it again](Acknowledger::redelivers).
    fn stop(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// All that was delivered is settled, or the deadline passed: flush acknowledgements, commit, leave. The last call.
    ///
    /// # Errors
    ///
    /// What could not be confirmed; the topology ends with [`RunError::Close`](crate::RunError::Close).
    fn close(self) -> impl Future<Output = Result<(), BoxError>> + Send
    where
        Self: Sized,
    {
        async { Ok(()) }
    }
}
