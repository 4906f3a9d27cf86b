//! [`ReplayReport`]: what a replay has done, so far or in all.

/// Why a replay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The source ended: it had no more dead letters.
    SourceEnded,
    /// No dead letter came for [`idle_after`](super::DeadLetterQueue::idle_after): the queue is empty.
    Idle,
    /// As many dead letters matched as [`max`](super::DeadLetterQueue::max) allows.
    MaxReached,
    /// As many dead letters were left as [`hold_max`](super::DeadLetterQueue::hold_max) allows. The queue may have more, which were not
    /// read.
    HoldFull,
    /// The publisher did not confirm a message, however often it was sent.
    NotConfirmed,
    /// The program caught a signal: see [`stop_on_signals`](super::DeadLetterQueue::stop_on_signals).
    Signal,
}

/// What a replay has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayReport {
    /// Dead letters that were read.
    pub listed: u64,
    /// Dead letters for which the filter returned `true`.
    pub matched: u64,
    /// Dead letters whose message was confirmed. They are settled.
    pub replayed: u64,
    /// Dead letters whose message was refused or not confirmed. They stay.
    pub failed: u64,
    /// Messages that are not dead letters. They stay.
    pub others: u64,
    /// The error of the first message that failed.
    pub first_error: Option<String>,
    /// Why it ended; `None` while it runs.
    pub stopped: Option<StopReason>,
}
