//! Confirmations of a subscription with exactly-once delivery, where only a confirmed acknowledgement counts: [`Confirmer`].
//!
//! One task waits for all of them, so that a processor does not wait for the tenth of a second in which the client collects
//! acknowledgements. It reports those that are not confirmed as [`Event::AckFailed`].

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use broadway_core::{
    Callback, Reason,
    telemetry::{AffectedMessages, Emitter, Event, MessageInfo},
};
use futures_util::{
    FutureExt,
    stream::{FuturesUnordered, StreamExt},
};
use google_cloud_pubsub::error::AckError;
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use crate::unsettled::ExactlyOnceAck;

/// Maximum number of results in one report.
const REPORT_MAX: usize = 1_000;
/// How many of them are reported by id.
const IDS_MAX: usize = 3;

/// A handle to the task that confirms acknowledgements. The task ends when all handles are dropped and everything is confirmed or has
/// failed.
#[derive(Clone)]
pub(crate) struct Confirmer {
    commands: UnboundedSender<ConfirmCommand>,
    failed: Arc<AtomicU64>,
}

enum ConfirmCommand {
    Confirm(Vec<ExactlyOnceAck>),
    /// Answered when nothing waits any more.
    Flush(oneshot::Sender<()>),
}

impl Confirmer {
    /// Spawns the task.
    pub(crate) fn spawn(producer: usize, emitter: Emitter) -> Self {
        let (commands, received) = unbounded_channel();
        let failed = Arc::new(AtomicU64::new(0));
        tokio::spawn(confirm(received, producer, emitter, failed.clone()));
        Self { commands, failed }
    }

    pub(crate) fn confirm(&self, acks: Vec<ExactlyOnceAck>) {
        if !acks.is_empty() {
            // Sending fails only while the runtime shuts down. That drops the handlers, which nacks their messages.
            drop(self.commands.send(ConfirmCommand::Confirm(acks)));
        }
    }

    /// Waits until all earlier acknowledgements are confirmed or have failed.
    pub(crate) async fn flush(&self) {
        let (reply, flushed) = oneshot::channel();
        drop(self.commands.send(ConfirmCommand::Flush(reply)));
        drop(flushed.await);
    }

    /// The number of acknowledgements that were not confirmed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

async fn confirm(
    mut commands: UnboundedReceiver<ConfirmCommand>,
    producer: usize,
    emitter: Emitter,
    failed: Arc<AtomicU64>,
) {
    // A handler that waits for its confirmation keeps the client's lease loop alive. Without it, the client's shutdown would nack
    // messages whose acknowledgement is in flight.
    let mut waiting = FuturesUnordered::new();
    let mut flushes = Vec::new();
    let mut is_open = true;
    while is_open || !waiting.is_empty() {
        // Commands come in order, so an empty set means that everything before each flush is answered.
        if waiting.is_empty() {
            for reply in flushes.drain(..) {
                let _: Result<(), ()> = oneshot::Sender::send(reply, ());
            }
        }
        tokio::select! {
            command = commands.recv(), if is_open => match command {
                Some(ConfirmCommand::Confirm(acks)) => {
                    waiting.extend(acks.into_iter().map(|ack| async {
                        let ExactlyOnceAck { id, handler } = ack;
                        (id, handler.confirmed_ack().await)
                    }));
                }
                Some(ConfirmCommand::Flush(reply)) => flushes.push(reply),
                None => is_open = false,
            },
            Some(first) = waiting.next(), if !waiting.is_empty() => {
                // Results that are ready now share one event.
                let mut report = ConfirmReport::default();
                report.add(first);
                while report.seen < REPORT_MAX
                    && let Some(Some(result)) = waiting.next().now_or_never()
                {
                    report.add(result);
                }
                report.emit(producer, &emitter, &failed);
            }
        }
    }
}

/// Results that came together.
#[derive(Default)]
struct ConfirmReport {
    seen: usize,
    failed: usize,
    /// The ids of the first that failed.
    ids: Vec<Box<str>>,
    error: Option<AckError>,
}

impl ConfirmReport {
    fn add(&mut self, (id, result): (Box<str>, Result<(), AckError>)) {
        self.seen += 1;
        if let Err(error) = result {
            self.failed += 1;
            if self.ids.len() < IDS_MAX {
                self.ids.push(id);
            }
            self.error.get_or_insert(error);
        }
    }

    fn emit(self, producer: usize, emitter: &Emitter, failed: &AtomicU64) {
        let Some(error) = self.error else { return };
        failed.fetch_add(self.failed as u64, Ordering::Relaxed);
        let reason = Reason::error(Callback::Settle, format!("not confirmed: {error}"));
        let ids = &self.ids;
        emitter.emit(&Event::ack_failed(
            producer,
            self.failed,
            &reason,
            AffectedMessages::new(ids.len(), &|index| MessageInfo::new(&*ids[index])),
        ));
    }
}
