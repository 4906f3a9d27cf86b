//! A handler that sends failed messages to a publisher.

mod held;

use std::{fmt, iter};

use self::held::{HeldLetters, Waiting};
use super::{Failed, Handler, Next};
use crate::{
    batch::Batch,
    chunk::Chunk,
    dead_letter::DeadLetter,
    deadline::Deadline,
    engine::{clock, spawn},
    error::{BoxError, Problem},
    failure::FailureAction,
    machine::restart::{Restart, RestartDecision, RestartPolicy},
    message::{Message, Record},
    publish_error::PublishError,
    publisher::{Outgoing, Publisher},
    running::RunningPipeline,
};

/// A handler around another, which sends failed messages to a publisher as [dead letters](crate::dead_letter).
///
/// [`Pipeline::dead_letters`](crate::Pipeline::dead_letters) puts it around the handler of a pipeline.
///
/// A message whose dead letter was confirmed is [resolved](Failed::resolve): it is reported to its source as done, and never before. The
/// inner handler's `handle_failed` is called first. Messages that it resolves are not sent, and neither are those with another
/// [action](Failed::action) than [`FailureAction::DeadLetter`].
///
/// # While dead letters are not confirmed
///
/// A dead letter that is *not confirmed* (the broker is down, a response was lost) is sent again after a pause, by default without
/// limit: see [`retry`](Self::retry). It may arrive twice, with the same [id](crate::dead_letter::headers::ID). Meanwhile its processor
/// or batch processor waits. If the second attempt fails too, the sources of the pipeline are
/// [paused](RunningPipeline::pause) until all dead letters of that call are confirmed, so that no more than the messages in flight are
/// held. No message is lost, and a drain that times out leaves the message unsettled. Each pause is reported as
/// [`Event::DeadLettersHeld`](crate::telemetry::Event::DeadLettersHeld), which the pipeline logs as a warning.
///
/// A dead letter that is *refused* (too large, no such topic, no permission) leaves its message failed, and the source handles the
/// failure by its options. The same holds if the publisher is closed or `retry` gives up. Each case is reported as
/// [`Event::DeadLetterRefused`](crate::telemetry::Event::DeadLetterRefused) and logged as an error, and the message's [reason](Failed::reason) names it.
///
/// A layer that several pipelines share pauses all of them, and reports to the one that started last.
///
/// ```
/// use broadway_core::{DeadLetters, Handler, Pipeline, Publisher, Record, Source};
///
/// fn with_dead_letters<S, H, P>(source: S, handler: H, publisher: P) -> Pipeline<S, DeadLetters<H, P>>
/// where
///     S: Source,
///     S::Producer: broadway_core::SourceProducer<Item = H::In>,
///     H: Handler<In: Record, Out: Sync>,
///     P: Publisher,
/// {
///     Pipeline::new(source, DeadLetters::of(handler, publisher))
/// }
/// ```
#[must_use = "a handler does nothing until a pipeline has it"]
pub struct DeadLetters<H, P> {
    inner: H,
    publisher: P,
    to: Option<String>,
    retry: RestartPolicy,
    held: HeldLetters,
}

impl<H, P> DeadLetters<H, P> {
    /// Sends the failed messages of `inner` to `publisher`. The source must deliver [`Record`]s: a dead letter is a copy of one.
    pub fn of(inner: H, publisher: P) -> Self
    where
        H: Handler<In: Record>,
        P: Publisher,
    {
        Self {
            inner,
            publisher,
            to: None,
            retry: RestartPolicy::default(),
            held: HeldLetters::default(),
        }
    }

    /// Sets the [destination](Outgoing::to) of dead letters. Defaults to the publisher's.
    pub fn to(mut self, destination: impl Into<String>) -> Self {
        self.to = Some(destination.into());
        self
    }

    /// Sets when dead letters that are not confirmed are sent again. Defaults to [`RestartPolicy::default`]: after 200 ms, doubling
    /// up to 30 s, without limit. If an intensity is exceeded, the messages stay failed.
    pub fn retry(mut self, policy: RestartPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Returns the inner handler.
    pub fn inner(&self) -> &H {
        &self.inner
    }

    /// `pipeline` is the name of the pipeline.
    fn letter<R: Record, O>(&self, failed: &Failed<R, O>, pipeline: Option<&str>) -> Outgoing {
        let mut letter = DeadLetter::new(failed.reason()).attempts(failed.attempts());
        if let Some(name) = pipeline {
            letter = letter.pipeline(name);
        }
        let letter = letter.of(failed.message().data());
        match &self.to {
            Some(to) => letter.to(to),
            None => letter,
        }
    }
}

/// A failed message, and its dead letter: made once, so that it has the same id and time however often it is sent.
type Unconfirmed<'a, R, O> = (&'a mut Failed<R, O>, Outgoing);

