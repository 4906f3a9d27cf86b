//! The messages that the client has, and the limit on their number: [`InFlightMessages`].
//!
//! A call hands its messages over in groups, each with permits for all of it. The client carries one number with a message, its [`Ticket`]:
//! the slot of its group and its index there. So a message needs no allocation here, and its delivery report costs a lookup and a
//! subtraction. Permits are released in batches as messages are confirmed.

use std::sync::{Arc, Mutex};

use broadway_core::PublishError;
use tokio::sync::{Notify, Semaphore};

use super::call::CallResults;
use crate::sync::lock;

/// One half of a ticket's bits holds the slot, the other the index in the group. A group has a permit for each message, so neither can
/// overflow while `in_flight_max` fits into half of the bits.
const HALF_BITS: u32 = usize::BITS / 2;
/// The largest `in_flight_max`.
pub(super) const IN_FLIGHT_LIMIT: usize = (1 << HALF_BITS) - 1;
/// The most messages of a group, so that concurrent callers take turns.
const GROUP_MAX: usize = 1_000;
/// The most permits that are collected before they are released together.
const RELEASE_MAX: usize = 64;

/// The number that the client carries with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(usize);

impl Ticket {
    fn new(slot: usize, index: usize) -> Self {
        Self(slot << HALF_BITS | index)
    }

    pub(super) fn from_number(number: usize) -> Self {
        Self(number)
    }

    pub(super) fn number(self) -> usize {
        self.0
    }

    fn slot(self) -> usize {
        self.0 >> HALF_BITS
    }

    fn index(self) -> usize {
        self.0 & IN_FLIGHT_LIMIT
    }
}

/// All messages that the client has, and the permits for more.
pub(super) struct InFlightMessages {
    groups: Mutex<MessageGroups>,
    permits: Semaphore,
    in_flight_max: usize,
    /// A message was confirmed or has failed, so there may be room in the client's queue.
    delivered: Notify,
}

#[derive(Default)]
struct MessageGroups {
    slots: Vec<Option<MessageGroup>>,
    free: Vec<usize>,
    /// The messages of all groups.
    messages: usize,
    /// Permits that are not released yet.
    unreleased: usize,
    /// A caller waits for room in the client's queue. Otherwise deliveries do not notify, which would cost a lock each.
    has_waiter: bool,
}

struct MessageGroup {
    call: Arc<CallResults>,
    /// The index of its first message in the call.
    first: usize,
    size: usize,
    left: usize,
    /// The timestamps of its messages (0 for none), if any message has one: the report of a failure does not return it.
    times: Option<Box<[i64]>>,
}

impl InFlightMessages {
    pub(super) fn new(in_flight_max: usize) -> Self {
        Self {
            groups: Mutex::default(),
            permits: Semaphore::new(in_flight_max),
            in_flight_max,
            delivered: Notify::new(),
        }
    }

    /// Waits for permits, at least one and at most `n`: those that are available, or else a quarter of all. Returns `None` once it is
    /// closed.
    pub(super) async fn acquire(&self, n: usize) -> Option<usize> {
        let n = n.min(GROUP_MAX);
        let available = self.permits.available_permits();
        let size = match available {
            0 => n.min(self.in_flight_max.div_ceil(4)),
            _ => n.min(available),
        };
        // Not `try_acquire`: awaiting lets other tasks run when a caller publishes, and fails, in an endless loop.
        let permits = self.permits.acquire_many(as_u32(size)).await.ok()?;
        permits.forget();
        Some(size)
    }

