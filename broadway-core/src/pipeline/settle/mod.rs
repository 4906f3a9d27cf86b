//! The last step of every message: its outcome goes to the acknowledger of the producer that delivered it.
//!
//! - `acker`: one per loop. Collects ended messages and hands them over, one call per acknowledger for each chunk and batch.
//! - `ack_batch`: the messages that go to one acknowledger with the next call.

mod ack_batch;
mod acker;

pub(super) use acker::Acker;
