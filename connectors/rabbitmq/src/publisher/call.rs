//! One call of `publish`: hands its messages to a channel in order, as far as the limit allows, and hears of each.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use broadway_core::{Outgoing, PublishError};
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

use super::{Shared, ledger::Ledger, link::Link, message::Entry};

/// The message at this place, and the answer to it.
type Landed = (usize, lapin::Result<Confirmation>);

/// A call on its way.
struct Call<'a> {
    shared: &'a Shared,
    channel: &'a Channel,
    frame_max: usize,
    messages: &'a [Outgoing],
    ledger: Ledger,
    /// When each that was taken up must have landed.
    deadlines: Vec<Instant>,
    /// All before this one have landed.
    oldest: usize,
    flights: FuturesUnordered<BoxFuture<'a, Landed>>,
}

/// Publishes all of it. Result `n` is that of message `n`.
pub(super) async fn run(shared: &Shared, messages: &[Outgoing]) -> Vec<Result<(), PublishError>> {
    if messages.is_empty() {
        return Vec::new();
    }
    let deadline = Instant::now() + shared.options.confirm_timeout;
    let (link, channel) = match shared.links.channel(deadline).await {
        Ok(found) => found,
        Err(why) => return Ledger::new(messages.len()).results(messages, |_| None, 0, Some(&why)),
    };
    let frame_max = link.frame_max();
    let call = Call {
        shared,
        channel: &channel,
        frame_max,
        messages,
        ledger: Ledger::new(messages.len()),
        deadlines: Vec::with_capacity(messages.len()),
        oldest: 0,
        flights: FuturesUnordered::new(),
    };
    let (ledger, sent, ended) = call.run(&link).await;
    if ended.is_ok() && !ledger.is_broken() {
        link.put_back(channel);
    }
    let entry = |message: &Outgoing| shared.options.rules.entry(message, frame_max).ok();
    ledger.results(messages, entry, sent, ended.err().as_deref())
}

impl<'a> Call<'a> {
    /// What became of the messages, and how many of them were sent.
    async fn run(mut self, link: &Link) -> (Ledger, usize, Result<(), String>) {
        let ended = self.fly(link).await;
        (self.ledger, self.deadlines.len(), ended)
    }

    /// Returns when each message that was sent has an answer, or with the reason why nobody waits for it.
    async fn fly(&mut self, link: &Link) -> Result<(), String> {
        let mut given_up = pin!(link.given_up());
        let mut timer = pin!(sleep_until(
            Instant::now() + self.shared.options.confirm_timeout
        ));
        loop {
            let sends = self.deadlines.len() < self.messages.len() && !self.ledger.is_broken();
            if !sends && self.flights.is_empty() {
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
                Some((at, answer)) = self.flights.next() => self.ledger.land(at, answer),
                () = &mut timer, if !self.flights.is_empty() => {
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

    /// Hands the next message to the client.
    fn send(&mut self, permit: SemaphorePermit<'a>) {
        let at = self.deadlines.len();
        self.deadlines
            .push(Instant::now() + self.shared.options.confirm_timeout);
        let message = &self.messages[at];
        let entry = match self.shared.options.rules.entry(message, self.frame_max) {
            Ok(entry) => entry,
            Err(why) => return self.ledger.refuse(at, why),
        };
        let mut flight = self.flight(at, message, entry, permit).boxed();
        // The client takes a message at the first poll of its future. So that they go in order, that is now.
        let mut cx = Context::from_waker(Waker::noop());
        match flight.as_mut().poll(&mut cx) {
            Poll::Ready((at, answer)) => self.ledger.land(at, answer),
            Poll::Pending => self.flights.push(flight),
        }
    }

    fn flight(
        &self,
        at: usize,
        message: &'a Outgoing,
        entry: Entry,
        permit: SemaphorePermit<'a>,
    ) -> impl Future<Output = Landed> + Send + use<'a> {
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
        while let Some(Some((at, answer))) = self.flights.next().now_or_never() {
            self.ledger.land(at, answer);
        }
    }

    /// When the oldest message that has not landed must have.
    fn next_deadline(&mut self) -> Instant {
        while self.oldest < self.deadlines.len() && self.ledger.is_landed(self.oldest) {
            self.oldest += 1;
        }
        let deadline = self.deadlines.get(self.oldest).copied();
        deadline.unwrap_or_else(|| Instant::now() + self.shared.options.confirm_timeout)
    }

    fn overdue(&self, link: &Link) -> String {
        let within = self.shared.options.confirm_timeout;
        let hint = if link.is_blocked() {
            "; the broker has blocked all who publish (a memory or disk alarm): see its log"
        } else {
            ""
        };
        format!("no confirmation within {within:?} (`confirm_timeout`){hint}")
    }
}
