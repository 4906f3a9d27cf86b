//! One call of `publish`: hands its messages to a channel in order, as far as the limit allows, and hears of each.
//!
//! The broker closes a channel over a message that it does not take, and does not say which one it is. Then those that have no answer
//! go out again, each alone on a channel, and the one that the broker closes that channel over is refused; the rest of the call goes on.
//! So a message is sent twice at most: together with others, and alone.

use std::{
    collections::VecDeque,
    ops::Range,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use broadway_core::{Deadline, Outgoing, PublishError};
use futures_util::{
    FutureExt,
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt},
};
use lapin::{Channel, Confirmation, options::BasicPublishOptions};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, sleep_until},
};

use super::{
    SharedPublisher,
    channels::PublisherConnection,
    confirms::{ChannelEnd, Confirms},
    convert::AmqpMessage,
};

/// As good as no limit, and within what clocks can express.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

/// The message at this place, and the answer to it.
type Answered = (usize, lapin::Result<Confirmation>);

/// Some messages of a call on their way, on one channel.
struct ChannelSend<'a> {
    shared: &'a SharedPublisher,
    channel: &'a Channel,
    frame_max: usize,
    messages: &'a [Outgoing],
    confirms: &'a mut Confirms,
    /// The next one to be sent, and where these messages end.
    next: usize,
    end: usize,
    /// When each that was taken up must have landed; the first is that of `oldest`.
    deadlines: VecDeque<Instant>,
    /// All before this one have landed.
    oldest: usize,
    answers: FuturesUnordered<BoxFuture<'a, Answered>>,
}

/// Why nothing more of a call can be sent.
struct CallStopped(String);

/// Publishes all of it. Result `n` is that of message `n`.
pub(super) async fn run(
    shared: &SharedPublisher,
    messages: &[Outgoing],
) -> Vec<Result<(), PublishError>> {
    let mut confirms = Confirms::new(messages.len());
    let mut next = 0;
    let ended = send_all(shared, messages, &mut confirms, &mut next).await;
    let why = ended.err().map(|CallStopped(why)| why);
    confirms.results(next, why.as_deref())
}

/// `next` is moved to the first message that was never sent.
async fn send_all(
    shared: &SharedPublisher,
    messages: &[Outgoing],
    confirms: &mut Confirms,
    next: &mut usize,
) -> Result<(), CallStopped> {
    while *next < messages.len() {
        let objected = send(shared, messages, *next..messages.len(), confirms, next).await?;
        for at in objected {
            // It is answered before the next one is sent: what the broker closes the channel over is this one.
            let mut after = at;
            send(shared, messages, at..at + 1, confirms, &mut after).await?;
        }
    }
    Ok(())
}

/// Sends these messages, until each has an answer or the broker closes the channel over one of them. Gives those that have no answer then,
/// unless it is only one, which is refused.
async fn send(
    shared: &SharedPublisher,
    messages: &[Outgoing],
    range: Range<usize>,
    confirms: &mut Confirms,
    next: &mut usize,
) -> Result<Vec<usize>, CallStopped> {
    let deadline = Deadline::after(shared.options.confirm_timeout);
    let found = shared.channels.channel(deadline).await;
    let (link, channel) = found.map_err(CallStopped)?;
    let frame_max = link.frame_max();
    let mut flight = ChannelSend {
        shared,
        channel: &channel,
        frame_max,
        messages,
        confirms,
        next: range.start,
        end: range.end,
        deadlines: VecDeque::new(),
        oldest: range.start,
        answers: FuturesUnordered::new(),
    };
    let ended = flight.fly(&link).await;
    *next = flight.next;
    drop(flight);
    let entry = |message: &Outgoing| shared.options.converter.entry(message, frame_max).ok();
    let round = confirms.end_round(messages, entry);
    ended.map_err(CallStopped)?;
    match round {
        ChannelEnd::Whole => {
            link.put_back(channel);
            Ok(Vec::new())
        }
        ChannelEnd::Objected(unanswered) => Ok(unanswered),
        ChannelEnd::Lost(why) => Err(CallStopped(why)),
    }
}

