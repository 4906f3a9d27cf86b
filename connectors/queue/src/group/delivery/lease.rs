//! [`Lease`] and the types of the delivery machine: its limits, its inputs and its results.

/// Milliseconds since 1970, from a clock that does not go back.
pub(crate) type Millis = u64;

/// Identifies one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) offset: u64,
    /// Which delivery of the record it is, of those that count: 1 for the first, 2 after a failure.
    pub(crate) delivery: u32,
    /// Which holder it is for, since this process began: a record that was returned has the same `delivery` and another turn.
    pub(crate) turn: u32,
}

/// The limits of a group, as its source has them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most offsets between watermark and cursor.
    pub(crate) span_max: u64,
    /// The most exceptions.
    pub(crate) waiting_max: usize,
    /// How long a delivered record may stay unsettled.
    pub(crate) lease_max: Millis,
    /// A record that failed this often is not delivered again, but moved to the dead letters.
    pub(crate) deliveries_max: Option<u32>,
}

/// What happens to a record that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is delivered now.
    Deliver(Lease),
    /// An earlier record of its key failed, and comes first.
    Hold,
    /// It was delivered as often as it may be, and each time the process ended.
    Exhausted(Lease),
}

/// What a settlement asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    /// Deliver it again after this time. It counts as a failure.
    Failed {
        after: Millis,
    },
    /// Deliver it again after this time. It does not count.
    Returned {
        after: Millis,
    },
    /// Deliver it again after this time. It does not count: the pipeline counts its own attempts.
    Parked {
        after: Millis,
        attempts: u32,
    },
    /// It was exhausted, and could not be moved: try that again after this time.
    Unmoved {
        after: Millis,
    },
}

/// What a settlement led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    Accepted,
    /// It had failed as often as it may. It stays leased until it is moved to the dead letters, and is settled then.
    Exhausted,
    /// The lease was lost before.
    Late,
}
