//! One call of `publish`: hands its messages to a channel in order, as far as the limit allows, and collects the answers.
//!
//! The broker closes a channel over a message that it does not accept, and does not report which one. Then the messages without an answer
//! are sent again, each alone on a channel. The one over which the broker closes that channel too is refused, and the rest of the call
//! goes on. So a message is sent at most twice: once with others, and once alone.
//!
//! A frame that arrives on a channel that the broker has closed ends the whole connection. Which happens first is a race, so such an end is
//! treated as the closing of the channel, on a new connection. Then no message is to blame, and each is sent again, alone, up to
//! `ALONE_MAX` times.

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

/// How often a message is sent alone: more than once only if no answer to it arrived, and it is not to blame.
const ALONE_MAX: usize = 3;

/// As good as no limit, and within what a clock can express.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

/// The index of a message, and the answer to it.
type Answered = (usize, lapin::Result<Confirmation>);

/// Publishes the messages. Result `n` belongs to message `n`.
pub(super) async fn run(
    shared: &SharedPublisher,
    messages: &[Outgoing],
) -> Vec<Result<(), PublishError>> {
    let mut confirms = Confirms::new(messages.len());
    let mut next = 0;
    let ended = send_all(shared, messages, &mut confirms, &mut next).await;
    let reason = ended.err().map(|CallStopped(reason)| reason);
    confirms.into_results(next, reason.as_deref())
}

/// Why the rest of a call cannot be sent.
struct CallStopped(String);

/// Moves `next` to the first message that was never sent.
async fn send_all(
    shared: &SharedPublisher,
    messages: &[Outgoing],
    confirms: &mut Confirms,
    next: &mut usize,
) -> Result<(), CallStopped> {
    while *next < messages.len() {
        let suspects = send_range(shared, messages, *next..messages.len(), confirms, next).await?;
        for at in suspects {
            send_alone(shared, messages, at, confirms).await?;
        }
    }
    Ok(())
}

/// Sends a message, and waits for the answer: a channel that the broker closes meanwhile is closed over this message.
async fn send_alone(
    shared: &SharedPublisher,
    messages: &[Outgoing],
    at: usize,
    confirms: &mut Confirms,
) -> Result<(), CallStopped> {
    for _ in 0..ALONE_MAX {
        let mut after = at;
        let unanswered = send_range(shared, messages, at..at + 1, confirms, &mut after).await?;
        if unanswered.is_empty() {
            return Ok(());
        }
    }
    Err(CallStopped(format!(
        "the channel of one message of the call was closed {ALONE_MAX} times before its answer: see the log of the broker"
    )))
}

/// Sends these messages on one channel, until each has an answer or the broker closes the channel over one of them. In the second case
/// returns the messages without an answer; if there is only one, it is refused instead.
async fn send_range(
    shared: &SharedPublisher,
    messages: &[Outgoing],
    range: Range<usize>,
    confirms: &mut Confirms,
    next: &mut usize,
) -> Result<Vec<usize>, CallStopped> {
    let deadline = Deadline::after(shared.options.confirm_timeout);
    let found = shared.channels.channel(deadline).await;
    let (connection, channel) = found.map_err(CallStopped)?;
    let frame_max = connection.frame_max();
    let mut send = ChannelSend {
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
    let ended = send.run(&connection).await;
    *next = send.next;
    drop(send);
    let convert = |message: &Outgoing| shared.options.converter.convert(message, frame_max).ok();
    let channel_end = confirms.end_channel(messages, convert);
    ended.map_err(CallStopped)?;
    match channel_end {
        ChannelEnd::Intact => {
            connection.return_channel(channel);
            Ok(Vec::new())
        }
        ChannelEnd::ClosedOverMessage(unanswered) | ChannelEnd::NotSent(unanswered) => {
            Ok(unanswered)
        }
        ChannelEnd::LateFrames(unanswered) => {
            // Before the client notices: the next attempt must not use this connection.
            connection.closed();
            Ok(unanswered)
        }
        ChannelEnd::ConnectionLost(reason) => Err(CallStopped(reason)),
    }
}

/// Some messages of a call, sent on one channel.
struct ChannelSend<'a> {
    shared: &'a SharedPublisher,
    channel: &'a Channel,
    frame_max: usize,
    messages: &'a [Outgoing],
    confirms: &'a mut Confirms,
    /// The next message to send.
    next: usize,
    /// The end of these messages.
    end: usize,
    /// All messages before this one have an answer.
    oldest: usize,
    /// The deadlines of the answers to the messages from `oldest` on.
    deadlines: VecDeque<Instant>,
    answers: FuturesUnordered<BoxFuture<'a, Answered>>,
}

