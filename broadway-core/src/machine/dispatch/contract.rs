//! [`Dispatch`]: the contract between a link and the machine that decides which inlet gets which event.

use std::num::NonZeroU64;

/// Identifies one inlet, a consumer's end of a link.
///
/// Dispatchers keep a table indexed by this number, so a link assigns the lowest free number and reuses the numbers of
/// inlets that left. Memory follows the highest number ever joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InletId(pub u32);

/// Decides which inlet gets which event.
///
/// Producers *offer* whole chunks and inlets *take* from the dispatcher's buffer. An inlet *holds* the events it took
/// until `done`. An inlet that finds nothing *waits* until `wake` lists it.
///
/// # Write your own
///
/// A dispatcher is plain data behind the link's lock: it must not wait, and everything in it should be quick. A link
/// calls it as follows, and after each of these lines reads [`unmet_demand`](Self::unmet_demand) and calls
/// [`wake`](Self::wake) before it releases the lock:
///
/// | event | calls |
/// |---|---|
/// | a consumer subscribes | `join`, then `demand` |
/// | a producer sends | `offer` |
/// | a consumer requests more | `done` with what it took before, `demand` if some is due, `take`; if there was nothing, `wait_for` |
/// | a consumer's subscription ends | `leave` |
/// | a notice is sent behind all events | `mark`, and later `has_passed` until it is true |
///
/// Two mistakes are possible. An event that is neither taken nor counted in [`buffered`](Self::buffered) is lost. An
/// inlet that sleeps after `wait_for` while there is an event for it, and is not listed by `wake`, sleeps forever.
/// [`WaitingInlets`](super::WaitingInlets) handles the sleepers for all dispatchers that let any inlet take any event,
/// and [`InletDemands`](super::InletDemands) adds up the demand.
///
/// The other methods have defaults. `done` is for dispatchers that hold events back until others are handled; `mark` and
/// `has_passed` for those that set events aside for inlets that have not demanded them. `demand` and `unmet_demand` have
/// defaults too, but without them a link between stages requests nothing from its producers.
///
/// This dispatcher serves urgent events before all others:
///
/// ```
/// use broadway_core::machine::dispatch::{
///     WaitingInlets, InletDemands, Dispatch, InletId, JoinError, Offered,
/// };
/// use std::collections::VecDeque;
///
/// struct Alarm {
///     urgent: bool,
///     text: &'static str,
/// }
///
/// #[derive(Default)]
/// struct UrgentFirst {
///     urgent: VecDeque<Alarm>,
///     other: VecDeque<Alarm>,
///     waiting: WaitingInlets,
///     demands: InletDemands,
/// }
///
/// impl Dispatch<Alarm> for UrgentFirst {
///     type Options = (); // consumers have nothing to choose
///
///     fn join(&mut self, _: InletId, (): ()) -> Result<(), JoinError> {
///         Ok(())
///     }
///
///     fn leave(&mut self, inlet: InletId) {
///         self.waiting.remove(inlet);
///         self.demands.remove(inlet);
///     }
///
///     fn offer(&mut self, events: &mut Vec<Alarm>) -> Offered<Alarm> {
///         for alarm in events.drain(..) {
///             if alarm.urgent {
///                 self.urgent.push_back(alarm);
///             } else {
///                 self.other.push_back(alarm);
///             }
///         }
///         Offered::all()
///     }
///
///     fn take(&mut self, inlet: InletId, max: usize, out: &mut Vec<Alarm>) -> usize {
///         self.waiting.remove(inlet);
///         let n = max.min(self.buffered());
///         let urgent = n.min(self.urgent.len());
///         out.extend(self.urgent.drain(..urgent));
///         out.extend(self.other.drain(..n - urgent));
///         self.demands.reduce(inlet, n);
///         n
///     }
///
///     fn wait_for(&mut self, inlet: InletId, n: usize) {
///         self.waiting.add(inlet, n);
///     }
///
///     fn wake(&mut self, out: &mut Vec<InletId>) {
///         self.waiting.wake(self.buffered(), usize::MAX, out);
///     }
///
///     fn buffered(&self) -> usize {
///         self.urgent.len() + self.other.len()
///     }
///
///     fn demand(&mut self, inlet: InletId, n: usize) {
///         self.demands.add(inlet, n);
///     }
///
///     fn unmet_demand(&self) -> usize {
///         self.demands.total().saturating_sub(self.buffered())
///     }
/// }
///
/// let mut dispatch = UrgentFirst::default();
/// let inlet = InletId(0);
/// dispatch.join(inlet, ())?;
/// dispatch.demand(inlet, 10);
/// assert_eq!(dispatch.unmet_demand(), 10);
///
/// let alarm = |urgent, text| Alarm { urgent, text };
/// let mut sent = vec![alarm(false, "tea is cold"), alarm(true, "fire")];
/// let _ = dispatch.offer(&mut sent);
/// let mut taken = Vec::new();
/// dispatch.take(inlet, 1, &mut taken);
/// assert_eq!(taken[0].text, "fire");
/// # Ok::<(), JoinError>(())
/// ```
///
/// # Panics
///
/// Every method but [`leave`](Self::leave) may panic if its inlet has not joined: the link's accounting is broken then,
/// and going on would lose events.
pub trait Dispatch<T> {
    /// Whether any inlet may take any event, so that an inlet that is awake can serve in place of another.
    ///
    /// If so, a link may skip a wake while an inlet is awake. Set it to `false` if each inlet has events of its own.
    const ANY_INLET: bool = true;

    /// The options with which an inlet joins: the partition it takes from, the events it selects, or `()`.
    type Options;

