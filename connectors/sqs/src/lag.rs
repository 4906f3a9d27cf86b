//! Reports how far the queue is behind, every `lag_interval`: each report requests the queue's number of messages.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::types::QueueAttributeName::{
    self, ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesNotVisible as InFlight,
};
use broadway_core::Deadline;

use crate::{error::connector_error, shared::SqsShared};

/// When the first report is made, unless the interval is shorter.
const FIRST_REPORT: Duration = Duration::from_secs(5);

/// Runs until it is aborted, or returns at once if the lag is turned off.
pub(crate) async fn report(shared: Arc<SqsShared>) {
    let interval = shared.source.lag_interval;
    if interval == Duration::MAX {
        return;
    }
    let mut pause = FIRST_REPORT.min(interval);
    let mut was_known = true;
    loop {
        Deadline::after(pause).reached().await;
        pause = interval;
        let messages = count(&shared).await;
        if let (Err(reason), true) = (&messages, was_known) {
            let url = &shared.source.access.url;
            shared.report_source_error(&format!(
                "the lag of {url} is unknown: {reason}; retrying every {interval:?} (`lag_interval`)"
            ));
        }
        was_known = messages.is_ok();
        shared.report_lag(messages.ok());
    }
}

/// The queue's number of messages, visible or in flight. The client has timeouts of its own.
async fn count(shared: &SqsShared) -> Result<u64, String> {
    let request = shared
        .ack_client
        .get_queue_attributes()
        .queue_url(&shared.source.access.url)
        .attribute_names(Visible)
        .attribute_names(InFlight);
    let response = request
        .send()
        .await
        .map_err(|error| connector_error(&error).to_string())?;
    let count = |name: &QueueAttributeName| {
        let text = response.attributes()?.get(name)?;
        text.parse::<u64>().ok()
    };
    let counts = count(&Visible).zip(count(&InFlight));
    let counts = counts.ok_or("the response does not contain the number of messages")?;
    Ok(counts.0 + counts.1)
}
