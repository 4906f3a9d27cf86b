//! Which messages of a channel are settled, and in which frames that is told to the broker.
//!
//! A delivery tag belongs to its channel, and tags grow. `basic.ack` with `multiple` settles all up to a tag, so the messages
//! that succeeded without a gap from the oldest on are told in one frame. What succeeded beyond a message that is still in
//! work waits for it, but not for long: after [`HELD_TIME`], or when a quarter of the prefetch window waits so, each of these
//! is told by itself, and one slow message never fills the window. A message that is to be requeued after a pause is
//! unsettled until then, but no longer than the broker lets a message be (`consumer_timeout`): it goes back before. In a stream nothing can be requeued or rejected: there the channel is opened again at the oldest
//! message that did not succeed.
//!
//! Nothing here waits or looks at a clock. Memory is bounded by what is unsettled at the broker, the prefetch window.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

#[cfg(test)]
mod tests;

/// The longest that the acknowledgement of one message waits for those before it.
pub(crate) const HELD_TIME: Duration = Duration::from_millis(50);

/// A delivery: a tag, and the generation of the channel that alone knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub(crate) generation: u64,
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
}

/// One thing to tell the broker, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckFrame {
    Ack {
        tag: u64,
        multiple: bool,
    },
    Nack {
        tag: u64,
        requeue: bool,
    },
    /// Nothing on this channel any more: it is to be opened again, for a message of a stream has to come again.
    Reopen,
}

/// A message that is handed to the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewDelivery {
    pub(crate) tag: u64,
    /// In a stream, where it stands.
    pub(crate) offset: Option<u64>,
    /// When it was sent, as its sender says, in seconds since 1970.
    pub(crate) sent: Option<u64>,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    Ack,
    Reject,
    Requeue,
    RequeueAfter(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeliveryState {
    /// With the pipeline.
    Open,
    /// Succeeded, not told yet.
    Held,
    /// Failed; comes again later.
    Waiting,
    /// The client could not read it, and the source halts over it.
    Unreadable,
}

#[derive(Debug, Clone, Copy)]
struct UnsettledDelivery {
    state: DeliveryState,
    /// In a stream, where it stands.
    offset: Option<u64>,
    /// When it was delivered.
    since: Instant,
    /// When it was sent, if its sender says so.
    sent: Option<u64>,
}

/// A pause that was longer than the broker lets a message wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortenedPause {
    pub(crate) asked: Duration,
    pub(crate) given: Duration,
}

/// What a message has been at that was unsettled for this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OldestUnsettled {
    InWork(Duration),
    Pausing(Duration),
}

#[derive(Debug)]
pub(crate) struct Unsettled {
    /// What is unsettled at the broker, by tag.
    slots: BTreeMap<u64, UnsettledDelivery>,
    held: usize,
    held_max: usize,
    held_since: Option<Instant>,
    waiting: BinaryHeap<Reverse<(Instant, u64)>>,
    /// With the pipeline.
    open: usize,
    /// The longest that a message may be unsettled for a pause.
    pause_max: Option<Duration>,
    /// The longest pause that was cut and nobody was told of.
    cut: Option<ShortenedPause>,
    is_stream: bool,
    /// In a stream, the offset after the last that was delivered.
    next_offset: Option<u64>,
    /// That of the last message that was delivered.
    last_tag: u64,
}

impl Unsettled {
    pub(crate) fn new(prefetch: u16, is_stream: bool, pause_max: Option<Duration>) -> Self {
        Self {
            slots: BTreeMap::new(),
            held: 0,
            held_max: usize::from(prefetch / 4).max(1),
            held_since: None,
            waiting: BinaryHeap::new(),
            open: 0,
            pause_max,
            cut: None,
            is_stream,
            next_offset: None,
            last_tag: 0,
        }
    }

    /// A message was handed to the pipeline.
    pub(crate) fn delivered(&mut self, arrival: NewDelivery, now: Instant) {
        let NewDelivery { tag, offset, sent } = arrival;
        let slot = UnsettledDelivery {
            state: DeliveryState::Open,
            offset,
            since: now,
            sent,
        };
        self.last_tag = tag;
        let before = self.slots.insert(tag, slot);
        debug_assert!(before.is_none(), "a tag is delivered once");
        self.open += 1;
        if let Some(offset) = offset {
            self.next_offset = Some(offset + 1);
        }
    }

    /// A message ended. What is to be told follows with [`flush`](Self::flush), except for what is to be told at once.
    pub(crate) fn settle(
        &mut self,
        tag: u64,
        ending: Settlement,
        now: Instant,
        out: &mut Vec<AckFrame>,
    ) {
        let Some(slot) = self.slots.get_mut(&tag) else {
            debug_assert!(false, "a token is settled once");
            return;
        };
        self.open -= 1;
        match ending {
            // In a stream a message can only be passed over.
            Settlement::Reject if !self.is_stream => self.nack(tag, false, out),
            Settlement::Ack | Settlement::Reject => {
                slot.state = DeliveryState::Held;
                self.held += 1;
                self.held_since.get_or_insert(now);
            }
            // It comes again to whoever reads on from here.
            Settlement::Requeue if self.is_stream => slot.state = DeliveryState::Waiting,
            Settlement::Requeue => self.nack(tag, true, out),
            Settlement::RequeueAfter(pause) => {
                slot.state = DeliveryState::Waiting;
                let wanted = now + pause;
                let at = match self.pause_max {
                    Some(max) => wanted.min((slot.since + max).max(now)),
                    None => wanted,
                };
                if at < wanted && self.cut.is_none_or(|cut| cut.asked < pause) {
                    self.cut = Some(ShortenedPause {
                        asked: pause,
                        given: at - now,
                    });
                }
                self.waiting.push(Reverse((at, tag)));
            }
        }
    }

