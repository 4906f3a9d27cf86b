//! The deliveries of a channel that are unsettled, and the frames with which they are settled.
//!
//! A delivery tag belongs to its channel, and tags count up. `basic.ack` with `multiple` settles all deliveries up to a tag, so messages
//! that succeeded without a gap from the oldest on need one frame. The acknowledgement of a message that succeeded after one that is still
//! in the pipeline is held back, but not for long: after [`ACK_DELAY_MAX`], or when a quarter of the prefetch window is held back, each
//! of these gets a frame of its own, so one slow message never fills the window.
//!
//! A message that waits for its requeue is unsettled until then, but no longer than the broker allows (`consumer_timeout`): it goes back
//! before that. A stream can neither requeue nor reject a message: its consumer is opened again at the oldest message that did not
//! succeed.
//!
//! This type never waits and reads no clock. Its size is bounded by the prefetch window: the broker sends nothing beyond it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

#[cfg(test)]
mod tests;

/// The longest that an acknowledgement is held back for those before it.
pub(crate) const ACK_DELAY_MAX: Duration = Duration::from_millis(50);

/// A delivery: its tag, and the generation of the channel to which the tag belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub(crate) generation: u64,
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
}

/// A frame to send to the broker. Frames must be sent in the order in which they are produced.
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
    /// Nothing more on this channel: a message of a stream has to be delivered again, so the consumer is opened again.
    Reopen,
}

/// A delivery that is handed to the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewDelivery {
    pub(crate) tag: u64,
    /// Its offset in a stream.
    pub(crate) offset: Option<u64>,
    /// When it was sent, according to its sender, in seconds since 1970.
    pub(crate) sent_secs: Option<u64>,
}

/// How a delivery is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    Ack,
    Reject,
    Requeue,
    RequeueAfter(Duration),
}

/// A pause that was shortened because the broker does not let a message be unsettled for that long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortenedPause {
    pub(crate) requested: Duration,
    pub(crate) actual: Duration,
}

