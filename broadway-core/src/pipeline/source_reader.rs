//! [`SourceReader`]: an open producer and its way into the topology. Its task calls it, or lends it to the processors.

use std::{
    num::NonZeroUsize,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    context::KeyedOrDemand,
    intake::{DeliveryOf, Intake, OpenProducer},
    tracked::SlotOf,
};
use crate::{
    caught::{Discarding, Failure, caught, guarded},
    engine::{
        clock,
        control::{Control, ControlState, ControlWatcher},
        lending::Lending,
        pull_inlet::{LentProducers, Pull, PullInlet, Pulled},
    },
    source::{Produced, Source, SourceProducer},
};

/// A producer whose calls take longer than this is left to its task: a processor should not do slow work that another thread could
/// do meanwhile. Above the cost of the two wakes that each of its chunks then takes.
const SLOW: Duration = Duration::from_micros(20);
/// One of this many calls by processors is timed: reading the clock costs as much as two messages.
const TIMED_EVERY: u32 = 8;

/// An open producer, with what it needs to deliver.
pub(super) struct SourceReader<S: Source> {
    pub(super) intake: Intake<S>,
    pub(super) opened: OpenProducer<S>,
    control: Arc<Control>,
    /// What the producer appended, for a moment; otherwise empty. The memory is reused.
    deliveries: Discarding<DeliveryOf<S>>,
    /// How often processors have called the producer.
    pulls: u32,
    /// What processors found, for the task.
    report: Report,
}

/// The result of one or more calls of `produce`.
#[derive(Default)]
pub(super) struct Report {
    /// What the last call returned. `None` if it was dropped, or if nothing is to be done.
    pub(super) produced: Option<Result<Produced, Failure>>,
    /// When the first messages were delivered, if any were.
    pub(super) delivered: Option<Instant>,
}

/// What a processor takes from: the link, or a producer that its task has lent.
pub(super) type ProcessorInlet<S> =
    PullInlet<SlotOf<S>, KeyedOrDemand<SlotOf<S>>, Box<SourceReader<S>>>;
/// A producer that its task lends.
pub(super) type ReaderLending<S> = Lending<Box<SourceReader<S>>>;
/// The producers of a topology.
pub(super) type LentReaders<S> = LentProducers<Box<SourceReader<S>>>;

/// Returns a lending for each producer.
pub(super) fn lendings<S: Source>(producers: usize) -> LentReaders<S> {
    (0..producers).map(|_| Arc::new(Lending::new())).collect()
}

impl<S: Source> SourceReader<S> {
    pub(super) fn new(
        intake: Intake<S>,
        opened: OpenProducer<S>,
        control: &Arc<Control>,
    ) -> Box<Self> {
        Box::new(Self {
            intake,
            opened,
            control: Arc::clone(control),
            deliveries: Discarding::default(),
            pulls: 0,
            report: Report::default(),
        })
    }

    /// Calls the producer, and waits for messages until `stops` returns `true`. Returns the result, and whether the producer may be lent: it
    /// had messages at once.
    pub(super) async fn produce(
        &mut self,
        demand: NonZeroUsize,
        watcher: &mut ControlWatcher,
        stops: fn(&ControlState) -> bool,
    ) -> (Report, bool) {
        // Read before `produce`: a message that becomes stale while it is produced then differs from the generation, and the
        // processor asks about it.
        let generation = self.opened.generation();
        let began = clock::now();
        let mut polls = 0;
        let produced = {
            let (producer, out) = (&mut self.opened.producer, &mut self.deliveries);
            let mut produce = pin!(caught(async { producer.produce(demand, out).await }));
            let counted = std::future::poll_fn(|cx| {
                polls += 1;
                produce.as_mut().poll(cx)
            });
            watcher.run_until(counted, stops).await
        };
        let mut accepted = std::mem::take(&mut self.intake.accepted);
        // Whatever `produce` returned, also if it was dropped: appended messages are the topology's.
        let delivered = self.accept(&mut accepted, generation, demand);
        self.intake.accepted = accepted;
        let was_quick = polls == 1
            && matches!(produced, Some(Ok(Produced::More)))
            && delivered.is_some_and(|now| !is_slow(began, now));
        let report = Report {
            produced,
            delivered,
        };
        // A limited producer stays with its task, which waits for the limit.
        (report, was_quick && !self.intake.is_limited())
    }

    /// Whether the producer, which has stopped, must still be called.
    pub(super) fn has_rest(&self) -> bool {
        guarded(|| self.opened.producer.has_rest()).unwrap_or(false)
    }

    /// Returns what processors found, once.
    pub(super) fn take_report(&mut self) -> Report {
        std::mem::take(&mut self.report)
    }

    fn accept(
        &mut self,
        accepted: &mut Vec<SlotOf<S>>,
        generation: u64,
        demand: NonZeroUsize,
    ) -> Option<Instant> {
        let entry = &self.opened.entry;
        self.intake
            .accept(&mut self.deliveries, accepted, entry, generation, demand)
    }

    /// Polls a call of the producer once, and drops the call.
    fn poll_produce(&mut self, demand: NonZeroUsize) -> Poll<Result<Produced, Failure>> {
        let (producer, out) = (&mut self.opened.producer, &mut self.deliveries);
        // The call is dropped in here as well: that may run any code of the source's.
        let polled = guarded(|| {
            let call = pin!(caught(async { producer.produce(demand, out).await }));
            // No waker: if the call is pending, the producer returns to its task, which calls again and waits.
            call.poll(&mut Context::from_waker(Waker::noop()))
        });
        polled.unwrap_or_else(|panicked| Poll::Ready(Err(Failure::Panic(panicked))))
    }
}

impl<S: Source> Pull<SlotOf<S>> for Box<SourceReader<S>> {
    fn pull(&mut self, max: NonZeroUsize, out: &mut Vec<SlotOf<S>>) -> Pulled {
        if self.control.stops_lending(self.intake.source) {
            return Pulled::Return;
        }
        let is_timed = self.pulls.is_multiple_of(TIMED_EVERY);
        self.pulls = self.pulls.wrapping_add(1);
        let began = is_timed.then(clock::now);
        // Before `produce`, as in `produce` above.
        let generation = self.opened.generation();
        let polled = self.poll_produce(max);
        let delivered = self.accept(out, generation, max);
        if let Some(now) = delivered {
            self.report.delivered.get_or_insert(now);
        }
        match (polled, delivered) {
            (Poll::Ready(Ok(Produced::More)), Some(now)) => {
                match began.is_some_and(|began| is_slow(began, now)) {
                    true => Pulled::Return,
                    false => Pulled::LendOn,
                }
            }
            (Poll::Ready(produced), _) => {
                self.report.produced = Some(produced);
                Pulled::Return
            }
            (Poll::Pending, _) => Pulled::Return,
        }
    }

    fn send(&mut self, messages: &mut Vec<SlotOf<S>>) {
        self.intake.outlet.send(messages);
    }
}

fn is_slow(began: Instant, now: Instant) -> bool {
    now.saturating_duration_since(began) > SLOW
}
