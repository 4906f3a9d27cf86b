//! Dispatchers: which consumer gets which event of a producer.
//!
//! [`ProducerBuilder::dispatcher`](super::ProducerBuilder::dispatcher) sets one; [`Demand`] is the default.
//!
//! | dispatcher | an event goes to | the producer keeps pace with |
//! |---|---|---|
//! | [`Demand`] | one consumer, whichever is first to have demand | all consumers together |
//! | [`Broadcast`] | every consumer whose [`Selector`] selects it | the slowest consumer |
//! | [`Partition`] | the consumer of its partition | each consumer, up to the limit of its queue |
//! | [`Route`] | the consumers of all targets whose predicate holds | each consumer, up to the limit of its queue |
//! | [`Either`] | as one of two dispatchers, chosen at run time | as the chosen one |
//!
//! To write another one, implement [`Dispatch`], whose page has the rules; [`WaitingInlets`] and [`InletDemands`] keep the accounts that most
//! dispatchers need.

#[doc(inline)]
pub use crate::machine::dispatch::{
    Broadcast, Demand, Dispatch, Either, InletDemands, InletId, JoinError, Mark, Misrouted,
    Offered, Partition, PartitionName, Route, Selector, WaitingInlets,
};
