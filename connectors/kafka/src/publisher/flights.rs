//! The messages that are with the client, and the bound on their number.
//!
//! A call hands its messages over in groups, each with permits for all of it. The client carries one number with a message,
//! its [`Ticket`]: the slot of its group and its place there. So a message needs no allocation of ours, and its delivery
//! report is a lookup and a subtraction. Permits come back as messages are confirmed, in handfuls.

use std::sync::{Arc, Mutex};

use broadway_core::PublishError;
use tokio::sync::{Notify, Semaphore};

use super::call::Call;
use crate::events::lock;

/// Half of the bits of a ticket number the slots, the other half the places in a group. A group has a permit for each
/// message, so neither can outgrow this while `in_flight_max` does not.
const HALF_BITS: u32 = usize::BITS / 2;
/// The largest `in_flight_max`.
pub(crate) const IN_FLIGHT_LIMIT: usize = (1 << HALF_BITS) - 1;
/// The most messages of a group: callers take turns.
const GROUP_MAX: usize = 1_000;
/// The most permits that are kept back to be released together.
const HANDFUL_MAX: usize = 64;

/// What the client carries with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(usize);

impl Ticket {
    fn new(slot: usize, place: usize) -> Self {
        Self(slot << HALF_BITS | place)
    }

    pub(crate) fn from_number(number: usize) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> usize {
        self.0
    }

    fn slot(self) -> usize {
        self.0 >> HALF_BITS
    }

    fn place(self) -> usize {
        self.0 & IN_FLIGHT_LIMIT
    }
}

/// Everything that is with the client.
pub(crate) struct Flights {
    groups: Mutex<Groups>,
    permits: Semaphore,
    in_flight_max: usize,
    /// Something was confirmed or has failed: there may be room in the client's queue.
    landed: Notify,
}

#[derive(Default)]
struct Groups {
    slots: Vec<Option<Group>>,
    free: Vec<usize>,
    /// Messages of all groups.
    messages: usize,
    /// Permits that are not released yet.
    unreleased: usize,
    /// Somebody waits for room in the client's queue.
    tell_landing: bool,
}

struct Group {
    call: Arc<Call>,
    /// Where in the call it begins.
    first: usize,
    size: usize,
    left: usize,
    /// The timestamps that were chosen for its messages (0: none), if any was: a report of a failure does not bring them back.
    times: Option<Box<[i64]>>,
}

impl Flights {
    pub(crate) fn new(in_flight_max: usize) -> Self {
        Self {
            groups: Mutex::default(),
            permits: Semaphore::new(in_flight_max),
            in_flight_max,
            landed: Notify::new(),
        }
    }

    /// Waits for permits, at least one and at most `n`: what is there, or else a quarter of all. `None` once it is closed.
    pub(crate) async fn permits(&self, n: usize) -> Option<usize> {
        let n = n.min(GROUP_MAX);
        let there = self.permits.available_permits();
        let size = match there {
            0 => n.min(self.in_flight_max.div_ceil(4)),
            _ => n.min(there),
        };
        // Not `try_acquire`: this one lets other tasks run when a caller publishes, and fails, without end.
        let permits = self.permits.acquire_many(as_u32(size)).await.ok()?;
        permits.forget();
        Some(size)
    }

    /// Gives no permits any more.
    pub(crate) fn close(&self) {
        self.permits.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// How many messages are with the client.
    pub(crate) fn len(&self) -> usize {
        lock(&self.groups).messages
    }

    /// Begins a group of `size` messages, for which there are permits. What is not handed over until `Boarding` is dropped,
    /// counts as finished.
    pub(crate) fn begin<'a>(
        &'a self,
        call: &Arc<Call>,
        first: usize,
        size: usize,
        times: Option<Box<[i64]>>,
    ) -> Boarding<'a> {
        let group = Group {
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
        Boarding {
            flights: self,
            slot,
            next: 0,
            size,
        }
    }

    /// The timestamp that was chosen for a message on its way, if one was.
    pub(crate) fn timestamp_ms(&self, ticket: Ticket) -> Option<i64> {
        let groups = lock(&self.groups);
        let group = groups.slots.get(ticket.slot())?.as_ref()?;
        let time = group.times.as_ref()?.get(ticket.place())?;
        (*time > 0).then_some(*time)
    }