/// The age of the oldest unsettled delivery, by what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OldestUnsettled {
    /// The pipeline, or the acknowledgement of an earlier message.
    InPipeline(Duration),
    /// Its requeue.
    Paused(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeliveryState {
    InPipeline,
    /// It succeeded, and its acknowledgement is held back.
    AckHeld,
    /// It failed, and its requeue is due later.
    RequeuePending,
    /// The client could not read it, and the source halts.
    Unreadable,
}

#[derive(Debug, Clone, Copy)]
struct UnsettledDelivery {
    state: DeliveryState,
    offset: Option<u64>,
    delivered_at: Instant,
    sent_secs: Option<u64>,
}

/// The unsettled deliveries of one channel.
#[derive(Debug)]
pub(crate) struct Unsettled {
    /// By tag, so the first entry is the oldest.
    deliveries: BTreeMap<u64, UnsettledDelivery>,
    in_pipeline: usize,
    acks_held: usize,
    acks_held_max: usize,
    /// When the first of the acknowledgements that are held back was held.
    held_since: Option<Instant>,
    /// Requeues by their due time, the earliest first.
    requeues: BinaryHeap<Reverse<(Instant, u64)>>,
    /// The longest that a delivery may be unsettled for the sake of a pause.
    pause_max: Option<Duration>,
    /// The longest pause that was shortened and not reported yet.
    shortened: Option<ShortenedPause>,
    is_stream: bool,
    /// The offset after the last delivery of a stream.
    next_offset: Option<u64>,
    last_tag: u64,
}

impl Unsettled {
    pub(crate) fn new(prefetch: u16, is_stream: bool, pause_max: Option<Duration>) -> Self {
        Self {
            deliveries: BTreeMap::new(),
            in_pipeline: 0,
            acks_held: 0,
            acks_held_max: usize::from(prefetch / 4).max(1),
            held_since: None,
            requeues: BinaryHeap::new(),
            pause_max,
            shortened: None,
            is_stream,
            next_offset: None,
            last_tag: 0,
        }
    }

    /// Registers a delivery that the pipeline gets.
    pub(crate) fn deliver(&mut self, delivery: NewDelivery, now: Instant) {
        let NewDelivery {
            tag,
            offset,
            sent_secs,
        } = delivery;
        let entry = UnsettledDelivery {
            state: DeliveryState::InPipeline,
            offset,
            delivered_at: now,
            sent_secs,
        };
        self.last_tag = tag;
        let before = self.deliveries.insert(tag, entry);
        debug_assert!(before.is_none(), "a tag is delivered once");
        self.in_pipeline += 1;
        if let Some(offset) = offset {
            self.next_offset = Some(offset + 1);
        }
    }

    /// Settles a delivery. Frames that cannot be grouped are appended to `out`; the others follow with [`flush`](Self::flush).
    pub(crate) fn settle(
        &mut self,
        tag: u64,
        settlement: Settlement,
        now: Instant,
        out: &mut Vec<AckFrame>,
    ) {
        let Some(delivery) = self.deliveries.get_mut(&tag) else {
            debug_assert!(false, "a token is settled once");
            return;
        };
        self.in_pipeline -= 1;
        match settlement {
            Settlement::Reject if !self.is_stream => self.nack(tag, false, out),
            // To reject a message of a stream is to read on after it.
            Settlement::Ack | Settlement::Reject => {
                delivery.state = DeliveryState::AckHeld;
                self.acks_held += 1;
                self.held_since.get_or_insert(now);
            }
            // A stream has nothing to give back: the entry keeps the offset at which to read on.
            Settlement::Requeue if self.is_stream => {
                delivery.state = DeliveryState::RequeuePending;
            }
            Settlement::Requeue => self.nack(tag, true, out),
            Settlement::RequeueAfter(pause) => {
                delivery.state = DeliveryState::RequeuePending;
                let wanted = now + pause;
                // The broker counts from the delivery, not from the failure. If that time is over, the requeue is due now.
                let due = match self.pause_max {
                    Some(max) => wanted.min((delivery.delivered_at + max).max(now)),
                    None => wanted,
                };
                if due < wanted
                    && self
                        .shortened
                        .is_none_or(|longest| longest.requested < pause)
                {
                    self.shortened = Some(ShortenedPause {
                        requested: pause,
                        actual: due - now,
                    });
                }
                self.requeues.push(Reverse((due, tag)));
            }
        }
    }

    /// How long this delivery can wait for its requeue from `now` on: `Duration::MAX` without a limit, `None` if it cannot wait. In a stream
    /// a pause would repeat all messages after it.
    pub(crate) fn delay_max(&self, tag: u64, now: Instant) -> Option<Duration> {
        let delivery = self.deliveries.get(&tag).filter(|_| !self.is_stream)?;
        let Some(max) = self.pause_max else {
            return Some(Duration::MAX);
        };
        let left = (delivery.delivered_at + max).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Withdraws a delivery from the pipeline. It stays unsettled until the channel closes, and so goes back into its queue.
    pub(crate) fn withdraw(&mut self, tag: u64) {
        if let Some(delivery) = self.deliveries.get_mut(&tag)
            && delivery.state == DeliveryState::InPipeline
        {
            delivery.state = DeliveryState::Unreadable;
            self.in_pipeline -= 1;
        }
    }

    /// Appends the frames that are due to `out`.
    pub(crate) fn flush(&mut self, now: Instant, out: &mut Vec<AckFrame>) {
        // Requeues go first: a delivery that is gone no longer interrupts the prefix that one frame acknowledges.
        self.requeue_due(Some(now), out);
        self.ack_prefix(out);
        let is_due = self
            .held_since
            .is_some_and(|since| now >= since + ACK_DELAY_MAX);
        if is_due || self.acks_held >= self.acks_held_max {
            self.ack_held(out);
        }
    }

    /// Appends all frames that can be sent: pauses end now. Deliveries that are in the pipeline stay.
    pub(crate) fn finish(&mut self, out: &mut Vec<AckFrame>) {
        if !self.is_stream {
            self.requeue_due(None, out);
        }
        self.ack_prefix(out);
        self.ack_held(out);
    }

    /// When [`flush`](Self::flush) has something to send, if nothing is settled before.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let held = self.held_since.map(|since| since + ACK_DELAY_MAX);
        let requeue = self.requeues.peek().map(|Reverse((due, _))| *due);
        held.into_iter().chain(requeue).min()
    }

    /// The longest pause that was shortened since the last call.
    pub(crate) fn take_shortened_pause(&mut self) -> Option<ShortenedPause> {
        self.shortened.take()
    }

    /// The offset at which to continue a stream: the offset of the oldest delivery that did not succeed, or else the offset after the last delivery.
    pub(crate) fn resume_offset(&self) -> Option<u64> {
        let mut deliveries = self.deliveries.values();
        let oldest = deliveries.find(|delivery| delivery.state != DeliveryState::AckHeld);
        oldest.map_or(self.next_offset, |delivery| delivery.offset)
    }

    /// The number of deliveries that are unsettled at the broker.
    pub(crate) fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// The number of deliveries that the pipeline has.
    pub(crate) fn in_pipeline(&self) -> usize {
        self.in_pipeline
    }

    /// The delivery that has been unsettled for the longest time.
    pub(crate) fn oldest(&self, now: Instant) -> Option<OldestUnsettled> {
        let deliveries = self.deliveries.values();
        let oldest = deliveries.min_by_key(|delivery| delivery.delivered_at)?;
        let age = now.saturating_duration_since(oldest.delivered_at);
        Some(match oldest.state {
            DeliveryState::RequeuePending => OldestUnsettled::Paused(age),
            DeliveryState::InPipeline | DeliveryState::AckHeld | DeliveryState::Unreadable => {
                OldestUnsettled::InPipeline(age)
            }
        })
    }

    /// When the unsettled message that was sent first was sent, in seconds since 1970; `None` if no sender set a time.
    pub(crate) fn oldest_sent_secs(&self) -> Option<u64> {
        let deliveries = self.deliveries.values();
        deliveries.filter_map(|delivery| delivery.sent_secs).min()
    }

    /// The tag of the last delivery; 0 before the first.
    pub(crate) fn last_tag(&self) -> u64 {
        self.last_tag
    }

    fn nack(&mut self, tag: u64, requeue: bool, out: &mut Vec<AckFrame>) {
        self.deliveries.remove(&tag);
        out.push(AckFrame::Nack { tag, requeue });
    }

    /// Requeues the messages that are due at `now`, or all messages that wait for their requeue.
    fn requeue_due(&mut self, now: Option<Instant>, out: &mut Vec<AckFrame>) {
        while let Some(&Reverse((due, tag))) = self.requeues.peek() {
            if now.is_some_and(|now| due > now) {
                return;
            }
            self.requeues.pop();
            if self.is_stream {
                // The entry stays, so that `resume_offset` finds it.
                out.push(AckFrame::Reopen);
                return;
            }
            self.nack(tag, true, out);
        }
    }

    /// Acknowledges what succeeded without a gap from the oldest delivery on.
    fn ack_prefix(&mut self, out: &mut Vec<AckFrame>) {
        let (mut last, mut n) = (0, 0);
        while let Some(first) = self.deliveries.first_entry() {
            if first.get().state != DeliveryState::AckHeld {
                break;
            }
            last = first.remove_entry().0;
            n += 1;
        }
        // Everything up to `last` is settled at the broker or here, so `multiple` settles these and nothing else.
        if n > 0 {
            let multiple = n > 1;
            out.push(AckFrame::Ack {
                tag: last,
                multiple,
            });
        }
        self.remove_held(n);
    }

    /// Acknowledges each message whose acknowledgement is held back, with a frame of its own.
    fn ack_held(&mut self, out: &mut Vec<AckFrame>) {
        if self.acks_held == 0 {
            return;
        }
        self.deliveries.retain(|&tag, delivery| {
            let is_held = delivery.state == DeliveryState::AckHeld;
            if is_held {
                out.push(AckFrame::Ack {
                    tag,
                    multiple: false,
                });
            }
            !is_held
        });
        self.remove_held(self.acks_held);
    }

    fn remove_held(&mut self, n: usize) {
        self.acks_held -= n;
        if self.acks_held == 0 {
            self.held_since = None;
        }
    }
}
