//! The ways in which the connector of these tests can be broken. Each of them has been somebody's bug.

/// One thing that the connector does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Acknowledges what it delivers, when it delivers it.
    AcksEarly,
    /// Never tells the broker what is done.
    ForgetsAcks,
    /// Tells it twice.
    AcksTwice,
    /// Acknowledges what is done and the message after it: an offset that is one too far.
    AcksTheNextOne,
    /// Acknowledges the oldest message it has, whichever is done.
    AcksTheOldest,
    /// Acknowledges what failed.
    SwallowsFailures,
    /// Drops what it fetched and has no room for.
    DropsWhenFull,
    /// Delivers each message twice.
    DeliversTwice,
    /// Delivers more than it is asked for.
    IgnoresDemand,
    /// Takes from the broker all that is there.
    FetchesWithoutBound,
    /// Has messages in hand across an await, where they are lost when `produce` is dropped.
    LosesWhenCancelled,
    /// Delivers what it fetched from the end.
    ReordersKeys,
    /// Acknowledges, when a drain begins, what it fetched and never delivered.
    LosesOnDrain,
    /// Keeps it leased.
    KeepsOnDrain,
    /// Doesn't extend the leases of what is being handled.
    ForgetsLeases,
    /// Reads payloads as text.
    ReadsText,
    /// Passes over headers without a value.
    SkipsEmptyHeaders,
    /// Opens a place that is not there, and waits.
    OpensNothing,
    /// The publisher confirms a message that it has not sent.
    ConfirmsUnsent,
    /// The publisher has one result too few.
    OneResultShort,
    /// The publisher leaves the headers out.
    LosesHeaders,
    /// The publisher leaves the key out.
    LosesKeys,
    /// The publisher doesn't send the end of a large payload.
    CutsPayloads,
    /// The publisher sends on after it was closed.
    StaysOpen,
    /// The publisher waits for a message that nobody gave it.
    HangsWithNothing,
    /// The publisher sends what the broker cannot take, and says that it was confirmed.
    ConfirmsTooLarge,
}
