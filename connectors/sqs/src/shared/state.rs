//! The state under the lock of [`SqsShared`](super::SqsShared): the deciding values, and what passes between them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

use broadway_core::{Deadline, Delivery, connector::ConnectorError};

use crate::{
    ack_queue::{AckQueue, AckRequest},
    config::Sqs,
    leases::{AckAction, LeaseExtension, PendingAck, Token},
    poll_limit::PollLimit,
    record::SqsRecord,
    unsettled::UnsettledMessages,
};

pub(crate) struct SqsState {
    pub(crate) unsettled: UnsettledMessages,
    pub(crate) ack_queue: AckQueue,
    pub(crate) poll_limit: PollLimit,
    /// Received messages that no call of `produce` has taken.
    pub(crate) buffer: VecDeque<Delivery<SqsRecord, Token>>,
    /// By the slot of the token.
    summaries: Vec<MessageSummary>,
    /// Acks between `unsettled` and `ack_queue`.
    pub(crate) pending_acks: Vec<PendingAck>,
    /// Extension requests in flight.
    pub(crate) extension_requests: usize,
    /// When the ack task wakes without a notification.
    pub(crate) wake_at: Option<Instant>,
    /// The error with which the next call of `produce` fails.
    pub(crate) failure: Option<ConnectorError>,
    pub(crate) phase: ProducerPhase,
    /// Entries that were given up without a confirmation.
    pub(crate) unconfirmed: u64,
    /// Messages that succeeded and were returned when the source closed.
    pub(crate) repeats: u64,
    pub(crate) reported: ReportedCounts,
    /// The ids of the first late messages that have not been reported.
    pub(crate) late_ids: Vec<String>,
}

/// How many late messages are reported by id.
const LATE_IDS_MAX: usize = 3;

/// What logs and lag need of an unsettled message.
#[derive(Default)]
struct MessageSummary {
    message_id: String,
    sent: Option<SystemTime>,
}

/// What observers know already.
#[derive(Default)]
pub(crate) struct ReportedCounts {
    pub(crate) late: u64,
    pub(crate) lost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProducerPhase {
    Running,
    /// No polls start.
    Stopped,
    /// No message will be settled: the ack task ends when nothing is left to send, or at this time.
    Finishing(Deadline),
}

/// What a call of `produce` got, and the polls to start: how many messages each requests.
pub(crate) struct TakeResult {
    pub(crate) n: usize,
    pub(crate) polls: Vec<usize>,
    /// When polls may start again, if they are paused.
    pub(crate) retry_at: Option<Instant>,
}

/// What the ack task does next.
pub(crate) struct AckTaskStep {
    pub(crate) requests: Vec<AckRequest>,
    pub(crate) extensions: Vec<LeaseExtension>,
    pub(crate) wake_at: Option<Instant>,
    pub(crate) is_finished: bool,
}

impl SqsState {
    pub(crate) fn new(source: &Sqs, visibility: Duration) -> Self {
        Self {
            unsettled: UnsettledMessages::new(visibility, source.lease_max),
            ack_queue: AckQueue::new(source.deletes_max),
            poll_limit: PollLimit::new(source.receives_max),
            buffer: VecDeque::new(),
            summaries: Vec::new(),
            pending_acks: Vec::new(),
            extension_requests: 0,
            wake_at: None,
            failure: None,
            phase: ProducerPhase::Running,
            unconfirmed: 0,
            repeats: 0,
            reported: ReportedCounts::default(),
            late_ids: Vec::new(),
        }
    }

    /// Keeps the id and the time of a received message, for logs and lag.
    pub(crate) fn remember(&mut self, token: Token, record: &SqsRecord) {
        let index = token.index();
        if index >= self.summaries.len() {
            self.summaries
                .resize_with(index + 1, MessageSummary::default);
        }
        let summary = &mut self.summaries[index];
        // Ids have equal lengths, so the buffer of the slot's earlier message is reused without allocating.
        summary.message_id.clear();
        summary.message_id.push_str(record.message_id());
        summary.sent = record.sent_time();
    }

    /// When the oldest unsettled message was sent. `None` if there is none, or the attribute was not requested.
    pub(crate) fn oldest_sent(&self) -> Option<SystemTime> {
        let tokens = self.unsettled.tokens().into_iter();
        tokens
            .filter_map(|token| self.summaries.get(token.index())?.sent)
            .min()
    }

    pub(crate) fn message_id(&self, token: Token) -> &str {
        let summary = self.summaries.get(token.index());
        summary.map_or("", |summary| &summary.message_id)
    }

    /// Settles a message that a handler has had.
    pub(crate) fn settle(&mut self, token: Token, action: AckAction, now: Instant) {
        let late = self.unsettled.late();
        self.unsettled
            .settle(token, action, now, &mut self.pending_acks);
        if self.unsettled.late() > late {
            self.note_late(token);
        }
    }

    /// Keeps the id of a late message for the event that reports it, up to [`LATE_IDS_MAX`].
    fn note_late(&mut self, token: Token) {
        if self.late_ids.len() < LATE_IDS_MAX {
            self.late_ids.push(self.message_id(token).to_owned());
        }
    }

    /// Moves pending acks to the ack queue.
    pub(crate) fn enqueue_acks(&mut self, now: Instant) {
        for ack in self.pending_acks.drain(..) {
            if ack.action != AckAction::Leave {
                self.ack_queue.push(ack, now);
            }
        }
    }

    /// Returns a message to the queue that no handler has started on.
    pub(crate) fn release(&mut self, token: Token, now: Instant) {
        self.unsettled.release(token, now, &mut self.pending_acks);
    }

    /// Whether the ack task has something to do before `wake_at`.
    pub(crate) fn must_wake_ack_task(&self, now: Instant) -> bool {
        let next = self
            .ack_queue
            .next_at()
            .into_iter()
            .chain(self.unsettled.next_due());
        let is_earlier = |at: Instant| self.wake_at.is_none_or(|wake_at| at < wake_at);
        self.ack_queue.is_ready(now) || next.min().is_some_and(is_earlier)
    }

    /// Whether nothing waits to be sent or is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.ack_queue.len() == 0 && self.unsettled.extending() == 0
    }
}

/// The state, while the response to a request of the ack task is applied.
pub(crate) struct ResponseUpdate<'a> {
    pub(crate) state: &'a mut SqsState,
    pub(crate) now: Instant,
}

impl ResponseUpdate<'_> {
    /// For a request of `n` entries of the ack queue.
    pub(crate) fn ack_queue(&mut self, n: usize) -> &mut AckQueue {
        self.state.ack_queue.on_response(n);
        &mut self.state.ack_queue
    }

    /// Counts entries that were given up without a confirmation.
    pub(crate) fn add_unconfirmed(&mut self, n: usize) {
        self.state.unconfirmed += n as u64;
    }

    /// For a request of extensions.
    pub(crate) fn extensions(&mut self) -> (&mut UnsettledMessages, &mut Vec<PendingAck>) {
        self.state.extension_requests -= 1;
        (&mut self.state.unsettled, &mut self.state.pending_acks)
    }
}
