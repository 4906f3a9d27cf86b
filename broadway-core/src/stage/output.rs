//! [`Output`]: where a stage can be subscribed to, and how.

use std::{fmt, sync::Arc};

use tokio::sync::mpsc;

use super::{
    Cancel, End, SubscriptionId,
    input::{AnyInlet, Connected},
    subscription::Asks,
};
use crate::engine::link::{Flow, Link};
use crate::{
    error::Problem,
    machine::{
        credit::{Credit, InvalidCredit},
        dispatch::{Dispatch, JoinError},
        task_slots::TaskSlots,
    },
};

/// The output of a stage that sends events of type `T`, with the options of a subscription to it.
///
/// Give it to [`subscribe_to`](super::ConsumerBuilder::subscribe_to) or [`subscribe`](super::ConsumerHandle::subscribe) of a
/// stage, or make it a [stream](Self::stream). It can be cloned and used any number of times; each use is a subscription of its
/// own. It keeps the stage reachable: a producer with neither subscriptions nor outputs nor handles is shut down.
///
/// By default a consumer demands up to 1,000 events, and more when 500 of them are handled, and ends with its producer.
#[must_use = "an output does nothing until it is subscribed to"]
pub struct Output<T> {
    connect: Arc<dyn Connect<T>>,
    demand: Demanding,
    pub(super) cancel: Cancel,
}

/// A seat of a [dispatcher](Dispatch) that a consumer gets without saying which: any that has a default.
#[diagnostic::on_unimplemented(
    message = "this dispatcher has no output that is for just any consumer",
    label = "which part of the events is wanted?",
    note = "use `partition` with the name of one, or `output_at` with a `{Self}`"
)]
pub trait PlainSeat: Default {}

#[diagnostic::do_not_recommend]
impl<S: Default> PlainSeat for S {}

#[derive(Debug, Clone, Copy)]
enum Demanding {
    Automatic {
        max: usize,
        min: Option<usize>,
    },
    Manual,
    /// By a consumer that has slots for events, as they get free: so many, asked for by so many. `None`: nobody said.
    TaskSlots(Option<(usize, usize)>),
}

/// The most that a subscription may demand: a slip above it is refused.
const MAX_DEMAND: usize = 1_000_000;

impl<T: Send + 'static> Output<T> {
    pub(super) fn new(connect: Arc<dyn Connect<T>>) -> Self {
        Self {
            connect,
            demand: Demanding::Automatic {
                max: 1_000,
                min: None,
            },
            cancel: Cancel::default(),
        }
    }

    /// The most events that are demanded and not handled yet: 1 to 1,000,000, by default 1,000.
    pub fn max_demand(self, max: usize) -> Self {
        let min = match self.demand {
            Demanding::Automatic { min, .. } => min,
            Demanding::Manual | Demanding::TaskSlots(_) => None,
        };
        let demand = Demanding::Automatic { max, min };
        Self { demand, ..self }
    }

    /// More is demanded when this many or fewer are still to be handled: below `max_demand`, by default half of it. A chunk has
    /// at most `max_demand - min_demand` events: a high minimum means small chunks and little waiting, a low one large chunks.
    pub fn min_demand(self, min: usize) -> Self {
        let max = match self.demand {
            Demanding::Automatic { max, .. } => max,
            Demanding::Manual | Demanding::TaskSlots(_) => 1_000,
        };
        let demand = Demanding::Automatic {
            max,
            min: Some(min),
        };
        Self { demand, ..self }
    }

    /// Nothing is demanded but by [`Subscription::ask`](super::Subscription::ask). A chunk then has as many events as are there,
    /// at most those asked for.
    pub fn manual(self) -> Self {
        Self {
            demand: Demanding::Manual,
            ..self
        }
    }

    /// What the end of the producer means for the consumer.
    pub fn cancel(self, cancel: Cancel) -> Self {
        Self { cancel, ..self }
    }

    /// The name of the stage.
    #[must_use]
    pub fn producer(&self) -> &str {
        self.connect.name()
    }

    /// How many events of the stage have been asked for and wait until a consumer takes them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.connect.waiting()
    }

    /// The largest number of events that are demanded by themselves, and of which on more are.
    pub(super) fn limits(&self) -> Option<(usize, usize)> {
        match self.demand {
            Demanding::Automatic { max, min } => Some((max, min.unwrap_or(max / 2))),
            Demanding::Manual | Demanding::TaskSlots(_) => None,
        }
    }

    /// For a consumer whose events have slots, as many as may be demanded.
    pub(super) fn in_slots(&self) -> Self {
        let demand = Demanding::TaskSlots(self.limits());
        Self {
            demand,
            ..self.clone()
        }
    }

    /// How the stage ended, if it has.
    pub(super) fn end(&self) -> Option<End> {
        self.connect.end()
    }

    /// Whether a consumer may hold all that it has demanded, so that nothing needs to be there for others.
    pub(super) fn is_exhaustible(&self) -> bool {
        self.limits().is_none_or(|(_, min)| min == 0)
    }

    /// Whether equal consumers can share it.
    ///
    /// # Errors
    ///
    /// The options can't work, or events are tied to consumers.
    pub(super) fn check_for_pool(&self) -> Result<(), SubscribeError> {
        self.flow()?;
        if self.connect.any_inlet() {
            return Ok(());
        }
        let reason = "its dispatcher chooses the consumer of each event, so the members of a pool could not do each other's work: let it dispatch by demand";
        Err(self.refused(JoinError::new(reason)))
    }

    /// The option that cannot work, if there is one.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let (max, min) = self.limits()?;
        match credit(max, min) {
            Err(SubscribeError::Invalid(problem)) => Some(problem),
            _ => None,
        }
    }

    pub(super) fn connect(&self) -> Result<Joined<T>, SubscribeError> {
        let slots = match self.demand {
            Demanding::TaskSlots(limits) => Some(slots(limits)?),
            Demanding::Automatic { .. } | Demanding::Manual => None,
        };
        let joined = self.connect.connect(self.flow()?);
        let mut joined = joined.map_err(|error| self.refused(error))?;
        if let Some(slots) = slots {
            joined.asks = Arc::new(InSlots {
                asks: joined.asks,
                slots,
            });
        }
        Ok(joined)
    }

    fn flow(&self) -> Result<Flow, SubscribeError> {
        Ok(match self.limits() {
            None => Flow::Manual { pending: 0 },
            Some((max, min)) => Flow::Automatic(credit(max, min)?),
        })
    }

    fn refused(&self, error: JoinError) -> SubscribeError {
        SubscribeError::Refused {
            producer: Arc::clone(self.connect.name()),
            error,
        }
    }
}