impl<H: Handler<In: Record>, P: Publisher> DeadLetters<H, P> {
    /// Sends the letters once. Resolves the messages whose letters were confirmed, gives up those that were refused, and returns the
    /// others with the first error.
    async fn send<'a>(
        &self,
        waiting: &mut Waiting<'_>,
        letters: Vec<Unconfirmed<'a, H::In, H::Out>>,
    ) -> (Vec<Unconfirmed<'a, H::In, H::Out>>, Option<PublishError>) {
        let copies = letters.iter().map(|(_, letter)| letter.clone()).collect();
        let results = self.publisher.publish(copies).await;
        let missing = iter::repeat_with(|| Err(PublishError::no_result()));
        let (mut sent, mut left, mut first) = (0, Vec::new(), None);
        for ((failed, letter), result) in
            letters.into_iter().zip(results.into_iter().chain(missing))
        {
            match result {
                Ok(()) => {
                    failed.resolve();
                    sent += 1;
                }
                Err(error) if error.is_retryable() => {
                    left.push((failed, letter));
                    first.get_or_insert(error);
                }
                // Refused: sending it again does not help.
                Err(error) => give_up(waiting, failed, &error),
            }
        }
        waiting.sent(sent, left.len());
        (left, first)
    }
}

/// Leaves the message failed, and adds the publisher's error to its reason.
fn give_up<R: Record, O>(
    waiting: &mut Waiting<'_>,
    failed: &mut Failed<R, O>,
    error: &PublishError,
) {
    waiting.refused(&failed.message().data().id(), failed.reason(), error);
    failed.reason = failed
        .reason
        .and(&format!("its dead letter cannot be sent: {error}"));
}

impl<H, P> fmt::Debug for DeadLetters<H, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<H, P> Handler for DeadLetters<H, P>
where
    H: Handler<In: Record>,
    P: Publisher,
{
    type In = H::In;
    type Out = H::Out;
    type Batcher = H::Batcher;

    fn check(&self) -> Vec<Problem> {
        self.inner.check()
    }

    fn prepare_messages(
        &self,
        chunk: &mut Chunk<'_, H::In>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.inner.prepare_messages(chunk)
    }

    fn handle_message(
        &self,
        message: &mut Message<H::In>,
    ) -> impl Future<Output = Result<Next<H::Out, H::Batcher>, BoxError>> + Send {
        self.inner.handle_message(message)
    }

    fn handle_batch(
        &self,
        batcher: H::Batcher,
        batch: &mut Batch<H::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.inner.handle_batch(batcher, batch)
    }

    fn handle_done(&self, done: &mut Chunk<'_, H::In>) -> impl Future<Output = ()> + Send {
        self.inner.handle_done(done)
    }

    fn on_start(&self, pipeline: &RunningPipeline) {
        self.held.started(pipeline);
        self.inner.on_start(pipeline);
    }

    async fn handle_failed(&self, failed: &mut [Failed<H::In, H::Out>]) {
        self.inner.handle_failed(failed).await;
        let pipeline = self.held.pipeline();
        let pipeline = pipeline.as_ref().map(RunningPipeline::name);
        let unresolved = failed
            .iter_mut()
            .filter(|failed| !failed.is_resolved() && failed.action() == FailureAction::DeadLetter);
        let mut left: Vec<_> = unresolved
            .map(|failed| {
                let letter = self.letter(failed, pipeline);
                (failed, letter)
            })
            .collect();
        let mut waiting = Waiting::new(&self.held);
        let mut restart = Restart::new(self.retry.clone());
        while !left.is_empty() {
            let (unconfirmed, error) = self.send(&mut waiting, left).await;
            left = unconfirmed;
            let Some(error) = error else { return };
            let RestartDecision::After(pause) = restart.failed(clock::now(), spawn::jitter())
            else {
                for (failed, _) in left {
                    give_up(&mut waiting, failed, &error);
                }
                return;
            };
            waiting.hold(left.len(), pause, &error);
            Deadline::after(pause).reached().await;
        }
    }
}