impl<'a> ChannelSend<'a> {
    /// Sends the messages, and returns when each that was sent has an answer.
    ///
    /// # Errors
    ///
    /// Fails with the reason if the connection is given up.
    async fn run(&mut self, connection: &PublisherConnection) -> Result<(), String> {
        let mut given_up = pin!(connection.given_up());
        // One timer for all messages: it is set to the deadline of the oldest when it fires, not for each message.
        let mut timer = pin!(sleep_until(self.new_deadline()));
        loop {
            let may_send = self.next < self.end && !self.confirms.is_channel_closed();
            if !may_send && self.answers.is_empty() {
                return Ok(());
            }
            tokio::select! {
                // Sending before reading answers, so that the client writes many messages at once.
                biased;
                reason = &mut given_up => {
                    self.collect_ready_answers();
                    return Err(reason);
                }
                permit = self.shared.in_flight.acquire_borrowed(1), if may_send => self.send_next(permit),
                Some((at, answer)) = self.answers.next() => self.confirms.record(at, answer),
                () = &mut timer, if !self.answers.is_empty() => {
                    let deadline = self.oldest_deadline();
                    if deadline <= Instant::now() {
                        // Ends this loop, and the loops of other calls on the connection, through `given_up`.
                        connection.give_up(&self.timed_out(connection));
                    } else {
                        timer.as_mut().reset(deadline);
                    }
                }
            }
        }
    }

    /// The deadline of the answer to a message that is sent now.
    fn new_deadline(&self) -> Instant {
        let timeout = self.shared.options.confirm_timeout;
        Deadline::after(timeout)
            .at()
            .map_or_else(|| Instant::now() + FOREVER, Instant::from_std)
    }

    /// Hands the next message to the client.
    fn send_next(&mut self, permit: SemaphorePermit<'a>) {
        let at = self.next;
        self.next += 1;
        self.deadlines.push_back(self.new_deadline());
        let message = &self.messages[at];
        let converter = &self.shared.options.converter;
        let amqp_message = match converter.convert(message, self.frame_max) {
            Ok(amqp_message) => amqp_message,
            Err(reason) => return self.confirms.refuse(at, reason),
        };
        let mut answer = self.publish(at, message, amqp_message, permit).boxed();
        // The client queues a message at the first poll of its future. Polling here, and not in `FuturesUnordered`, keeps the order.
        let mut cx = Context::from_waker(Waker::noop());
        match answer.as_mut().poll(&mut cx) {
            Poll::Ready((at, answer)) => self.confirms.record(at, answer),
            Poll::Pending => self.answers.push(answer),
        }
    }

    fn publish(
        &self,
        at: usize,
        message: &'a Outgoing,
        amqp_message: AmqpMessage,
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
            let sent = channel.basic_publish(
                shared.options.exchange.as_str().into(),
                amqp_message.routing_key,
                options,
                message.payload().map_or(&[], |payload| payload),
                amqp_message.properties,
            );
            let answer = match sent.await {
                Ok(confirmation) => confirmation.await,
                Err(error) => Err(error),
            };
            drop(permit);
            (at, answer)
        }
    }

    /// Records the answers that have arrived on a connection that was given up.
    fn collect_ready_answers(&mut self) {
        while let Some(Some((at, answer))) = self.answers.next().now_or_never() {
            self.confirms.record(at, answer);
        }
    }

    /// The deadline of the oldest message without an answer.
    fn oldest_deadline(&mut self) -> Instant {
        while !self.deadlines.is_empty() && self.confirms.is_answered(self.oldest) {
            self.oldest += 1;
            self.deadlines.pop_front();
        }
        let deadline = self.deadlines.front().copied();
        deadline.unwrap_or_else(|| self.new_deadline())
    }

    fn timed_out(&self, connection: &PublisherConnection) -> String {
        let timeout = self.shared.options.confirm_timeout;
        let help = if connection.is_blocked() {
            "; the broker blocks publishers (a memory or disk alarm): see its log"
        } else {
            ""
        };
        format!("no confirmation within {timeout:?} (`confirm_timeout`){help}")
    }
}