fn credit(max: usize, min: usize) -> Result<Credit, SubscribeError> {
    check_max(max)?;
    Credit::new(max, min).map_err(|error| invalid(max, error))
}

fn slots(limits: Option<(usize, usize)>) -> Result<TaskSlots, SubscribeError> {
    let Some((max, min)) = limits else {
        let message = "does not go with a task for each event: give `max_demand`, the most tasks";
        return Err(SubscribeError::Invalid(Problem::new("manual", message)));
    };
    check_max(max)?;
    TaskSlots::new(max, min).map_err(|error| invalid(max, error))
}

fn check_max(max: usize) -> Result<(), SubscribeError> {
    if max > MAX_DEMAND {
        let message = format!("is {max}: give 1 to {MAX_DEMAND}");
        return Err(SubscribeError::Invalid(Problem::new("max_demand", message)));
    }
    Ok(())
}

fn invalid(max: usize, error: InvalidCredit) -> SubscribeError {
    let option = if max == 0 { "max_demand" } else { "min_demand" };
    SubscribeError::Invalid(Problem::new(option, error.to_string()))
}

/// Asks for a consumer whose events have slots.
struct InSlots {
    asks: Arc<dyn Asks>,
    slots: TaskSlots,
}

impl Asks for InSlots {
    fn ask(&self, n: usize) -> bool {
        self.asks.ask(n)
    }

    fn waits(&self) -> Option<bool> {
        self.asks.waits()
    }

    fn slots(&self) -> Option<TaskSlots> {
        Some(self.slots.clone())
    }
}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        Self {
            connect: Arc::clone(&self.connect),
            demand: self.demand,
            cancel: self.cancel,
        }
    }
}

impl<T> fmt::Debug for Output<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("producer", self.connect.name())
            .field("demand", &self.demand)
            .field("cancel", &self.cancel)
            .finish()
    }
}

/// The ends of a new subscription.
pub(super) struct Joined<T> {
    pub(super) id: SubscriptionId,
    pub(super) producer: Arc<str>,
    pub(super) inlet: Box<dyn AnyInlet<T>>,
    pub(super) asks: Arc<dyn Asks>,
}

/// Makes subscriptions, whatever the dispatcher.
pub(super) trait Connect<T>: Send + Sync {
    fn connect(&self, flow: Flow) -> Result<Joined<T>, JoinError>;
    fn name(&self) -> &Arc<str>;
    fn waiting(&self) -> usize;
    fn end(&self) -> Option<End>;
    /// Whether any consumer may have any event.
    fn any_inlet(&self) -> bool;
}

/// What a producing stage is told of its consumers.
#[derive(Debug)]
pub(super) enum Notice {
    Subscribed(SubscriptionId),
    Cancelled(SubscriptionId, End),
}

/// The one who makes subscriptions to one seat of one stage.
pub(super) struct Connector<T, D: Dispatch<T>> {
    pub(super) link: Arc<Link<T, D>>,
    pub(super) seat: D::Options,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    pub(super) name: Arc<str>,
}

impl<T, D> Connect<T> for Connector<T, D>
where
    T: Send + 'static,
    D: Dispatch<T, Options: Clone + Send + Sync> + Send + 'static,
{
    fn connect(&self, flow: Flow) -> Result<Joined<T>, JoinError> {
        let mut inlet = self.link.join(self.seat.clone(), flow)?;
        let id = SubscriptionId::next();
        // If the stage has ended there is nobody to tell.
        let _ = self.notices.send(Notice::Subscribed(id));
        // The stage hears of its consumer before it hears of the demand.
        inlet.begin();
        let asks = Arc::new(inlet.asking());
        let notices = self.notices.clone();
        Ok(Joined {
            id,
            producer: Arc::clone(&self.name),
            inlet: Box::new(Connected::new(id, inlet, notices)),
            asks,
        })
    }

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn waiting(&self) -> usize {
        self.link.buffered()
    }

    fn end(&self) -> Option<End> {
        self.link.end()
    }

    fn any_inlet(&self) -> bool {
        D::ANY_INLET
    }
}

/// Why there is no subscription.
#[derive(Clone)]
#[non_exhaustive]
pub enum SubscribeError {
    /// An option that cannot work.
    Invalid(Problem),
    /// The dispatcher of the producer has no place: no such partition, or somebody has it.
    Refused {
        /// The producer.
        producer: Arc<str>,
        /// What is in the way.
        error: JoinError,
    },
    /// The stage that was to subscribe has ended.
    ConsumerEnded,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(problem) => write!(f, "cannot subscribe: {problem}"),
            Self::Refused { producer, error } => {
                write!(f, "cannot subscribe to {producer}: {error}")
            }
            Self::ConsumerEnded => f.write_str("cannot subscribe a stage that has ended"),
        }
    }
}

impl std::error::Error for SubscribeError {}
