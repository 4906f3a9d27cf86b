//! A batch of which some messages failed: which of them are done, which fail for good, and which are handled again.

use std::{collections::HashSet, num::NonZeroU64, time::Duration};

use super::{
    super::{
        failures::{self, FailedMessage},
        tracked::TrackedMessage,
    },
    BatchProcessorLoop,
};
use crate::{
    ack::Outcome,
    batcher_key::BatcherKey,
    caught::{self, Discarding, Panicked, guarded},
    error::{Callback, Reason},
    failure::Verdict,
    handler::Handler,
    source::{Source, SourceProducer, TokenOfSource},
    telemetry::{AffectedMessages, Event},
};

/// Added to the reason of messages that would be retried.
const DATA_TAKEN: &str = "not retried, because `handle_batch` took the data out of the batch: read it with `data` or `rows` instead";

/// The messages of a batch that ended in different ways. Those that failed for good are elsewhere.
pub(super) struct Divided<T, O, K> {
    pub(super) done: Discarding<TrackedMessage<T, K>>,
    pub(super) retry: BatchRetry<T, O, K>,
    /// The keys of messages that are to be handled again. Later messages of these keys are handled again behind them, although they
    /// succeeded: otherwise the last write of a key would be an earlier one.
    held: HashSet<NonZeroU64>,
    /// How many succeeded and then failed, because the `Drop` of their data panicked.
    pub(super) failed_in_drop: usize,
}

/// The divided batch of a pipeline.
pub(super) type DividedOf<S, H> =
    Divided<<H as Handler>::In, <H as Handler>::Out, TokenOfSource<S>>;

impl<T, O, K> Default for Divided<T, O, K> {
    fn default() -> Self {
        Self {
            done: Discarding::default(),
            retry: BatchRetry::default(),
            held: HashSet::new(),
            failed_in_drop: 0,
        }
    }
}

/// The messages of a batch that are to be handled again.
pub(super) struct BatchRetry<T, O, K> {
    pub(super) data: Discarding<O>,
    pub(super) messages: Discarding<TrackedMessage<T, K>>,
    /// The longest pause of its messages: they are handled together.
    pub(super) pause: Duration,
    /// The first reason.
    reason: Option<Reason>,
    attempt: u32,
}

impl<T, O, K> Default for BatchRetry<T, O, K> {
    fn default() -> Self {
        Self {
            data: Discarding::default(),
            messages: Discarding::default(),
            pause: Duration::ZERO,
            reason: None,
            attempt: 0,
        }
    }
}

impl<T, O, K> BatchRetry<T, O, K> {
    /// Adds a message that succeeded, behind one of its key that did not.
    fn follow(&mut self, tracked: TrackedMessage<T, K>, data: O) {
        self.messages.push(tracked);
        self.data.push(data);
    }

    fn add(
        &mut self,
        tracked: TrackedMessage<T, K>,
        data: O,
        reason: &Reason,
        attempt: u32,
        pause: Duration,
    ) {
        self.messages.push(tracked);
        self.data.push(data);
        self.pause = self.pause.max(pause);
        self.attempt = self.attempt.max(attempt);
        self.reason.get_or_insert_with(|| reason.clone());
    }
}