    /// A message is confirmed or has failed.
    pub(crate) fn land(&self, ticket: Ticket, error: Option<PublishError>) {
        self.settle(ticket.slot(), 1, error.map(|error| (ticket.place(), error)));
    }

    /// Makes the next landing resolve what waits for [`landed`](Self::landed).
    pub(crate) fn tell_landing(&self) {
        lock(&self.groups).tell_landing = true;
    }

    /// Resolves at a landing that is told.
    pub(crate) fn landed(&self) -> tokio::sync::futures::Notified<'_> {
        self.landed.notified()
    }

    fn settle(&self, slot: usize, n: usize, failure: Option<(usize, PublishError)>) {
        let mut groups = lock(&self.groups);
        groups.messages -= n;
        groups.unreleased += n;
        let group = groups.slots[slot]
            .as_mut()
            .expect("a group until its last message");
        if let Some((place, error)) = failure {
            group.call.fail(group.first + place, error);
        }
        group.left -= n;
        let ended = (group.left == 0)
            .then(|| groups.slots[slot].take())
            .flatten();
        if ended.is_some() {
            groups.free.push(slot);
        }
        let handful = HANDFUL_MAX.min(self.in_flight_max.div_ceil(8));
        let release = if ended.is_some() || groups.unreleased >= handful {
            std::mem::take(&mut groups.unreleased)
        } else {
            0
        };
        let tell = std::mem::take(&mut groups.tell_landing);
        drop(groups);
        if release > 0 {
            self.permits.add_permits(release);
        }
        if tell {
            self.landed.notify_waiters();
        }
        if let Some(group) = ended {
            group.call.finish(group.size);
        }
    }
}

/// A group while its messages are handed to the client.
pub(crate) struct Boarding<'a> {
    flights: &'a Flights,
    slot: usize,
    next: usize,
    size: usize,
}

impl Boarding<'_> {
    /// The ticket of the next message.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket::new(self.slot, self.next)
    }

    /// The client has it, and owes a delivery report.
    pub(crate) fn took_off(&mut self) {
        self.next += 1;
    }

    /// The client would not have it.
    pub(crate) fn refused(&mut self, error: PublishError) {
        let ticket = self.ticket();
        self.next += 1;
        self.flights.land(ticket, Some(error));
    }
}

impl Drop for Boarding<'_> {
    fn drop(&mut self) {
        let left = self.size - self.next;
        if left > 0 {
            self.flights.settle(self.slot, left, None);
        }
    }
}

fn as_u32(n: usize) -> u32 {
    u32::try_from(n).expect("a group is small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publisher::call::Calls;

    #[tokio::test]
    async fn a_group_that_is_given_up_half_way_returns_all_its_permits() {
        let (flights, calls) = (Flights::new(10), Arc::new(Calls::default()));
        let call = calls.begin(8);
        assert_eq!(flights.permits(8).await, Some(8));
        let mut boarding = flights.begin(&call, 0, 8, None);
        let ticket = boarding.ticket();
        boarding.took_off();
        drop(boarding);
        assert_eq!(flights.len(), 1, "one is with the client");
        flights.land(ticket, None);
        assert_eq!(flights.permits.available_permits(), 10);
        assert_eq!(flights.len(), 0);
        assert!(call.results(8).await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_failure_finds_its_message_in_the_second_group_of_a_call() {
        let (flights, calls) = (Flights::new(4), Arc::new(Calls::default()));
        let call = calls.begin(5);
        let mut tickets = Vec::new();
        for (first, size) in [(0, 2), (2, 3)] {
            let mut boarding = flights.begin(&call, first, size, None);
            for _ in 0..size {
                tickets.push(boarding.ticket());
                boarding.took_off();
            }
        }
        for (at, ticket) in tickets.into_iter().enumerate() {
            let same = Ticket::from_number(ticket.number());
            flights.land(same, (at == 3).then(|| PublishError::refused("no")));
        }
        let results = call.results(5).await;
        let failed: Vec<_> = (0..5).filter(|&at| results[at].is_err()).collect();
        assert_eq!(failed, [3]);
    }

    #[tokio::test]
    async fn no_more_permits_are_given_than_there_are_and_none_after_closing() {
        let flights = Flights::new(4);
        assert_eq!(flights.permits(100).await, Some(4));
        flights.close();
        assert_eq!(flights.permits(1).await, None);
    }
}