    /// Adds an inlet, which may take from now on. Joining twice is the same as leaving and joining.
    ///
    /// # Errors
    ///
    /// Fails if the options name something that does not exist or is taken. The inlet has not joined then.
    fn join(&mut self, inlet: InletId, seat: Self::Options) -> Result<(), JoinError>;

    /// Removes an inlet, with its wait and the events promised to it. Events it still holds count as handled. An inlet
    /// that never joined is ignored.
    fn leave(&mut self, inlet: InletId);

    /// Takes all of `events`, in their order. The `Vec` is left empty and keeps a capacity.
    ///
    /// Events that the return value counts or contains never entered the buffer.
    fn offer(&mut self, events: &mut Vec<T>) -> Offered<T>;

    /// Moves up to `max` events for `inlet` to the end of `out`. Returns how many.
    ///
    /// The inlet holds the events until [`done`](Self::done); taking again before that adds to them.
    fn take(&mut self, inlet: InletId, max: usize, out: &mut Vec<T>) -> usize;

    /// Records that the inlet found too few events and sleeps until `n` more are available, or fewer.
    ///
    /// Replaces an earlier wait of the inlet. Waiting for 0 withdraws it.
    fn wait_for(&mut self, inlet: InletId, n: usize);

    /// Appends the inlets whose waits can be served now, best first, and forgets their waits.
    ///
    /// No inlet stays asleep while there is an event for it that is not promised to another, and no more inlets are
    /// woken than the buffered events can serve.
    fn wake(&mut self, out: &mut Vec<InletId>);

    /// Records that all events that the inlet holds have been handled, except the last `kept`.
    ///
    /// Events that were blocked by the others become available. Dispatchers that hold nothing back ignore it.
    fn done(&mut self, inlet: InletId, kept: usize) {
        let _ = (inlet, kept);
    }

    /// Returns how many events wait in the buffer. Events that inlets hold do not count.
    fn buffered(&self) -> usize;

    /// Returns how many of the buffered events this inlet alone could take, given time.
    ///
    /// When it is 0 and the outlets are closed, the link has ended for this inlet.
    fn buffered_for(&self, inlet: InletId) -> usize {
        let _ = inlet;
        self.buffered()
    }

    /// Adds `n` to the demand of the inlet, which takes no more events than it has demanded.
    ///
    /// Links between stages call this and [`unmet_demand`](Self::unmet_demand). The links of pipelines are bounded
    /// instead, and do not.
    fn demand(&mut self, inlet: InletId, n: usize) {
        let _ = (inlet, n);
    }

    /// Returns how many more events the inlets could take, beyond those that are buffered.
    ///
    /// The link keeps that many requested from its producers. It does not request events again that are requested and
    /// not yet offered. Events that end without being taken (discarded, or set aside for an inlet that has not demanded them)
    /// need no further accounting: they were offered, and `unmet_demand` has not fallen.
    fn unmet_demand(&self) -> usize {
        0
    }

    /// Returns a mark behind everything offered so far.
    fn mark(&self) -> Mark {
        Mark::default()
    }

    /// Returns whether every event before the mark was taken, is gone, or is at least demanded by the inlet that will
    /// take it.
    ///
    /// A dispatcher that sets nothing aside for inlets that have not demanded it returns true.
    fn has_passed(&self, mark: &Mark) -> bool {
        let _ = mark;
        true
    }
}

/// A dispatcher that takes events back, as the links of pipelines need.
pub trait GiveBack<T>: Dispatch<T> {
    /// Puts the last of the events that the inlet holds back to the front of the buffer, unhandled and in their order.
    /// Empties `rest`, keeping its capacity.
    ///
    /// # Panics
    ///
    /// May panic if `rest` is longer than what the inlet holds.
    fn give_back(&mut self, inlet: InletId, rest: &mut Vec<T>);

    /// Detaches all events that the inlet holds: they are handled on their own, and end in any order, each by
    /// [`complete`](Self::complete) or by [`restore`](Self::restore). Until then they block what they blocked before.
    fn detach(&mut self, inlet: InletId) {
        self.done(inlet, 0);
    }

    /// Records that a detached event was handled. `lane` is its lane.
    fn complete(&mut self, lane: Option<NonZeroU64>) {
        let _ = lane;
    }

    /// Puts a detached event back to the front of the buffer, where any inlet may take it again.
    fn restore(&mut self, event: T);
}

/// A point in the sequence of offered events, with one count for each queue of the dispatcher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark(pub Vec<u64>);

/// Why an inlet could not join.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinError {
    reason: String,
}

impl JoinError {
    /// Creates an error with a text that names the request, the obstacle, and the remedy.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

impl std::fmt::Display for JoinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for JoinError {}

/// The events of an offer that were not buffered.
#[derive(Debug)]
#[must_use = "discarded events have to be counted, and misrouted ones reported"]
pub struct Offered<T> {
    /// How many events were dropped because the partition function discarded them.
    pub discarded: usize,
    /// Events for a partition that does not exist.
    pub misrouted: Vec<Misrouted<T>>,
}

impl<T> Offered<T> {
    /// All events were buffered.
    pub fn all() -> Self {
        Self {
            discarded: 0,
            misrouted: Vec::new(),
        }
    }
}

/// An event for a partition that does not exist, handed back.
#[derive(Debug, PartialEq, Eq)]
pub struct Misrouted<T> {
    /// The event, untouched.
    pub event: T,
    /// The partition that the function returned, as text.
    pub partition: String,
    /// The partitions that exist, as text.
    pub partitions: String,
}

impl<T> std::fmt::Display for Misrouted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the partition function returned {} but {}: return one of them, or none to discard",
            self.partition, self.partitions
        )
    }
}

impl<T: std::fmt::Debug> std::error::Error for Misrouted<T> {}
