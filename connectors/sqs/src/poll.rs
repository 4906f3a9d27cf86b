//! One poll: asks for messages, writes down when each of them stops being ours, and puts them into the buffer.
//!
//! Each runs as a task of its own, so that a producer which nobody polls (since there is no demand) still takes care of what
//! is on its way.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    connect::limit,
    shared::Shared,
    trouble::{Trouble, jitter},
};

/// The SDK has time-outs of its own, for one attempt and for both. This one is for the case that it does not keep them.
const MARGIN: Duration = Duration::from_secs(1);

pub(crate) async fn poll(shared: Arc<Shared>, ask: usize) {
    let source = &shared.source;
    let seconds = |time: Duration| i32::try_from(time.as_secs()).expect("12 hours at most");
    let mut request = shared
        .polls
        .receive_message()
        .queue_url(&source.access.url)
        .max_number_of_messages(i32::try_from(ask).expect("ten at most"))
        .wait_time_seconds(seconds(source.wait_time))
        .set_visibility_timeout(source.visibility_timeout.map(seconds));
    if !source.message_attributes.is_empty() {
        request = request.set_message_attribute_names(Some(source.message_attributes.clone()));
    }
    if !source.system_attributes.is_empty() {
        let names = source.system_attributes.clone();
        request = request.set_message_system_attribute_names(Some(names));
    }
    let requests = source.access.request_timeout.saturating_mul(2);
    let limit = limit(source.wait_time, requests) + MARGIN;
    let trouble = match timeout(limit, request.send()).await {
        Ok(Ok(answer)) => return shared.arrived(answer.messages.unwrap_or_default(), ask),
        Ok(Err(error)) => Trouble::of(&error),
        Err(_) => Trouble::Passing(format!("a poll did not end within {limit:?}")),
    };
    let url = &source.access.url;
    match trouble {
        Trouble::Lasting(why) => {
            let text = format!("the service refuses to receive from `queue` = {url:?}: {why}");
            shared.missed(ask, jitter(), Some(text));
        }
        Trouble::Passing(why) => {
            shared.missed(ask, jitter(), None);
            shared.tell_trouble(&format!("a poll of {url} failed: {why}"));
        }
    }
}
