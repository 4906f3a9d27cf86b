//! The contract between a link's hub and the machine that decides who gets what.

/// QueueNames one inlet (a consumer's end) of a hub.
///
/// Machines keep a table indexed by this number, so a hub hands out the lowest free number and
/// reuses those of inlets that left: memory follows the highest number ever joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InletId(pub u32);

/// QueueNames one outlet (a producer's end) of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutletId(pub u32);

/// Decides who gets which event; see the [module docs](super) for the terms.
///
/// # Write your own
///
/// A dispatcher is plain data behind the link's lock: nothing in it waits, and everything in it
/// should be quick. A link calls it in this order, and after each of these lines it reads
/// [`unmet_demand`](Self::unmet_demand) and calls [`wake`](Self::wake), before it lets go of the lock:
///
/// | what happens | what the link calls |
/// |---|---|
/// | a consumer subscribes | `join`, then `demand` |
/// | a producer sends | `offer` |
/// | a consumer comes for more | `done` with what it took before, `demand` if some is due, `take`; if there was nothing, `wait_for` |
/// | a consumer's subscription ends | `leave` |
/// | a note is sent behind all events | `mark`, and later `has_passed` until it is true |
///
/// Two things can go wrong. An event that is neither taken nor counted in
/// [`buffered`](Self::buffered) is lost. An inlet that sleeps after its `wait_for` while there is
/// something for it, and is not named by `wake`, sleeps for ever. [`WaitingInlets`](super::WaitingInlets) gets the
/// sleepers right for all dispatchers that let any inlet take what is there, and
/// [`InletDemands`](super::InletDemands) does the sums.
///
/// All else has a default: `done`, `done_except_last` and `give_back` are for dispatchers whose inlets hold
/// something (links between stages give nothing back), `mark` and `has_passed` for those that put events
/// aside for inlets that have not demanded them. `demand` and `unmet_demand` have one too, but without
/// them a link between stages orders nothing. Where inlets order, nobody counts the room of outlets:
/// `freed` need not be called there.
///
/// This one serves urgent events before all others:
///
/// ```
/// use broadway_core::machine::dispatch::{
///     WaitingInlets, InletDemands, Dispatch, InletId, JoinError, Offered, OutletId,
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
///     fn offer(&mut self, _: OutletId, events: &mut Vec<Alarm>) -> Offered<Alarm> {
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
///     fn take(
///         &mut self,
///         inlet: InletId,
///         max: usize,
///         out: &mut Vec<Alarm>,
///         _: &mut dyn FnMut(OutletId, usize),
///     ) -> usize {
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
/// let _ = dispatch.offer(OutletId(0), &mut sent);
/// let mut taken = Vec::new();
/// dispatch.take(inlet, 1, &mut taken, &mut |_, _| {});
/// assert_eq!(taken[0].text, "fire");
/// # Ok::<(), JoinError>(())
/// ```
///
/// # Panics
///
/// Every method but [`leave`](Self::leave) may panic when its inlet has not joined:
/// the hub's bookkeeping is broken then, and guessing on would lose events.
pub trait Dispatch<T> {
    /// Whether any inlet may take anything that can be taken at all, so that one that comes anyway can do for another.
    ///
    /// If so, a link may spare itself a wake while an inlet is awake. Say `false` where each inlet has events of its own.
    const ANY_INLET: bool = true;

    /// What an inlet says of itself when it joins: which partition it wants, what it selects, or nothing, `()`.
    type Options;

    /// The inlet may take from now on. Joining twice is the same as leaving and joining.
    ///
    /// # Errors
    ///
    /// There is no such seat, or it is taken: the inlet has not joined then.
    fn join(&mut self, inlet: InletId, seat: Self::Options) -> Result<(), JoinError>;

    /// The inlet is gone. Its ask and what was promised to it are forgotten, and what it still
    /// held counts as handled: [`give_back`](Self::give_back) first what was not.
    /// An inlet that never joined is ignored.
    fn leave(&mut self, inlet: InletId);

    /// Takes all of `events`, in their order. The `Vec` comes back empty with its capacity.
    ///
    /// What the answer counts or carries never entered the buffer, so the outlet may
    /// use that room again at once.
    fn offer(&mut self, outlet: OutletId, events: &mut Vec<T>) -> Offered<T>;

