//! Constructors of the events that sources report. The variants of [`Event`] gain fields over time, so other crates cannot write
//! them as literals.

use std::{ops::Range, time::Duration};

use super::{AffectedMessages, Event};
use crate::error::{BoxError, Callback, Reason};

/// Events that a source reports through its [`Emitter`](super::Emitter), and one for tests of observers. `producer` is the index from
/// [`OpenContext::producer`](crate::OpenContext::producer), and `part` names a partition, queue or subscription.
impl<'a> Event<'a> {
    /// Creates an [`Assigned`](Self::Assigned): the source reads `part` from now on. `position` is the position of the next message to
    /// read, if the source knows it.
    #[must_use]
    pub const fn assigned(producer: usize, part: &'a str, position: Option<i64>) -> Self {
        Self::Assigned {
            producer,
            part,
            position,
        }
    }

    /// Creates a [`Revoked`](Self::Revoked): the source no longer reads `part`. `unsettled` is `None` if all its messages were
    /// settled and committed; otherwise it is the number of messages that were done and will be repeated.
    #[must_use]
    pub const fn revoked(producer: usize, part: &'a str, unsettled: Option<u64>) -> Self {
        let (settled, repeats) = match unsettled {
            None => (true, 0),
            Some(repeats) => (false, repeats),
        };
        Self::Revoked {
            producer,
            part,
            settled,
            repeats,
        }
    }

    /// Creates a [`Halted`](Self::Halted): `part` delivers no more messages after the failure of the message at `position`.
    #[must_use]
    pub const fn halted(producer: usize, part: &'a str, position: i64, reason: &'a str) -> Self {
        Self::Halted {
            producer,
            part,
            position,
            reason,
        }
    }

    /// Creates an [`Unhalted`](Self::Unhalted): `part` delivers messages again, starting at `position`.
    #[must_use]
    pub const fn unhalted(producer: usize, part: &'a str, position: i64) -> Self {
        Self::Unhalted {
            producer,
            part,
            position,
        }
    }

    /// Creates a [`Lost`](Self::Lost): the messages at these positions were deleted before they were read.
    #[must_use]
    pub const fn lost(producer: usize, part: &'a str, positions: Range<i64>) -> Self {
        Self::Lost {
            producer,
            part,
            from: positions.start,
            to: positions.end,
        }
    }

    /// Creates a [`Repositioned`](Self::Repositioned): reading of `part` begins at `position`, which is not its last commit.
    #[must_use]
    pub const fn repositioned(
        producer: usize,
        part: &'a str,
        position: i64,
        reason: &'a str,
    ) -> Self {
        Self::Repositioned {
            producer,
            part,
            position,
            reason,
        }
    }

    /// Creates a [`Lag`](Self::Lag): how many messages of `part` are not settled, and the age of the oldest, as far as known.
    #[must_use]
    pub const fn lag(
        producer: usize,
        part: &'a str,
        messages: Option<u64>,
        oldest: Option<Duration>,
    ) -> Self {
        Self::Lag {
            producer,
            part,
            messages,
            oldest,
        }
    }

    /// Creates a [`Committed`](Self::Committed): the commit was confirmed, and reading of `part` starts at `position` after a
    /// restart.
    #[must_use]
    pub const fn committed(producer: usize, part: &'a str, position: i64) -> Self {
        Self::Committed {
            producer,
            part,
            position,
        }
    }

    /// Creates a [`CommitFailed`](Self::CommitFailed).
    #[must_use]
    pub const fn commit_failed(producer: usize, error: &'a str) -> Self {
        Self::CommitFailed { producer, error }
    }

    /// Creates a [`SourceError`](Self::SourceError): a problem that the source recovers from.
    #[must_use]
    pub const fn source_error(producer: usize, error: &'a str) -> Self {
        Self::SourceError { producer, error }
    }

    /// Creates a [`LateResults`](Self::LateResults): `count` messages ended after the source had lost them.
    #[must_use]
    pub const fn late_results(
        producer: usize,
        count: usize,
        affected: AffectedMessages<'a>,
    ) -> Self {
        Self::LateResults {
            producer,
            count,
            affected,
        }
    }

    /// Creates an [`AckFailed`](Self::AckFailed), for a source that learns of it after
    /// [`settle`](crate::Acknowledger::settle) has returned.
    #[must_use]
    pub const fn ack_failed(
        producer: usize,
        count: usize,
        reason: &'a Reason,
        affected: AffectedMessages<'a>,
    ) -> Self {
        Self::AckFailed {
            producer,
            count,
            reason,
            affected,
        }
    }

    /// Creates a [`ProducerFailed`](Self::ProducerFailed), for tests of observers: pipelines report it themselves.
    #[must_use]
    pub const fn producer_failed(
        producer: usize,
        callback: Callback,
        error: &'a BoxError,
        restart_after: Option<Duration>,
    ) -> Self {
        Self::ProducerFailed {
            producer,
            callback,
            error,
            restart_after,
        }
    }
}
