//! [`Side`]: an event of one of the two flows of a join.

/// An event of one of the two flows of a [join](crate::Join).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side<L, R> {
    /// Of the flow that [`join`](crate::Flow::join) was called on.
    Left(L),
    /// Of the other flow.
    Right(R),
}
