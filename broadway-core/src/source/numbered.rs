//! The acknowledger of sources without acknowledgements: it only numbers their items for logs.

use crate::{
    ack::{Acknowledger, Settled},
    error::BoxError,
    telemetry::MessageInfo,
};

/// The acknowledger of [`from_iter`](super::from_iter) and [`from_stream`](super::from_stream). Settling does nothing; the token is the
/// number of the item, counted from 0 as by `enumerate`, which logs show as `item 13`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NumberedAcknowledger;

impl Acknowledger for NumberedAcknowledger {
    type Token = u64;

    async fn settle(&self, settled: &mut Vec<Settled<u64>>) -> Result<(), BoxError> {
        settled.clear();
        Ok(())
    }

    async fn settle_done(&self, done: &mut Vec<u64>) -> Result<(), BoxError> {
        done.clear();
        Ok(())
    }

    fn describe(&self, number: &u64) -> MessageInfo {
        MessageInfo::new(format!("item {number}"))
    }
}
