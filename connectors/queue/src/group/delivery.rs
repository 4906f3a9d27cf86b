//! [`Delivery`]: which records of one partition a consumer group is given, again or for the first time, and which are settled.
//!
//! A pure state machine. Records are offered to it in the order of their offsets; it keeps one bit for each from the *watermark* on, the first
//! that is not settled, up to the *cursor*, the next to be offered. Most records are delivered once and settled. Those that are not are
//! *exceptions*: they wait for their next delivery, or have been delivered again.
//!
//! ```text
//! offsets   settled │ watermark …  settled, leased, waiting  … │ cursor … not offered yet
//! ```
//!
//! In an ordered group, the records of a key form a *lane*: after a failure, the later records of its key wait behind the failed one, and those
//! that were delivered already are delivered again. A lane without a failure costs a hash per record.

mod gaps;
mod lanes;
mod lease;
mod snapshot;
mod take_back;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use broadway_core::machine::bit_ring::BitRing;

use self::lanes::Lanes;
pub(crate) use self::{
    lease::{Ended, Lease, Limits, Millis, Offered, Settlement},
    snapshot::Snapshot,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// For its due time, or behind the first record of its lane.
    Waiting { due: Millis },
    /// Taken, to be read from the storage.
    Leased { until: Millis },
}

/// A record that is not simply delivered once.
#[derive(Debug, Clone, Copy)]
struct Exception {
    state: State,
    /// Which delivery is the next one, or this one.
    delivery: u32,
    /// Which holder is the next one, or this one.
    turn: u32,
    /// How often the pipeline has tried to handle it, if it was parked.
    attempts: u32,
}

impl Exception {
    const fn lease(self, offset: u64) -> Lease {
        Lease {
            offset,
            delivery: self.delivery,
            turn: self.turn,
        }
    }
}

/// Records that were delivered for the first time, together.
#[derive(Debug)]
struct Fresh {
    until: Millis,
    end: u64,
}

/// The deliveries of one partition to one group.
#[derive(Debug)]
pub(crate) struct Delivery {
    limits: Limits,
    watermark: u64,
    cursor: u64,
    /// Below this, records were delivered before this process began.
    begun: u64,
    /// The settled offsets from the watermark to the cursor.
    settled: BitRing,
    exceptions: BTreeMap<u64, Exception>,
    /// Waiting exceptions by their due time, except those behind another record of their lane.
    due: BTreeSet<(Millis, u64)>,
    /// First deliveries, by the end of their lease.
    fresh: VecDeque<Fresh>,
    lanes: Option<Lanes>,
    /// Changes whenever a delivered record is taken from its holder.
    generation: u64,
}

impl Delivery {
    /// Goes on from a snapshot. Everything that is not settled there is delivered again. `begun` is the offset below which records were
    /// delivered before.
    pub(crate) fn restore(
        snapshot: &Snapshot,
        begun: u64,
        is_ordered: bool,
        limits: Limits,
    ) -> Self {
        let watermark = snapshot.watermark;
        let mut delivery = Self {
            limits,
            watermark,
            cursor: watermark,
            begun: begun.max(snapshot.cursor),
            settled: BitRing::new(),
            exceptions: BTreeMap::new(),
            due: BTreeSet::new(),
            fresh: VecDeque::new(),
            lanes: is_ordered.then(|| Lanes::new(watermark)),
            generation: 0,
        };
        delivery.load(snapshot);
        delivery
    }

    /// Takes settled offsets and exceptions from a snapshot. The cursor goes back to the watermark: records in between are offered again, so
    /// that lanes know their keys, and those that are settled are passed over.
    fn load(&mut self, snapshot: &Snapshot) {
        self.settled.reserve(
            self.watermark,
            self.watermark,
            snapshot.cursor.max(self.watermark),
        );
        for range in &snapshot.settled {
            self.settled.insert_range(range.start, range.end);
        }
        for waiting in &snapshot.waiting {
            let state = State::Waiting { due: waiting.due };
            let exception = Exception {
                state,
                delivery: waiting.delivery,
                turn: 0,
                attempts: waiting.attempts,
            };
            self.exceptions.insert(waiting.offset, exception);
        }
    }

