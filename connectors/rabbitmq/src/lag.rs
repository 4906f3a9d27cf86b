//! How far the queue is behind, told every `lag_interval`.
//!
//! AMQP tells how many messages are ready, to a passive declaration. Those that were sent to this producer and are unsettled are
//! counted here: what the pipeline has, and what the client still holds. The broker is asked on a channel of its own, since a refusal
//! closes the channel: the lag is unknown from then until the next connection.

use std::time::Duration;

use broadway_core::Deadline;

use crate::shared::SharedChannel;

/// Never ends.
pub(crate) async fn tell(shared: &SharedChannel, interval: Duration) {
    loop {
        Deadline::after(interval).reached().await;
        let ready = match shared.queue_depth() {
            Some(queue_depth) => queue_depth.ready().await,
            None => None,
        };
        shared.tell_lag(ready);
    }
}
