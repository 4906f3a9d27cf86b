//! How deliveries of a producer become [tracked messages](super::tracked::TrackedMessage) and get into the link to the
//! processors, at the pace of the rate limit.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Instant,
};

use super::{
    acknowledgers::AcknowledgerEntry,
    config::PartitionBy,
    context::{PipelineContext, SourceOutlet},
    in_flight_cap::{BytesMax, InFlightCap},
    rate_limit::SharedLimiter,
    tracked::{AckRef, AckTarget, MessageSlot, PendingAck, SizeCode, SlotOf},
};
use crate::{
    ack::Acknowledger,
    caught::guarded,
    engine::clock,
    error::{Callback, Reason},
    message::Message,
    partition_key::KeyHash,
    source::{AcknowledgerOf, Delivery, ItemOf, Source, SourceProducer, TokenOfSource},
    telemetry::Event,
};

/// A producer's way into the topology.
pub(super) struct Intake<S: Source> {
    pub(super) context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    pub(super) outlet: Arc<SourceOutlet<S>>,
    pub(super) limiter: SharedLimiter,
    pub(super) cap: Option<Arc<InFlightCap>>,
    pub(super) size_of: Option<BytesMax<ItemOf<S>>>,
    pub(super) partition_by: Option<PartitionBy<ItemOf<S>>>,
    pub(super) producer: usize,
    /// The index of the producer's source.
    pub(super) source: usize,
    /// Messages that were accepted and not sent to the processors yet. They are counted as received: if the loop is dropped at
    /// an await, they show as unsettled.
    pub(super) accepted: Vec<SlotOf<S>>,
}

/// What the source `S` delivers.
pub(super) type DeliveryOf<S> = Delivery<ItemOf<S>, TokenOfSource<S>>;

/// A producer that is open, and its acknowledger.
pub(super) struct OpenProducer<S: Source> {
    pub(super) producer: S::Producer,
    pub(super) entry: Arc<AcknowledgerEntry<AcknowledgerOf<S>>>,
}

impl<S: Source> OpenProducer<S> {
    /// The generation of the acknowledger now.
    pub(super) fn generation(&self) -> u64 {
        self.entry.acknowledger.generation()
    }
}

impl<S: Source> Intake<S> {
    /// Registers the acknowledger of a producer that was opened. Returns `None` if the table is full.
    pub(super) fn register(&self, producer: S::Producer) -> Option<OpenProducer<S>> {
        let acknowledger = producer.acknowledger();
        let entry = self
            .context
            .acknowledgers
            .register(self.producer, acknowledger)?;
        Some(OpenProducer { producer, entry })
    }

    /// Waits until processors ask for messages and the rate limit lets at least one pass. Returns `None` if no processor is
    /// left.
    pub(super) async fn wait_for_demand(&mut self) -> Option<NonZeroUsize> {
        let demand = self.outlet.demand().await?;
        if let Some(limiter) = self.limiter.get() {
            limiter.wait_until_open().await;
        }
        let Some(cap) = &self.cap else {
            return Some(demand);
        };
        Some(cap.room(demand).await)
    }

    /// Whether only its task may call the producer, because it waits for a limit.
    pub(super) fn is_limited(&self) -> bool {
        self.limiter.get().is_some() || self.cap.is_some()
    }

    /// Accepts deliveries, which are appended to `accepted`: from here on the topology owes their acknowledgements. Returns when, or
    /// `None` if there are none.
    ///
    /// `generation` is the acknowledger's generation before they were produced.
    pub(super) fn accept(
        &self,
        deliveries: &mut Vec<DeliveryOf<S>>,
        accepted: &mut Vec<SlotOf<S>>,
        entry: &AcknowledgerEntry<AcknowledgerOf<S>>,
        generation: u64,
        demand: NonZeroUsize,
    ) -> Option<Instant> {
        let count = deliveries.len();
        if count == 0 {
            return None;
        }
        let now = clock::now();
        // Counted before any of them can be settled: the counts of messages in flight never fall below zero.
        entry.add_delivered(count);
        self.context.counters.add_received(count);
        let received_ns = self.context.elapsed_ns(now);
        if let Some(cap) = &self.cap {
            cap.add_messages(count);
        }
        let ack_ref = AckRef::new(entry.number, generation);
        let size_of = self.size_of.as_ref().map(|(_, size_of)| &**size_of);
        let partition_by = self.partition_by.as_deref();
        accepted.extend(deliveries.drain(..).map(|Delivery { item, token }| {
            let message = Message::new(item);
            let (key_hash, mut fault) =
                partition_by.map_or((None, None), |key| hash_key(key, &message));
            let ack_ref = match size_of {
                None => ack_ref,
                Some(size_of) => ack_ref.with_size(measure(size_of, &message, &mut fault)),
            };
            let pending = PendingAck {
                target: AckTarget::Source(token),
                received_ns,
                ack_ref,
            };
            MessageSlot::new(message, pending, key_hash, fault)
        }));
        let (producer, demand) = (self.producer, demand.get());
        self.context.emitter.emit(&Event::Produced {
            producer,
            count,
            demand,
        });
        Some(now)
    }

    /// Sends the accepted messages to the processors, and waits where the rate limit lets none pass.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: messages that were not sent stay in `accepted`.
    pub(super) async fn send_accepted(&mut self) {
        if !self.is_limited() {
            return self.outlet.send(&mut self.accepted);
        }
        let shared = Arc::clone(&self.limiter);
        while let Some(first) = self.accepted.first() {
            let fits = match &self.cap {
                None => self.accepted.len(),
                Some(cap) => {
                    cap.fits(first.size()).await;
                    cap.admit(self.accepted.iter().map(MessageSlot::size))
                }
            };
            if fits == 0 {
                // Another producer was faster.
                continue;
            }
            let granted = shared
                .get()
                .map_or(Ok(fits), |limiter| limiter.acquire(fits));
            let passed = *granted.as_ref().unwrap_or(&0);
            if let Some(cap) = &self.cap {
                let held = self.accepted[passed..fits].iter();
                cap.free(0, held.map(|slot| slot.size().bytes()).sum());
            }
            match granted {
                Ok(granted) if granted == self.accepted.len() => {
                    self.outlet.send(&mut self.accepted)
                }
                Ok(granted) => {
                    let mut passing: Vec<_> = self.accepted.drain(..granted).collect();
                    self.outlet.send(&mut passing);
                }
                Err(wait) => {
                    self.context.emitter.emit(&Event::RateLimited {
                        producer: self.producer,
                        held: self.accepted.len(),
                        wait: wait.left(),
                    });
                    wait.over().await;
                }
            }
        }
    }
}

/// Returns the size of a message. If the user's function panics, the message gets a fault.
#[cold]
fn measure<T>(
    size_of: &(dyn Fn(&T) -> usize + Send + Sync),
    message: &Message<T>,
    fault: &mut Option<Reason>,
) -> SizeCode {
    let size = guarded(|| size_of(message.data()));
    SizeCode::of(size.unwrap_or_else(|panicked| {
        fault.get_or_insert(panicked.reason(Callback::SizeOf));
        0
    }))
}

/// Returns the hash of the message's key, if it has one, or the reason why it fails: the user's function panicked.
pub(super) fn hash_key<T>(
    partition_by: &(dyn Fn(&Message<T>) -> KeyHash + Send + Sync),
    message: &Message<T>,
) -> (Option<NonZeroU64>, Option<Reason>) {
    match guarded(|| partition_by(message)) {
        Ok(key) => (key.lane(), None),
        Err(panicked) => (None, Some(panicked.reason(Callback::PartitionBy))),
    }
}
