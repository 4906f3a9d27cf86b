//! The handler of a replay: decides what happens to each dead letter, and sends the messages of those that match.

use std::{
    iter,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    message::replayed,
    options::{Leave, ReadOptions},
    report::StopReason,
    session::Session,
};
use crate::{
    batch::{Batch, RowId, Trigger},
    dead_letter::DeadLetterInfo,
    deadline::Deadline,
    engine::clock,
    error::BoxError,
    handler::{Handler, Next},
    machine::rate::Rate,
    message::{Message, Record},
    publish_error::{PublishError, PublishErrorKind},
    publisher::{Outgoing, Publisher},
    running::RunningPipeline,
};

/// How often a message is sent that is not confirmed. Between the attempts there are pauses, the first of 200 ms, each twice as long as
/// the one before.
const SENDS_MAX: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How long dead letters are still held after the end. Meanwhile the source stops fetching: otherwise it would receive them again, and
/// some brokers would then hide them until a lease ends.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(2);

crate::batchers! {
    pub(super) enum Step {
        Send,
        /// Holds dead letters until the end.
        Hold,
    }
}

/// Called with each dead letter that matches.
pub(super) type OnMatch<R> = Box<dyn Fn(&DeadLetterInfo, &R) + Send + Sync>;
/// Returns the destination of a message; `None` is the publisher's own.
pub(super) type To = Box<dyn Fn(&DeadLetterInfo) -> Option<String> + Send + Sync>;

/// How messages are sent.
pub(super) struct Sending<P> {
    pub(super) publisher: P,
    pub(super) to: To,
    pub(super) keeps_time: bool,
    pub(super) rate: Option<Mutex<Rate>>,
}

pub(super) struct ReplayHandler<R, P> {
    pub(super) session: Arc<Session>,
    pub(super) options: ReadOptions<R>,
    pub(super) on_match: OnMatch<R>,
    /// `None` for a list and a dry run.
    pub(super) sending: Option<Sending<P>>,
}

/// A message to be sent, and the name of its dead letter. `None` is a dead letter that stays.
type Entry = Option<(Outgoing, String)>;

impl<R: Record, P: Publisher> ReplayHandler<R, P> {
    /// Leaves a dead letter that was looked at.
    fn leave(&self) -> Next<Entry, Step> {
        match self.options.leave {
            Leave::GiveBack => Next::batch(Step::Hold, None),
            Leave::PassOver => Next::Ack,
        }
    }

    /// Leaves a dead letter that comes after the end: also a log must deliver it to the next replay.
    fn leave_unread(&self) -> Result<Next<Entry, Step>, BoxError> {
        match self.options.leave {
            Leave::GiveBack => Ok(Next::batch(Step::Hold, None)),
            Leave::PassOver => Err("the replay has ended".into()),
        }
    }
}

impl<R: Record, P: Publisher> Handler for ReplayHandler<R, P> {
    type In = R;
    type Out = Entry;
    type Batcher = Step;

    fn on_start(&self, pipeline: &RunningPipeline) {
        self.session.started(pipeline);
    }

    async fn handle_message(
        &self,
        message: &mut Message<R>,
    ) -> Result<Next<Entry, Step>, BoxError> {
        if self.session.has_stopped() {
            return self.leave_unread();
        }
        self.session.came();
        let record = message.data();
        let Some(info) = DeadLetterInfo::of(record) else {
            self.session.other();
            return Ok(self.leave());
        };
        let key = info.id.clone().unwrap_or_else(|| info.origin.clone());
        if !self.session.listed(&key) || !(self.options.filter)(&info, record) {
            return Ok(self.leave());
        }
        self.session.matched(self.options.max);
        (self.on_match)(&info, record);
        let Some(sending) = &self.sending else {
            return Ok(self.leave());
        };
        let mut outgoing = replayed(record, &info, sending.keeps_time);
        if let Some(to) = (sending.to)(&info) {
            outgoing = outgoing.to(to);
        }
        self.session.sends();
        sending.wait_for_rate().await;
        Ok(Next::batch(Step::Send, Some((outgoing, key))))
    }

    async fn handle_batch(&self, step: Step, batch: &mut Batch<Entry>) -> Result<(), BoxError> {
        match (step, &self.sending) {
            (Step::Send, Some(sending)) => self.send(sending, batch).await,
            _ => {
                // Full, and not the end. The source delivers them again: read no more of it.
                if matches!(batch.trigger(), Trigger::Size | Trigger::Limit) {
                    self.session.stop(StopReason::HoldFull);
                }
                Deadline::after(GIVE_BACK_AFTER).reached().await;
                Err("left where it was".into())
            }
        }
    }
}

impl<R: Record, P: Publisher> ReplayHandler<R, P> {
    /// Sends a batch. Those that are not confirmed are sent again a few times; those that are refused fail alone.
    async fn send(&self, sending: &Sending<P>, batch: &mut Batch<Entry>) -> Result<(), BoxError> {
        let rows = batch.take().into_iter();
        let mut left: Vec<_> = rows
            .filter_map(|row| {
                let id = row.id();
                row.into_data().map(|(message, key)| (id, message, key))
            })
            .collect();
        let mut pause = FIRST_PAUSE;
        for send in 1..=SENDS_MAX {
            let messages = left.iter().map(|(_, message, _)| message.clone()).collect();
            let results = sending.publisher.publish(messages).await;
            let missing = iter::repeat_with(|| Err(PublishError::no_result()));
            let (mut sent, mut again) = (0, Vec::new());
            for (entry, result) in left.into_iter().zip(results.into_iter().chain(missing)) {
                match result {
                    Ok(()) => sent += 1,
                    Err(error) if error.is_retryable() && send < SENDS_MAX => again.push(entry),
                    Err(error) => self.give_up(batch, entry.0, &entry.2, error),
                }
            }
            self.session.replayed(sent);
            left = again;
            if left.is_empty() {
                break;
            }
            Deadline::after(pause).reached().await;
            pause *= 2;
        }
        Ok(())
    }

    /// Leaves a dead letter whose message cannot be sent.
    fn give_up(&self, batch: &Batch<Entry>, row: RowId, key: &str, error: PublishError) {
        let is_refused = error.kind() == PublishErrorKind::Refused;
        // In a log, a failure would hide all that follows.
        let comes_again = !is_refused || self.options.leave == Leave::GiveBack;
        self.session
            .failed(comes_again.then_some(key), error.to_string());
        if !is_refused {
            // The next ones would fail as well.
            self.session.stop(StopReason::NotConfirmed);
        }
        if comes_again {
            batch.fail(row, error);
        }
    }
}

impl<P> Sending<P> {
    /// Waits until one more message may be sent.
    async fn wait_for_rate(&self) {
        let Some(rate) = &self.rate else { return };
        loop {
            let next = {
                let now = clock::now();
                let mut rate = rate.lock().unwrap_or_else(PoisonError::into_inner);
                if rate.take(now, 1) > 0 {
                    return;
                }
                rate.next(now)
            };
            clock::sleep_until(next).await;
        }
    }
}
