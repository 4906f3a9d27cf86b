//! Reports how old the oldest message is, every `lag_interval`. The number of waiting messages is a metric of Cloud Monitoring, which
//! Pub/Sub does not return to subscribers.

use std::{sync::Arc, time::Duration};

use broadway_core::{Deadline, connector::LagReporter};

use crate::unsettled::UnsettledMessages;

/// Runs until it is aborted.
pub(crate) async fn report(
    unsettled: Arc<UnsettledMessages>,
    lag: Arc<LagReporter>,
    subscription: String,
    interval: Duration,
) {
    loop {
        Deadline::after(interval).reached().await;
        lag.report(&subscription, None, unsettled.oldest_published());
    }
}
