//! Confirmations of a subscription with exactly-once delivery: only what the service confirms is done.
//!
//! One task waits for all of them, so that a processor need not wait out the tenth of a second for which the client collects
//! acknowledgements. What was not confirmed is told as [`Event::AckFailed`].

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use broadway_core::{
    Callback, Reason,
    telemetry::{Affected, Emitter, Event, MessageInfo},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use google_cloud_pubsub::error::AckError;
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use crate::held::Unconfirmed;

/// How many results are told as one, at most.
const TELL_MAX: usize = 1_000;
/// How many of them are named.
const IDS_MAX: usize = 3;

/// Where acknowledgements go that are to be confirmed.
#[derive(Clone)]
pub(crate) struct Confirmer {
    orders: UnboundedSender<Order>,
    failed: Arc<AtomicU64>,
}

enum Order {
    Confirm(Vec<Unconfirmed>),
    /// To be answered when nothing waits any more.
    Flush(oneshot::Sender<()>),
}

impl Confirmer {
    /// The confirmer, and its task, which ends when all confirmers are dropped and all is confirmed or has failed.
    pub(crate) fn spawn(producer: usize, emitter: Emitter) -> Self {
        let (orders, received) = unbounded_channel();
        let failed = Arc::new(AtomicU64::new(0));
        tokio::spawn(confirm(received, producer, emitter, failed.clone()));
        Self { orders, failed }
    }

    pub(crate) fn confirm(&self, handlers: Vec<Unconfirmed>) {
        if !handlers.is_empty() {
            // The task ends only after all senders; a runtime that shuts down drops the handlers, which gives them back.
            drop(self.orders.send(Order::Confirm(handlers)));
        }
    }

    /// Waits until all that came before is confirmed or has failed.
    pub(crate) async fn flush(&self) {
        let (reply, flushed) = oneshot::channel();
        drop(self.orders.send(Order::Flush(reply)));
        drop(flushed.await);
    }

    /// How many were not confirmed, up to now.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

async fn confirm(
    mut orders: UnboundedReceiver<Order>,
    producer: usize,
    emitter: Emitter,
    failed: Arc<AtomicU64>,
) {
    // A handler that waits for its confirmation keeps the client's lease loop alive; without it, the client's shutdown would give
    // back messages whose acknowledgement is on its way.
    let mut waiting = FuturesUnordered::new();
    let mut flushes = Vec::new();
    let mut is_open = true;
    while is_open || !waiting.is_empty() {
        if waiting.is_empty() {
            for reply in flushes.drain(..) {
                let _: Result<(), ()> = oneshot::Sender::send(reply, ());
            }
        }
        tokio::select! {
            order = orders.recv(), if is_open => match order {
                Some(Order::Confirm(handlers)) => {
                    waiting.extend(handlers.into_iter().map(|unconfirmed| async {
                        let Unconfirmed { id, handler } = unconfirmed;
                        (id, handler.confirmed_ack().await)
                    }));
                }
                Some(Order::Flush(reply)) => flushes.push(reply),
                None => is_open = false,
            },
            Some(first) = waiting.next(), if !waiting.is_empty() => {
                let mut report = Report::default();
                report.add(first);
                while report.seen < TELL_MAX
                    && let Some(Some(result)) = futures_util::FutureExt::now_or_never(waiting.next())
                {
                    report.add(result);
                }
                report.tell(producer, &emitter, &failed);
            }
        }
    }
}

/// Results that came together.
#[derive(Default)]
struct Report {
    seen: usize,
    failed: usize,
    /// The ids of the first that failed.
    ids: Vec<Box<str>>,
    error: Option<AckError>,
}

impl Report {
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

    fn tell(self, producer: usize, emitter: &Emitter, failed: &AtomicU64) {
        let Some(error) = self.error else { return };
        failed.fetch_add(self.failed as u64, Ordering::Relaxed);
        let reason = Reason::error(Callback::Settle, format!("not confirmed: {error}"));
        let ids = &self.ids;
        emitter.emit(&Event::AckFailed {
            producer,
            count: self.failed,
            reason: &reason,
            affected: Affected::new(ids.len(), &|index| MessageInfo::new(&*ids[index])),
        });
    }
}