    /// The offset of the next record to offer.
    pub(crate) const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// All records below it are settled.
    pub(crate) const fn watermark(&self) -> u64 {
        self.watermark
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a further record may be offered.
    pub(crate) fn has_room(&self) -> bool {
        self.cursor - self.watermark < self.limits.span_max
            && self.exceptions.len() < self.limits.waiting_max
    }

    /// Offers the record at `offset`, which is at or above the cursor. Offsets that were left out do not exist, and count as settled.
    ///
    /// `None` if it needs no delivery now: it is settled, or waits for its due time.
    pub(crate) fn offer(&mut self, offset: u64, key: Option<u64>, now: Millis) -> Option<Offered> {
        if offset < self.cursor {
            return None;
        }
        self.pass_over(offset);
        if offset < self.cursor {
            // An earlier process has settled it, and the missing records were the last unsettled ones before it.
            return None;
        }
        let number = self.cursor;
        self.cursor = number + 1;
        self.settled
            .reserve(self.watermark, number.max(self.reserved()), self.cursor);
        if let Some(lanes) = &mut self.lanes {
            lanes.push(key);
        }
        if number < self.begun {
            return self.offer_again(number, now);
        }
        if let Some(lanes) = &mut self.lanes
            && lanes.hold_if_blocked(number)
        {
            self.wait(number, 1, now, false);
            return Some(Offered::Hold);
        }
        self.lease_fresh(number, now);
        Some(Offered::Deliver(Lease {
            offset: number,
            delivery: 1,
            turn: 0,
        }))
    }

    /// Offers a record that an earlier process was offered.
    fn offer_again(&mut self, offset: u64, now: Millis) -> Option<Offered> {
        if self.settled.contains(offset) {
            self.advance();
            return None;
        }
        let known = self.exceptions.get(&offset).copied();
        if let Some(lanes) = &mut self.lanes
            && lanes.hold_if_blocked(offset)
        {
            self.wait(offset, known.map_or(1, |known| known.delivery), now, false);
            return Some(Offered::Hold);
        }
        let until = self.lease_end(now);
        let leased = State::Leased { until };
        let exception = match known {
            Some(
                waiting @ Exception {
                    state: State::Waiting { due },
                    ..
                },
            ) => {
                if due > now {
                    if let Some(lanes) = &mut self.lanes {
                        lanes.block(offset);
                    }
                    self.wait(offset, waiting.delivery, due, true);
                    return None;
                }
                // Delivered now, in its place before the records that follow.
                Exception {
                    state: leased,
                    ..waiting
                }
            }
            // It was delivered, and the process ended.
            _ => Exception {
                state: leased,
                delivery: 2,
                turn: 0,
                attempts: 0,
            },
        };
        self.exceptions.insert(offset, exception);
        let lease = exception.lease(offset);
        if let Some(lanes) = &mut self.lanes {
            lanes.block(offset);
        }
        Some(match self.is_exhausted(lease.delivery) {
            true => Offered::Exhausted(lease),
            false => Offered::Deliver(lease),
        })
    }

    fn is_exhausted(&self, next: u32) -> bool {
        self.limits.deliveries_max.is_some_and(|max| next > max)
    }

    /// In whole seconds, so that few ends differ.
    fn lease_end(&self, now: Millis) -> Millis {
        let end = now.saturating_add(self.limits.lease_max);
        end.checked_next_multiple_of(1_000).unwrap_or(end)
    }

    fn lease_fresh(&mut self, offset: u64, now: Millis) {
        let until = self.lease_end(now);
        match self.fresh.back_mut() {
            Some(last) if last.until == until => last.end = offset + 1,
            _ => self.fresh.push_back(Fresh {
                until,
                end: offset + 1,
            }),
        }
    }

    /// The end of what a snapshot may have set.
    fn reserved(&self) -> u64 {
        self.begun
    }

    /// Takes the records whose delivery is due, at most `max` of them, in the order of their due times.
    pub(crate) fn take_due(&mut self, max: usize, now: Millis) -> Vec<Offered> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(&(due, offset)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            let until = self.lease_end(now);
            if let Some(exception) = self.exceptions.get_mut(&offset) {
                exception.state = State::Leased { until };
                let lease = exception.lease(offset);
                taken.push(match self.is_exhausted(lease.delivery) {
                    true => Offered::Exhausted(lease),
                    false => Offered::Deliver(lease),
                });
            }
        }
        taken
    }

