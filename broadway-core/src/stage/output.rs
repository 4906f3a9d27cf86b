//! [`Output`]: where consumers subscribe to a stage, with the options of the subscription.

use std::{fmt, sync::Arc};

use tokio::sync::mpsc;

use super::{
    Cancel, End, SubscriptionId,
    input::{AnyInlet, SubscribedInlet},
    notice::ConsumerNotice,
    subscription::AnyInletHandle,
};
use crate::{
    engine::link::{DemandMode, Link},
    error::Problem,
    machine::{
        credit::{Credit, InvalidCredit},
        dispatch::{Dispatch, JoinError},
        task_slots::TaskSlots,
    },
};

/// The output of a stage that sends events of type `T`, with the options of a subscription to it.
///
/// Pass it to [`subscribe_to`](super::ConsumerBuilder::subscribe_to) or [`subscribe`](super::ConsumerHandle::subscribe) of a
/// stage, or turn it into a [stream](Self::stream). It can be cloned and used any number of times; each use makes a new
/// subscription. It keeps the stage reachable: a producer without subscriptions, outputs and handles is shut down.
///
/// By default a consumer demands up to 1,000 events, demands more when 500 of them are handled, and ends with its producer.
#[must_use = "an output does nothing until it is subscribed to"]
pub struct Output<T> {
    link: Arc<dyn AnyLink<T>>,
    demand: DemandOption,
    pub(super) cancel: Cancel,
}

/// Subscription options of a [dispatcher](Dispatch) that have a default, so that a consumer can subscribe without choosing any.
#[diagnostic::on_unimplemented(
    message = "this dispatcher has no default output: each consumer subscribes to a part of the events",
    label = "which part?",
    note = "use `partition` or `target` with the name of one, or `output_at` with a `{Self}`"
)]
pub trait DefaultSubscription: Default {}

#[diagnostic::do_not_recommend]
impl<S: Default> DefaultSubscription for S {}

#[derive(Debug, Clone, Copy)]
enum DemandOption {
    Automatic {
        max: usize,
        min: Option<usize>,
    },
    Manual,
    /// By a consumer with a slot for each event, as slots become free: the number of slots, and how many are asked for at once.
    /// `None` if the output has manual demand.
    Slots(Option<(usize, usize)>),
}

/// The most that a subscription may demand. A larger value is most likely a mistake.
const MAX_DEMAND: usize = 1_000_000;

impl<T: Send + 'static> Output<T> {
    pub(super) fn new(link: Arc<dyn AnyLink<T>>) -> Self {
        Self {
            link,
            demand: DemandOption::Automatic {
                max: 1_000,
                min: None,
            },
            cancel: Cancel::default(),
        }
    }

    /// Sets the most events that are demanded and not handled yet, 1 to 1,000,000. Defaults to 1,000.
    pub fn max_demand(self, max: usize) -> Self {
        let min = match self.demand {
            DemandOption::Automatic { min, .. } => min,
            DemandOption::Manual | DemandOption::Slots(_) => None,
        };
        let demand = DemandOption::Automatic { max, min };
        Self { demand, ..self }
    }

    /// Sets at how many events still to be handled, or fewer, more are demanded. Must be below `max_demand`; defaults to half of it.
    /// A chunk has at most `max_demand - min_demand` events: a high minimum means small chunks and little waiting, a low one large
    /// chunks.
    pub fn min_demand(self, min: usize) -> Self {
        let max = match self.demand {
            DemandOption::Automatic { max, .. } => max,
            DemandOption::Manual | DemandOption::Slots(_) => 1_000,
        };
        let demand = DemandOption::Automatic {
            max,
            min: Some(min),
        };
        Self { demand, ..self }
    }

    /// Demands events only through [`Subscription::ask`](super::Subscription::ask). A chunk then has the events that are there, at
    /// most as many as were asked for.
    pub fn manual(self) -> Self {
        Self {
            demand: DemandOption::Manual,
            ..self
        }
    }

    /// Sets what the end of the producer means for the consumer. Defaults to [`Cancel::Permanent`].
    pub fn cancel(self, cancel: Cancel) -> Self {
        Self { cancel, ..self }
    }

    /// Returns the name of the stage.
    #[must_use]
    pub fn producer(&self) -> &str {
        self.link.name()
    }

    /// Returns how many events of the stage were asked for and wait until a consumer takes them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.link.waiting()
    }

    /// Returns `max_demand` and `min_demand`. `None` if the demand is not automatic.
    pub(super) fn demand_limits(&self) -> Option<(usize, usize)> {
        match self.demand {
            DemandOption::Automatic { max, min } => Some((max, min.unwrap_or(max / 2))),
            DemandOption::Manual | DemandOption::Slots(_) => None,
        }
    }

    /// Returns this output for a consumer that has a slot for each event, `max_demand` in all.
    pub(super) fn in_slots(&self) -> Self {
        let demand = DemandOption::Slots(self.demand_limits());
        Self {
            demand,
            ..self.clone()
        }
    }

    /// Returns how the stage ended, if it has.
    pub(super) fn end(&self) -> Option<End> {
        self.link.end()
    }

    /// Whether a consumer may hold all events that it has demanded, so that none wait visibly.
    pub(super) fn is_exhaustible(&self) -> bool {
        self.demand_limits().is_none_or(|(_, min)| min == 0)
    }

    /// Checks that equal consumers can share the output.
    ///
    /// # Errors
    ///
    /// Fails if the options are invalid, or the dispatcher ties events to consumers.
    pub(super) fn check_for_pool(&self) -> Result<(), SubscribeError> {
        self.demand_mode()?;
        if self.link.any_inlet() {
            return Ok(());
        }
        let reason = "its dispatcher chooses the consumer of each event, so the members of a pool could not share the events: dispatch by demand";
        Err(self.refused(JoinError::new(reason)))
    }

    /// Returns the invalid option, if there is one.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let (max, min) = self.demand_limits()?;
        match credit(max, min) {
            Err(SubscribeError::Invalid(problem)) => Some(problem),
            _ => None,
        }
    }

    pub(super) fn subscribe(&self) -> Result<NewSubscription<T>, SubscribeError> {
        let slots = match self.demand {
            DemandOption::Slots(limits) => Some(slots(limits)?),
            DemandOption::Automatic { .. } | DemandOption::Manual => None,
        };
        let subscribed = self.link.subscribe(self.demand_mode()?);
        let mut new = subscribed.map_err(|error| self.refused(error))?;
        if let Some(slots) = slots {
            new.handle = Arc::new(SlottedInletHandle {
                handle: new.handle,
                slots,
            });
        }
        Ok(new)
    }

    fn demand_mode(&self) -> Result<DemandMode, SubscribeError> {
        Ok(match self.demand_limits() {
            None => DemandMode::Manual { pending: 0 },
            Some((max, min)) => DemandMode::Automatic(credit(max, min)?),
        })
    }

    fn refused(&self, error: JoinError) -> SubscribeError {
        SubscribeError::Refused {
            producer: Arc::clone(self.link.name()),
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
        let message = "does not work with a task for each event: set `max_demand`, the number of tasks at once";
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

/// The handle of an inlet whose consumer has a slot for each event.
struct SlottedInletHandle {
    handle: Arc<dyn AnyInletHandle>,
    slots: TaskSlots,
}

impl AnyInletHandle for SlottedInletHandle {
    fn ask(&self, n: usize) -> bool {
        self.handle.ask(n)
    }

    fn is_waiting(&self) -> Option<bool> {
        self.handle.is_waiting()
    }

    fn slots(&self) -> Option<TaskSlots> {
        Some(self.slots.clone())
    }
}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        Self {
            link: Arc::clone(&self.link),
            demand: self.demand,
            cancel: self.cancel,
        }
    }
}