impl<'a> ChannelSend<'a> {
    /// Returns when each message that was sent has an answer, or with the reason why nobody waits for it.
    async fn fly(&mut self, link: &PublisherConnection) -> Result<(), String> {
        let mut given_up = pin!(link.given_up());
        let mut timer = pin!(sleep_until(self.deadline()));
        loop {
            let sends = self.next < self.end && !self.confirms.is_broken();
            if !sends && self.answers.is_empty() {
                return Ok(());
            }
            // Biased: what may be sent is sent first, so that the client writes much at once.
            tokio::select! {
                biased;
                why = &mut given_up => {
                    self.hear_the_rest();
                    return Err(why);
                }
                permit = self.shared.in_flight.acquire(), if sends => {
                    self.send(permit.expect("never closed"));
                }
                Some((at, answer)) = self.answers.next() => self.confirms.land(at, answer),
                () = &mut timer, if !self.answers.is_empty() => {
                    let next = self.next_deadline();
                    if next <= Instant::now() {
                        let why = self.overdue(link);
                        link.give_up(&why);
                    } else {
                        timer.as_mut().reset(next);
                    }
                }
            }
        }
    }

    /// When a message that is sent now must have landed.
    fn deadline(&self) -> Instant {
        let within = self.shared.options.confirm_timeout;
        Deadline::after(within)
            .at()
            .map_or_else(|| Instant::now() + FOREVER, Instant::from_std)
    }

    /// Hands the next message to the client.
    fn send(&mut self, permit: SemaphorePermit<'a>) {
        let at = self.next;
        self.next += 1;
        self.deadlines.push_back(self.deadline());
        let message = &self.messages[at];
        let entry = match self.shared.options.converter.entry(message, self.frame_max) {
            Ok(entry) => entry,
            Err(why) => return self.confirms.refuse(at, why),
        };
        let mut answer = self.answer(at, message, entry, permit).boxed();
        // The client takes a message at the first poll of its future. So that they go in order, that is now.
        let mut cx = Context::from_waker(Waker::noop());
        match answer.as_mut().poll(&mut cx) {
            Poll::Ready((at, answer)) => self.confirms.land(at, answer),
            Poll::Pending => self.answers.push(answer),
        }
    }

    fn answer(
        &self,
        at: usize,
        message: &'a Outgoing,
        entry: AmqpMessage,
        permit: SemaphorePermit<'a>,
    ) -> impl Future<Output = Answered> + Send + use<'a> {
        let Self {
            shared, channel, ..
        } = *self;
        let options = BasicPublishOptions {
            mandatory: shared.options.mandatory,
            ..BasicPublishOptions::default()
        };
        async move {
            let exchange = shared.options.exchange.as_str().into();
            let sent = channel.basic_publish(
                exchange,
                entry.routing_key,
                options,
                message.payload().map_or(&[], |payload| payload),
                entry.properties,
            );
            let answer = match sent.await {
                Ok(confirmation) => confirmation.await,
                Err(error) => Err(error),
            };
            drop(permit);
            (at, answer)
        }
    }

    /// Takes the answers that have come, of a connection that was given up.
    fn hear_the_rest(&mut self) {
        while let Some(Some((at, answer))) = self.answers.next().now_or_never() {
            self.confirms.land(at, answer);
        }
    }

    /// When the oldest message that has not landed must have.
    fn next_deadline(&mut self) -> Instant {
        while !self.deadlines.is_empty() && self.confirms.is_landed(self.oldest) {
            self.oldest += 1;
            self.deadlines.pop_front();
        }
        let deadline = self.deadlines.front().copied();
        deadline.unwrap_or_else(|| self.deadline())
    }

    fn overdue(&self, link: &PublisherConnection) -> String {
        let within = self.shared.options.confirm_timeout;
        let hint = if link.is_blocked() {
            "; the broker has blocked all who publish (a memory or disk alarm): see its log"
        } else {
            ""
        };
        format!("no confirmation within {within:?} (`confirm_timeout`){hint}")
    }
}
