//! [`At`]: what travels with each event: its time, and the oldest epoch of the source messages that it is made of.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Numbers the stretches of an acknowledged source between two barriers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub(crate) u64);

impl Epoch {
    /// Of events that no source waits for.
    pub(crate) const NONE: Self = Self(u64::MAX);
}

/// The time of an event, and the oldest epoch that it is made of: a source keeps that epoch until the event is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The event time; [`Timestamp::MIN`] if the flow has none.
    pub(crate) time: Timestamp,
    pub(crate) since: Epoch,
}

impl At {
    pub(crate) const NONE: Self = Self {
        time: Timestamp::MIN,
        since: Epoch::NONE,
    };
}