    /// Gives no more permits. Idempotent.
    pub(super) fn close(&self) {
        self.permits.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// How many messages the client has.
    pub(super) fn len(&self) -> usize {
        lock(&self.groups).messages
    }

    /// Begins a group of `size` messages, for which permits were acquired. Messages that were not handed over when the [`Handover`] is
    /// dropped count as finished.
    pub(super) fn begin<'a>(
        &'a self,
        call: &Arc<CallResults>,
        first: usize,
        size: usize,
        times: Option<Box<[i64]>>,
    ) -> Handover<'a> {
        let group = MessageGroup {
            call: Arc::clone(call),
            first,
            size,
            left: size,
            times,
        };
        let mut groups = lock(&self.groups);
        groups.messages += size;
        let slot = if let Some(slot) = groups.free.pop() {
            groups.slots[slot] = Some(group);
            slot
        } else {
            groups.slots.push(Some(group));
            groups.slots.len() - 1
        };
        Handover {
            in_flight: self,
            slot,
            next: 0,
            size,
        }
    }

    /// The timestamp that was set for a message in flight, if one was.
    pub(super) fn timestamp_ms(&self, ticket: Ticket) -> Option<i64> {
        let groups = lock(&self.groups);
        let group = groups.slots.get(ticket.slot())?.as_ref()?;
        let time = group.times.as_ref()?.get(ticket.index())?;
        (*time > 0).then_some(*time)
    }

    /// Records that a message was confirmed, or failed with `error`.
    pub(super) fn finish(&self, ticket: Ticket, error: Option<PublishError>) {
        self.finish_many(ticket.slot(), 1, error.map(|error| (ticket.index(), error)));
    }

    /// Makes the next delivery resolve the futures of [`delivered`](Self::delivered).
    pub(super) fn notify_next_delivery(&self) {
        lock(&self.groups).has_waiter = true;
    }

    /// Resolves at the next delivery after [`notify_next_delivery`](Self::notify_next_delivery).
    pub(super) fn delivered(&self) -> tokio::sync::futures::Notified<'_> {
        self.delivered.notified()
    }

    fn finish_many(&self, slot: usize, n: usize, failure: Option<(usize, PublishError)>) {
        let mut groups = lock(&self.groups);
        groups.messages -= n;
        groups.unreleased += n;
        let group = groups.slots[slot]
            .as_mut()
            .expect("a group until its last message");
        if let Some((index, error)) = failure {
            group.call.fail(group.first + index, error);
        }
        group.left -= n;
        let ended = (group.left == 0)
            .then(|| groups.slots[slot].take())
            .flatten();
        if ended.is_some() {
            groups.free.push(slot);
        }
        // At most an eighth of all permits is kept back, so that a small limit does not stall. None is kept when a group ends, because no later
        // message may come to release it.
        let batch = RELEASE_MAX.min(self.in_flight_max.div_ceil(8));
        let release = if ended.is_some() || groups.unreleased >= batch {
            std::mem::take(&mut groups.unreleased)
        } else {
            0
        };
        let notify = std::mem::take(&mut groups.has_waiter);
        drop(groups);
        if release > 0 {
            self.permits.add_permits(release);
        }
        if notify {
            self.delivered.notify_waiters();
        }
        // Last, outside the lock: it may wake the call, which then finds its permits released.
        if let Some(group) = ended {
            group.call.finish(group.size);
        }
    }
}

/// A group while its messages are handed to the client.
pub(super) struct Handover<'a> {
    in_flight: &'a InFlightMessages,
    slot: usize,
    next: usize,
    size: usize,
}

impl Handover<'_> {
    /// The ticket of the next message.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket::new(self.slot, self.next)
    }

    /// The client has accepted the next message, and will report its delivery.
    pub(super) fn accepted(&mut self) {
        self.next += 1;
    }

    /// The client has not accepted the next message.
    pub(super) fn rejected(&mut self, error: PublishError) {
        let ticket = self.ticket();
        self.next += 1;
        self.in_flight.finish(ticket, Some(error));
    }
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        let left = self.size - self.next;
        if left > 0 {
            self.in_flight.finish_many(self.slot, left, None);
        }
    }
}

fn as_u32(n: usize) -> u32 {
    u32::try_from(n).expect("a group is small")
}

#[cfg(test)]
mod tests {
    use broadway_core::connector::InFlight;

    use super::*;

    fn call(n: usize) -> Arc<CallResults> {
        let open = InFlight::new(n).begin().expect("open");
        Arc::new(CallResults::new(n, open))
    }

    #[tokio::test]
    async fn a_group_that_is_given_up_halfway_returns_all_its_permits() {
        let (in_flight, call) = (InFlightMessages::new(10), call(8));
        assert_eq!(in_flight.acquire(8).await, Some(8));
        let mut handover = in_flight.begin(&call, 0, 8, None);
        let ticket = handover.ticket();
        handover.accepted();
        drop(handover);
        assert_eq!(in_flight.len(), 1, "the client has one");
        in_flight.finish(ticket, None);
        assert_eq!(in_flight.permits.available_permits(), 10);
        assert_eq!(in_flight.len(), 0);
        assert!(call.wait(8).await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_failure_finds_its_message_in_the_second_group_of_a_call() {
        let (in_flight, call) = (InFlightMessages::new(4), call(5));
        let mut tickets = Vec::new();
        for (first, size) in [(0, 2), (2, 3)] {
            let mut handover = in_flight.begin(&call, first, size, None);
            for _ in 0..size {
                tickets.push(handover.ticket());
                handover.accepted();
            }
        }
        for (index, ticket) in tickets.into_iter().enumerate() {
            let same = Ticket::from_number(ticket.number());
            in_flight.finish(same, (index == 3).then(|| PublishError::refused("no")));
        }
        let results = call.wait(5).await;
        let failed: Vec<_> = (0..5).filter(|&index| results[index].is_err()).collect();
        assert_eq!(failed, [3]);
    }

    #[tokio::test]
    async fn no_more_permits_are_given_than_exist_and_none_after_closing() {
        let in_flight = InFlightMessages::new(4);
        assert_eq!(in_flight.acquire(100).await, Some(4));
        in_flight.close();
        assert_eq!(in_flight.acquire(1).await, None);
    }
}