impl<T> fmt::Debug for Output<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("producer", self.link.name())
            .field("demand", &self.demand)
            .field("cancel", &self.cancel)
            .finish()
    }
}

/// The parts of a new subscription.
pub(super) struct NewSubscription<T> {
    pub(super) id: SubscriptionId,
    pub(super) producer: Arc<str>,
    pub(super) inlet: Box<dyn AnyInlet<T>>,
    pub(super) handle: Arc<dyn AnyInletHandle>,
}

/// The link of a stage, with any dispatcher, as its consumers see it.
pub(super) trait AnyLink<T>: Send + Sync {
    fn subscribe(&self, demand: DemandMode) -> Result<NewSubscription<T>, JoinError>;
    fn name(&self) -> &Arc<str>;
    fn waiting(&self) -> usize;
    fn end(&self) -> Option<End>;
    /// Whether any consumer may take any event.
    fn any_inlet(&self) -> bool;
}

/// The link of a stage, with the options of one kind of subscription to it.
pub(super) struct SubscribableLink<T, D: Dispatch<T>> {
    pub(super) link: Arc<Link<T, D>>,
    pub(super) options: D::Options,
    pub(super) notices: mpsc::UnboundedSender<ConsumerNotice>,
    pub(super) name: Arc<str>,
}

impl<T, D> AnyLink<T> for SubscribableLink<T, D>
where
    T: Send + 'static,
    D: Dispatch<T, Options: Clone + Send + Sync> + Send + 'static,
{
    fn subscribe(&self, demand: DemandMode) -> Result<NewSubscription<T>, JoinError> {
        let mut inlet = self.link.subscribe_paused(self.options.clone(), demand)?;
        let id = SubscriptionId::next();
        // Before the demand starts: the stage must be notified of a consumer before it is asked for that consumer's events. Fails
        // if the stage has ended and needs no notice.
        let _ = self.notices.send(ConsumerNotice::Subscribed(id));
        inlet.start_demand();
        let handle = Arc::new(inlet.handle());
        let notices = self.notices.clone();
        Ok(NewSubscription {
            id,
            producer: Arc::clone(&self.name),
            inlet: Box::new(SubscribedInlet::new(id, inlet, notices)),
            handle,
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

/// Why a subscription could not be made.
#[derive(Clone)]
#[non_exhaustive]
pub enum SubscribeError {
    /// An option is invalid.
    Invalid(Problem),
    /// The dispatcher of the producer refused: the partition does not exist, or has a consumer.
    Refused {
        /// The producer.
        producer: Arc<str>,
        /// The reason.
        error: JoinError,
    },
    /// The stage that should subscribe has ended.
    ConsumerEnded,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(problem) => write!(f, "cannot subscribe: {problem}"),
            Self::Refused { producer, error } => {
                write!(f, "cannot subscribe to {producer}: {error}")
            }
            Self::ConsumerEnded => f.write_str("cannot subscribe: the consumer has ended"),
        }
    }
}

impl std::error::Error for SubscribeError {}
