//! How old the oldest message is, told every `lag_interval`. How many messages wait is a metric of Cloud Monitoring, which Pub/Sub
//! itself does not tell.

use std::{sync::Arc, time::Duration};

use broadway_core::{Deadline, connector::LagReporter};

use crate::held::Held;

/// Never ends.
pub(crate) async fn tell(
    held: Arc<Held>,
    lag: Arc<LagReporter>,
    subscription: String,
    interval: Duration,
) {
    loop {
        Deadline::after(interval).reached().await;
        lag.report(&subscription, None, held.oldest_published());
    }
}
