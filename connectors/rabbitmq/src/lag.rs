//! Reports how far the queue is behind, at every `lag_interval`.
//!
//! The lag is the number of ready messages, for which the broker is asked, plus those that were sent to this producer and are unsettled,
//! which are counted here. AMQP does not report what other consumers hold.

use std::time::Duration;

use broadway_core::Deadline;

use crate::shared::SharedChannel;

/// Never returns.
pub(crate) async fn report_lag(shared: &SharedChannel, interval: Duration) {
    loop {
        Deadline::after(interval).reached().await;
        let ready = match shared.queue_depth() {
            Some(queue_depth) => queue_depth.ready().await,
            None => None,
        };
        shared.report_lag(ready);
    }
}