    /// Moves up to `max` events for `inlet` to the end of `out` and returns how many.
    ///
    /// Calls `freed` for what left the buffer, by outlet. The inlet holds the events until
    /// [`done`](Self::done); taking again before that adds to what it holds.
    fn take(
        &mut self,
        inlet: InletId,
        max: usize,
        out: &mut Vec<T>,
        freed: &mut dyn FnMut(OutletId, usize),
    ) -> usize;

    /// The inlet found nothing, or too little, and sleeps until `n` more can be had, or fewer.
    ///
    /// Replaces an earlier ask of the inlet; asking for 0 withdraws it.
    fn wait_for(&mut self, inlet: InletId, n: usize);

    /// Appends the inlets whose asks can be served now, best first, and forgets their asks.
    ///
    /// No inlet stays asleep while there is something for it that is promised to nobody, and no
    /// more inlets are woken than the buffered events can serve.
    fn wake(&mut self, out: &mut Vec<InletId>);

    /// The tail of what the inlet holds comes back unhandled, in its order, and goes to the front.
    ///
    /// Empties `rest`, keeping its capacity, and calls `returned` for what entered the buffer
    /// again, by outlet. Only pipelines give back; if nothing else is said nothing is accepted.
    ///
    /// # Panics
    ///
    /// When `rest` is longer than what the inlet holds.
    fn give_back(
        &mut self,
        inlet: InletId,
        rest: &mut Vec<T>,
        returned: &mut dyn FnMut(OutletId, usize),
    ) {
        let _ = (inlet, returned);
        assert!(rest.is_empty(), "this dispatcher takes nothing back");
    }

    /// All that the inlet holds has been handled, except the last event.
    ///
    /// What is held because of the others becomes free; dispatchers that hold nothing do nothing.
    fn done_except_last(&mut self, inlet: InletId) {
        let _ = inlet;
    }

    /// All that the inlet holds has been handled. Dispatchers that hold nothing do nothing.
    fn done(&mut self, inlet: InletId) {
        let _ = inlet;
    }

    /// How many events wait in the buffer; those that inlets hold do not count.
    fn buffered(&self) -> usize;

    /// How many of the buffered events this inlet alone could take, if it were given time.
    ///
    /// When it is 0 and the outlets are closed, the link has ended for this inlet.
    fn buffered_for(&self, inlet: InletId) -> usize {
        let _ = inlet;
        self.buffered()
    }

    /// The inlet will take `n` more events than it said before. It takes no more than it has demanded.
    ///
    /// Only links that are asked by their inlets call this, and [`unmet_demand`](Self::unmet_demand); those whose
    /// outlets have a credit of their own do not.
    fn demand(&mut self, inlet: InletId, n: usize) {
        let _ = (inlet, n);
    }

    /// How many events the inlets could take beside those that are buffered.
    ///
    /// The link keeps that many on order: what it has ordered and was not offered yet is not ordered
    /// again. So events that end without being taken (discarded, or put aside for an inlet that has not
    /// demanded them) need no further bookkeeping: they were offered, and `unmet_demand` has not fallen.
    fn unmet_demand(&self) -> usize {
        0
    }

    /// A point behind everything that was offered so far.
    fn mark(&self) -> Mark {
        Mark::default()
    }

    /// Whether everything before the mark was taken, is gone, or is at least demanded by who will take it.
    ///
    /// A dispatcher that puts nothing aside for inlets that have not demanded it has nothing to wait for.
    fn has_passed(&self, mark: &Mark) -> bool {
        let _ = mark;
        true
    }
}

/// A point in what was offered, one count for each queue of the dispatcher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark(pub Vec<u64>);

/// Why an inlet could not join.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinError {
    reason: String,
}

impl JoinError {
    /// With a text that says what was asked for, what is in the way, and what to do.
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

/// What became of an offer, apart from what was buffered.
#[derive(Debug)]
#[must_use = "discarded and misrouted events have to be given back to the outlet's room, and misrouted ones settled"]
pub struct Offered<T> {
    /// How many events were dropped because the partition function wanted none of them.
    pub discarded: usize,
    /// Events that name a partition which does not exist.
    pub misrouted: Vec<Misrouted<T>>,
}

impl<T> Offered<T> {
    /// Everything was buffered.
    pub fn all() -> Self {
        Self {
            discarded: 0,
            misrouted: Vec::new(),
        }
    }
}

/// An event whose partition does not exist, handed back with what was wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Misrouted<T> {
    /// The event, untouched.
    pub event: T,
    /// The partition that the function named, as text.
    pub partition: String,
    /// Which partitions there are, in words.
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