    /// When the next record is due.
    pub(crate) fn next_at(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Whether [`take_due`](Self::take_due) has something.
    pub(crate) fn has_due(&self, now: Millis) -> bool {
        self.next_at().is_some_and(|due| due <= now)
    }

    /// Whether the lease was lost.
    pub(crate) fn is_stale(&self, lease: Lease) -> bool {
        if lease.offset < self.watermark || lease.offset >= self.cursor {
            return true;
        }
        match self.exceptions.get(&lease.offset) {
            Some(exception) => {
                exception.turn != lease.turn || matches!(exception.state, State::Waiting { .. })
            }
            None => lease.turn != 0 || self.settled.contains(lease.offset),
        }
    }

    /// Settles a delivered record.
    pub(crate) fn settle(&mut self, lease: Lease, ended: Ended, now: Millis) -> Settlement {
        if self.is_stale(lease) {
            return Settlement::Late;
        }
        let (delivery, after) = match ended {
            Ended::Done => {
                self.settle_done(lease.offset, now);
                return Settlement::Accepted;
            }
            Ended::Failed { after } => (lease.delivery.saturating_add(1), after),
            Ended::Returned { after } | Ended::Parked { after, .. } => (lease.delivery, after),
            // Beyond the limit, so that it is not delivered again, but exhausted.
            Ended::Unmoved { after } => {
                let limit = self.limits.deliveries_max.unwrap_or(u32::MAX);
                (lease.delivery.max(limit.saturating_add(1)), after)
            }
        };
        let is_failed = matches!(ended, Ended::Failed { .. });
        if is_failed && self.is_exhausted(delivery) {
            return Settlement::Exhausted;
        }
        // Records that are done behind it are handled again, so that the last one of the key is handled last.
        let is_failed = !matches!(ended, Ended::Returned { .. });
        self.give_back(
            lease.offset,
            delivery,
            now.saturating_add(after),
            now,
            is_failed,
        );
        if let Some(exception) = self.exceptions.get_mut(&lease.offset) {
            match ended {
                Ended::Parked { attempts, .. } => exception.attempts = attempts,
                // The next delivery is a new beginning.
                Ended::Failed { .. } => exception.attempts = 0,
                _ => {}
            }
        }
        Settlement::Accepted
    }

    /// How often the pipeline had tried to handle the record when it parked it.
    pub(crate) fn attempts(&self, offset: u64) -> u32 {
        self.exceptions
            .get(&offset)
            .map_or(0, |known| known.attempts)
    }

    /// A record waits for its next delivery, and the later ones of its key behind it. After a failure these are also the ones that are done
    /// already: they were handled before it, and are handled again behind it.
    fn give_back(&mut self, offset: u64, delivery: u32, due: Millis, now: Millis, is_failed: bool) {
        let behind = match &mut self.lanes {
            None => Vec::new(),
            Some(lanes) => {
                lanes.block(offset);
                let settled = &self.settled;
                let waits =
                    |later: &u64| *later < self.cursor && (is_failed || !settled.contains(*later));
                let later = lanes.later_of_lane(offset).filter(waits);
                later.collect()
            }
        };
        self.wait(offset, delivery, due, true);
        for later in behind {
            self.settled.remove(later);
            let known = self.exceptions.get(&later).copied();
            if let Some(Exception {
                state: State::Waiting { due },
                ..
            }) = known
            {
                self.due.remove(&(due, later));
            } else {
                // It was delivered, and is taken from its holder.
                self.generation += 1;
            }
            if let Some(lanes) = &mut self.lanes {
                lanes.hold_if_blocked(later);
            }
            self.wait(later, known.map_or(1, |known| known.delivery), now, false);
        }
    }

    fn wait(&mut self, offset: u64, delivery: u32, due: Millis, is_first: bool) {
        let state = State::Waiting { due };
        // No earlier holder can take this delivery for its own.
        let known = self.exceptions.get(&offset);
        let (turn, attempts) = known.map_or((1, 0), |known| (known.turn + 1, known.attempts));
        let exception = Exception {
            state,
            delivery,
            turn,
            attempts,
        };
        self.exceptions.insert(offset, exception);
        if is_first {
            self.due.insert((due, offset));
        }
    }

    fn settle_done(&mut self, offset: u64, now: Millis) {
        self.settled.insert(offset);
        let was_exception =
            !self.exceptions.is_empty() && self.exceptions.remove(&offset).is_some();
        if was_exception && let Some(lanes) = &mut self.lanes {
            // The next of the lane, which waited behind it, is due.
            if let Some(next) = lanes.unblock(offset)
                && let Some(exception) = self.exceptions.get_mut(&next)
            {
                exception.state = State::Waiting { due: now };
                self.due.insert((now, next));
            }
        }
        if offset == self.watermark {
            self.advance();
        }
    }

    /// Moves the watermark over settled records, and with it the cursor where an earlier process has settled what follows.
    fn advance(&mut self) {
        self.watermark = self.settled.advance(self.watermark);
        self.cursor = self.cursor.max(self.watermark);
        if let Some(lanes) = &mut self.lanes {
            lanes.forget_below(self.watermark);
        }
        while self
            .fresh
            .pop_front_if(|fresh| fresh.end <= self.watermark)
            .is_some()
        {}
    }

    /// How many records are delivered and not settled.
    pub(crate) fn leased(&self) -> u64 {
        let open =
            self.cursor - self.watermark - self.settled.count_in(self.watermark, self.cursor);
        let waiting = self.exceptions.range(self.watermark..self.cursor);
        let waiting = waiting.filter(|(_, known)| matches!(known.state, State::Waiting { .. }));
        open - waiting.count() as u64
    }
}
