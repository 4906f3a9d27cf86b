//! One poll: requests messages, and hands them to the shared state.
//!
//! Each poll is a task of its own, so that it is handled even while the engine does not call `produce`.

use std::{sync::Arc, time::Duration};

use broadway_core::connector::{ConnectorError, Jitter};
use tokio::time::timeout;

use crate::{connect::request_limit, error::connector_error, shared::SqsShared};

/// The SDK has limits for one attempt and for both. This one, a little later, covers the case that they do not work.
const MARGIN: Duration = Duration::from_secs(1);

/// Requests at most `max` messages.
pub(crate) async fn poll(shared: Arc<SqsShared>, max: usize) {
    let source = &shared.source;
    let url = &source.access.url;
    let seconds = |time: Duration| i32::try_from(time.as_secs()).expect("12 hours at most");
    let mut request = shared
        .poll_client
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(i32::try_from(max).expect("ten at most"))
        .wait_time_seconds(seconds(source.wait_time))
        .set_visibility_timeout(source.visibility_timeout.map(seconds));
    if !source.message_attributes.is_empty() {
        request = request.set_message_attribute_names(Some(source.message_attributes.clone()));
    }
    if !source.system_attributes.is_empty() {
        let names = source.system_attributes.clone();
        request = request.set_message_system_attribute_names(Some(names));
    }
    let both_attempts = source.access.request_timeout.saturating_mul(2);
    let limit = request_limit(source.wait_time, both_attempts) + MARGIN;
    let error = match timeout(limit, request.send()).await {
        Ok(Ok(response)) => {
            return shared.on_messages(response.messages.unwrap_or_default(), max);
        }
        Ok(Err(error)) => connector_error(&error),
        Err(_) => ConnectorError::transient(format!("a poll did not return within {limit:?}")),
    };
    if error.is_transient() {
        shared.on_poll_failed(max, Jitter::random(), None);
        shared.report_source_error(&format!("a poll of {url} failed: {error}"));
    } else {
        let text = format!("the service rejects polls of `queue` = {url:?}: {error}");
        let failure = ConnectorError::new(error.kind(), text);
        shared.on_poll_failed(max, Jitter::random(), Some(failure));
    }
}