    /// A message that was delivered is not for the pipeline: it stays unsettled until the channel ends.
    pub(crate) fn set_aside(&mut self, tag: u64) {
        if let Some(slot) = self.slots.get_mut(&tag)
            && slot.state == DeliveryState::Open
        {
            slot.state = DeliveryState::Unreadable;
            self.open -= 1;
        }
    }

    /// How many messages are with the pipeline.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// The longest pause that was cut since this was asked.
    pub(crate) fn take_cut(&mut self) -> Option<ShortenedPause> {
        self.cut.take()
    }

    /// What the message does that was unsettled for the longest time.
    pub(crate) fn oldest(&self, now: Instant) -> Option<OldestUnsettled> {
        let oldest = self.slots.values().min_by_key(|slot| slot.since)?;
        let age = now.saturating_duration_since(oldest.since);
        Some(match oldest.state {
            DeliveryState::Waiting => OldestUnsettled::Pausing(age),
            DeliveryState::Open | DeliveryState::Held | DeliveryState::Unreadable => {
                OldestUnsettled::InWork(age)
            }
        })
    }

    /// What is to be told now.
    pub(crate) fn flush(&mut self, now: Instant, out: &mut Vec<AckFrame>) {
        // First, for they may stand in the way of a prefix.
        self.requeue_due(Some(now), out);
        self.ack_prefix(out);
        let is_due = self
            .held_since
            .is_some_and(|since| now >= since + HELD_TIME);
        if is_due || self.held >= self.held_max {
            self.ack_held(out);
        }
    }

    /// All that can be told: pauses end now. What is left is with the pipeline.
    pub(crate) fn finish(&mut self, out: &mut Vec<AckFrame>) {
        if !self.is_stream {
            self.requeue_due(None, out);
        }
        self.ack_prefix(out);
        self.ack_held(out);
    }

    /// When [`flush`](Self::flush) has something to tell, if nothing else happens.
    pub(crate) fn due(&self) -> Option<Instant> {
        let held = self.held_since.map(|since| since + HELD_TIME);
        let waiting = self.waiting.peek().map(|Reverse((at, _))| *at);
        held.into_iter().chain(waiting).min()
    }

    /// In a stream, where to read on: at the oldest message that did not succeed, or else after the last one.
    pub(crate) fn resume(&self) -> Option<u64> {
        let mut slots = self.slots.values();
        let oldest = slots.find(|slot| slot.state != DeliveryState::Held);
        oldest.map_or(self.next_offset, |slot| slot.offset)
    }

    /// When the oldest message that is unsettled was sent, of those whose senders say so, in seconds since 1970.
    pub(crate) fn oldest_sent(&self) -> Option<u64> {
        self.slots.values().filter_map(|slot| slot.sent).min()
    }

    /// The tag of the last message that was delivered; 0 before the first.
    pub(crate) fn last_tag(&self) -> u64 {
        self.last_tag
    }

    /// How many messages were delivered and are unsettled at the broker.
    pub(crate) fn unsettled(&self) -> usize {
        self.slots.len()
    }

    fn nack(&mut self, tag: u64, requeue: bool, out: &mut Vec<AckFrame>) {
        self.slots.remove(&tag);
        out.push(AckFrame::Nack { tag, requeue });
    }

    /// Requeues what has waited until `now`, or all.
    fn requeue_due(&mut self, now: Option<Instant>, out: &mut Vec<AckFrame>) {
        while let Some(&Reverse((at, tag))) = self.waiting.peek() {
            if now.is_some_and(|now| at > now) {
                return;
            }
            self.waiting.pop();
            if self.is_stream {
                out.push(AckFrame::Reopen);
                return;
            }
            self.nack(tag, true, out);
        }
    }

    fn ack_prefix(&mut self, out: &mut Vec<AckFrame>) {
        let (mut last, mut n) = (0, 0);
        while let Some(first) = self.slots.first_entry() {
            if first.get().state != DeliveryState::Held {
                break;
            }
            last = first.remove_entry().0;
            n += 1;
        }
        if n > 0 {
            let multiple = n > 1;
            out.push(AckFrame::Ack {
                tag: last,
                multiple,
            });
        }
        self.release(n);
    }

    fn ack_held(&mut self, out: &mut Vec<AckFrame>) {
        if self.held == 0 {
            return;
        }
        self.slots.retain(|&tag, slot| {
            let is_held = slot.state == DeliveryState::Held;
            if is_held {
                out.push(AckFrame::Ack {
                    tag,
                    multiple: false,
                });
            }
            !is_held
        });
        self.release(self.held);
    }

    fn release(&mut self, n: usize) {
        self.held -= n;
        if self.held == 0 {
            self.held_since = None;
        }
    }
}