impl<S, H> BatchProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Divides the messages of a batch that ended in different ways: `rows` failed each for its reason, `whole` fails the others. Those that
    /// failed for good are added to `failures`. Returns those that succeeded, and those that are to be handled again.
    pub(super) fn divide(
        &mut self,
        data: &mut Vec<H::Out>,
        messages: &mut Vec<TrackedMessage<H::In, TokenOfSource<S>>>,
        rows: Vec<(u32, Reason)>,
        whole: Option<&Reason>,
    ) -> DividedOf<S, H> {
        // Without its data a message cannot be handled again.
        let may_retry = data.len() == messages.len();
        let mut divided = Divided::default();
        let mut outputs = data.drain(..);
        let mut rows = rows.into_iter().peekable();
        for (index, tracked) in (0..).zip(messages.drain(..)) {
            let output = outputs.next();
            let row = rows
                .next_if(|(failed, _)| *failed == index)
                .map(|(_, reason)| reason);
            let is_alone = row.is_some() && whole.is_none();
            match row.or_else(|| whole.cloned()) {
                None => self.divide_done(&mut divided, tracked, output),
                Some(reason) => {
                    let output = match output {
                        Some(output) if may_retry => Ok(output),
                        output => Err(output),
                    };
                    self.divide_failed(&mut divided, tracked, output, reason, is_alone);
                }
            }
        }
        if !divided.retry.data.is_empty() {
            self.report_retry(&divided.retry);
        }
        divided
    }

    fn divide_done(
        &mut self,
        divided: &mut DividedOf<S, H>,
        tracked: TrackedMessage<H::In, TokenOfSource<S>>,
        output: Option<H::Out>,
    ) {
        let order = match divided.held.is_empty() {
            true => None,
            false => self.describer.order_of(&tracked.message),
        };
        let is_held = order.is_some_and(|key| divided.held.contains(&key));
        match output {
            Some(output) if is_held => divided.retry.follow(tracked, output),
            output => match guarded(|| drop(output)) {
                Ok(()) => divided.done.push(tracked),
                Err(panicked) => {
                    divided.failed_in_drop += 1;
                    self.fail_in_drop(tracked, panicked);
                }
            },
        }
    }

    /// `output` is `Ok` if the message can be handled again.
    fn divide_failed(
        &mut self,
        divided: &mut DividedOf<S, H>,
        tracked: TrackedMessage<H::In, TokenOfSource<S>>,
        output: Result<H::Out, Option<H::Out>>,
        reason: Reason,
        is_alone: bool,
    ) {
        let mut tracked = tracked;
        failures::add_earlier_attempts(&mut self.acker, &mut tracked);
        let (_, failed_before) = tracked.message.failed_attempts();
        let failed_here = failed_before.saturating_add(1);
        let attempt = failed_here.saturating_add(tracked.message.earlier_attempts());
        let (policy, received_ns) = (&self.batcher.on_failure, tracked.pending.received_ns);
        let verdict = failures::decide(&self.context, policy, &reason, attempt, received_ns);
        let (action, reason, output) = match (verdict, output) {
            (Verdict::Retry(pause) | Verdict::Postpone(pause), Ok(output)) => {
                tracked.message.extras().batch_attempts = failed_here;
                let order = self.describer.order_of(&tracked.message);
                divided.held.extend(order);
                return divided.retry.add(tracked, output, &reason, attempt, pause);
            }
            (Verdict::End(action), output) => {
                (action, reason, output.map_or_else(|output| output, Some))
            }
            (_, Err(output)) => (policy.action, reason.and(DATA_TAKEN), output),
        };
        if attempt > 1 || tracked.message.has_extras() {
            tracked.message.extras().batch_attempts = failed_here;
        }
        // If the whole batch failed, `BatchFailed` reports all of its messages.
        if is_alone {
            let describe = |_| self.describer.describe(&tracked.message, &tracked.pending);
            self.report_failed(&reason, AffectedMessages::new(1, &describe));
        }
        let failure = FailedMessage::new(tracked, output, reason, action);
        self.failures.push(failure);
    }

    fn fail_in_drop(
        &mut self,
        tracked: TrackedMessage<H::In, TokenOfSource<S>>,
        panicked: Panicked,
    ) {
        let TrackedMessage {
            mut message,
            pending,
        } = tracked;
        let reason = panicked.reason(Callback::HandleBatch);
        let describe = |_| self.describer.describe(&message, &pending);
        self.report_failed(&reason, AffectedMessages::new(1, &describe));
        let options = message.take_ack_options();
        self.acker.add(pending, Outcome::Failed(reason), options);
        caught::discard(message);
    }

    fn report_retry(&self, retry: &BatchRetry<H::In, H::Out, TokenOfSource<S>>) {
        let Some(reason) = &retry.reason else {
            return;
        };
        let describe = |index: usize| {
            let TrackedMessage { message, pending } = &retry.messages[index];
            self.describer.describe(message, pending)
        };
        self.context.emitter.emit(&Event::RetryScheduled {
            batcher: Some(self.batcher.key.name()),
            worker: self.worker,
            count: retry.data.len(),
            attempt: retry.attempt,
            pause: retry.pause,
            reason,
            affected: AffectedMessages::new(retry.messages.len(), &describe),
        });
    }

    /// Adds the messages that succeeded in a batch of which others failed. Returns how many failed in their `Drop`.
    pub(super) fn add_done_after_failure(
        &mut self,
        done: Discarding<TrackedMessage<H::In, TokenOfSource<S>>>,
    ) -> usize {
        let mut failed = 0;
        let mut done = done;
        for tracked in done.take() {
            let TrackedMessage {
                mut message,
                pending,
            } = tracked;
            let options = message.take_ack_options();
            let outcome = match guarded(|| drop(message)) {
                Ok(()) => Outcome::Done,
                Err(panicked) => {
                    let reason = panicked.reason(Callback::HandleBatch);
                    // Without its key: the message is gone.
                    let describe = |_| self.context.describe(&pending);
                    self.report_failed(&reason, AffectedMessages::new(1, &describe));
                    failed += 1;
                    Outcome::Failed(reason)
                }
            };
            self.acker.add(pending, outcome, options);
        }
        failed
    }
}
