//! The contract of running operators.

use crate::{
    At, FlowError, Timestamp,
    epoch::Epoch,
    state::{SavedState, ShardHold, StateLoad},
};

/// The result of a push: an error ends the flow.
pub type Pushed = Result<(), FlowError>;

/// Takes events of type `T`. The running form of an operator, which owns the next one.
pub trait Sink<T>: Send + 'static {
    /// Takes an event.
    ///
    /// # Errors
    ///
    /// Fails if this operator, or one behind it, fails. The flow ends then.
    fn push(&mut self, event: T, at: At) -> Pushed;

    /// Takes the events of a packet. The loop stands here so that it is compiled together with the operators.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    #[doc(hidden)]
    fn push_all(&mut self, events: Vec<T>, times: Vec<Timestamp>, since: Epoch) -> Pushed {
        if times.is_empty() {
            let time = Timestamp::MIN;
            for event in events {
                self.push(event, At { time, since })?;
            }
            return Ok(());
        }
        for (event, time) in events.into_iter().zip(times) {
            self.push(event, At { time, since })?;
        }
        Ok(())
    }

    /// Takes a signal, and passes it to the next operator. An operator that holds events back sends them first.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed;
}

/// What an operator learns besides events.
#[derive(Debug)]
#[non_exhaustive]
pub enum Signal<'a> {
    /// Later events are not older than this, except late ones.
    Watermark(Timestamp),
    /// The input has no events for now, so its watermark holds up nothing.
    Idle,
    /// A packet is complete: whatever waits only to be sent with others is sent.
    Flush,
    /// Processing time has passed: milliseconds since the start of the flow.
    Tick(i64),
    /// Asks for the time between two ticks, in milliseconds. Operators lower it.
    TickPeriod(&'a mut Option<i64>),
    /// The input has ended.
    Finish,
    #[doc(hidden)]
    /// A barrier has arrived: states that are only computed in part for speed are sent.
    Settle,
    #[doc(hidden)]
    /// Asks for the oldest epoch that is held. Operators lower it.
    Holds(&'a mut Epoch),
    #[doc(hidden)]
    /// The results of windows up to this time are out: another instance has emitted them.
    Resume(Timestamp),
    #[doc(hidden)]
    /// Asks for the time up to which the results of windows are out.
    Frontier(&'a mut Option<Timestamp>),
    #[doc(hidden)]
    /// Asks for what each shard holds.
    Shards(&'a mut Vec<ShardHold>),
    #[doc(hidden)]
    /// Asks for the state of each operator.
    Save(&'a mut Vec<SavedState>),
    #[doc(hidden)]
    /// Restores the state of each operator.
    Load(&'a StateLoad),
}

impl Signal<'_> {
    /// Whether events that wait only to be sent with others must be sent first.
    pub(crate) const fn sends(&self) -> bool {
        matches!(
            self,
            Self::Watermark(_) | Self::Idle | Self::Flush | Self::Finish | Self::Settle
        )
    }
}
