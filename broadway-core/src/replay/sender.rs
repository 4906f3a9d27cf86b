//! [`Replay`]: how the messages of dead letters are sent.

use std::{fmt, sync::Mutex};

use super::{
    error::ReplayError,
    handler::{ReplayHandler, Sending, To},
    options::ReadOptions,
    report::ReplayReport,
    run::{checked, run},
    session::Session,
};
use crate::{
    dead_letter::DeadLetterInfo,
    engine::clock,
    error::Problem,
    message::Record,
    publisher::Publisher,
    rate_limit::RateLimit,
    source::{Source, SourceProducer},
};

/// Sends the messages of dead letters; made by [`DeadLetterQueue::replay`](super::DeadLetterQueue::replay).
///
/// See the [module](super) for what it promises.
#[must_use = "nothing is sent until `run`"]
pub struct Replay<S, R, P> {
    source: S,
    options: ReadOptions<R>,
    publisher: P,
    to: To,
    rate: Option<RateLimit>,
    keeps_time: bool,
    is_dry: bool,
}

impl<S, R, P> Replay<S, R, P>
where
    S: Source<Producer: SourceProducer<Item = R>>,
    R: Record,
    P: Publisher,
{
    pub(super) fn new(source: S, options: ReadOptions<R>, publisher: P) -> Self {
        Self {
            source,
            options,
            publisher,
            to: Box::new(|info| info.origin_topic().map(str::to_owned)),
            rate: None,
            keeps_time: false,
            is_dry: false,
        }
    }

    /// Sets the destination of each message; `None` is the publisher's own.
    ///
    /// Defaults to the topic that the record came from, if that was a topic of Kafka, and to the publisher's own otherwise: other
    /// brokers' coordinates do not name an address. For RabbitMQ's default exchange, where the routing key is the name of a queue, choose
    /// `|letter| letter.origin_name().map(str::to_owned)`.
    pub fn to(
        mut self,
        destination: impl Fn(&DeadLetterInfo) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.to = Box::new(destination);
        self
    }

    /// Limits how many messages are sent. Dead letters that do not match do not count. Defaults to no limit.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate = Some(limit);
        self
    }

    /// Sends the messages with the times of the records that failed. By default, the broker dates them when they arrive, since retention
    /// could delete old ones at once.
    pub fn keep_times(mut self) -> Self {
        self.keeps_time = true;
        self
    }

    /// Sends nothing and settles nothing: the report counts what a replay would send.
    pub fn dry_run(mut self) -> Self {
        self.is_dry = true;
        self
    }

    /// Runs the replay to its end. A message that is not confirmed is sent up to five times within about three seconds, besides the
    /// publisher's own retries; then the replay ends, since the next would fail as well. A message that is refused fails alone.
    ///
    /// The publisher is neither flushed nor closed.
    ///
    /// # Errors
    ///
    /// Fails if options are invalid, if the source cannot be opened, or if it fails for good. The report counts messages that
    /// fail, which are not an error.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, messages that were read are sent, and other dead letters given back, in the background.
    pub async fn run(self) -> Result<ReplayReport, ReplayError> {
        let Self {
            source,
            mut options,
            publisher,
            to,
            rate,
            keeps_time,
            is_dry,
        } = self;
        let mut problems = options.problems();
        if let Some(rate) = rate {
            let of_rate = rate.problems().into_iter();
            problems.extend(of_rate.map(|(option, message)| Problem::new(option, message)));
        }
        checked(problems)?;
        let rate = rate.and_then(|rate| rate.machine(clock::now()).ok());
        let sending = Sending {
            publisher,
            to,
            keeps_time,
            rate: rate.map(Mutex::new),
        };
        let handler = ReplayHandler {
            session: Session::new(options.progress.take()),
            options,
            on_match: Box::new(|_, _| {}),
            sending: (!is_dry).then_some(sending),
        };
        run(source, handler).await
    }
}

impl<S: fmt::Debug, R, P> fmt::Debug for Replay<S, R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("source", &self.source)
            .field("options", &self.options)
            .field("rate", &self.rate)
            .field("is_dry", &self.is_dry)
            .finish_non_exhaustive()
    }
}
