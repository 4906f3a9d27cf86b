//! Messages and batches that wait to be handled again.
//!
//! A failed message leaves its processor: it is *detached* from the link, which keeps its key blocked and does not end, and waits in a
//! [`RetryQueue`]. When its pause is over it goes back to the front of the link, and any processor takes it. A failed batch does the same
//! on the link to its batch processors.
//!
//! All queues of a topology share the [`RetryRoom`], which limits how many messages wait. A drain that releases messages releases waiting
//! ones, too, if their source delivers them again.

mod item;
mod queue;
mod room;

pub(super) use self::{
    item::{RetryItem, RetryTarget},
    queue::RetryQueue,
    room::{RetryPermit, RetryRoom},
};
