//! Topics are created over a client's own connections: the safe client would need one more client for it.

use std::{
    ffi::{CStr, CString, c_char},
    ptr::{self, NonNull},
    time::Duration,
};

use rdkafka::{
    ClientContext,
    bindings::{self, rd_kafka_NewTopic_t, rd_kafka_event_t},
    client::Client,
    error::RDKafkaErrorCode,
};

use super::{as_result, describe::Reply};
use crate::topic::NewTopic;

/// Why a topic was not created.
#[derive(Debug)]
pub(crate) struct CreateError {
    pub(crate) code: RDKafkaErrorCode,
    /// The broker's own words, or the client's.
    pub(crate) text: String,
}

impl CreateError {
    fn new(code: RDKafkaErrorCode, text: Option<String>) -> Self {
        let text = text.unwrap_or_else(|| code.to_string());
        Self { code, text }
    }
}

/// Creates a topic. Blocks until the cluster has it, for as long as `timeout` and a moment more.
pub(crate) fn create_topic<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    topic: &NewTopic,
    timeout: Duration,
) -> Result<(), CreateError> {
    let timeout_ms = i32::try_from(timeout.as_millis())
        .unwrap_or(i32::MAX)
        .clamp(1, 3_600_000);
    let (client, new) = (client.native_ptr(), New::of(name, topic)?);
    // SAFETY: the caller's borrow keeps the client alive; what is made here is destroyed here. A queue is destroyed after the event that
    // came by it.
    unsafe {
        let queue = Reply(bindings::rd_kafka_queue_new(client));
        let options = bindings::rd_kafka_AdminOptions_new(
            client,
            bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS,
        );
        let no_text = ptr::null_mut();
        bindings::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, no_text, 0);
        bindings::rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, no_text, 0);
        let mut topics = [new.0];
        bindings::rd_kafka_CreateTopics(client, topics.as_mut_ptr(), 1, options, queue.0);
        bindings::rd_kafka_AdminOptions_destroy(options);
        // The client ends the question itself when its time is over; the second more is for it to say so.
        let event = bindings::rd_kafka_queue_poll(queue.0, timeout_ms.saturating_add(1_000));
        let Some(event) = NonNull::new(event) else {
            return Err(CreateError::new(RDKafkaErrorCode::OperationTimedOut, None));
        };
        let event = Answer(event);
        event.result()
    }
}

/// A topic as the client names it.
struct New(*mut rd_kafka_NewTopic_t);

impl New {
    fn of(name: &str, topic: &NewTopic) -> Result<Self, CreateError> {
        let wrong =
            |text: &str| CreateError::new(RDKafkaErrorCode::InvalidArgument, Some(text.to_owned()));
        let nul = |_| wrong("a name or a value has a NUL in it");
        let name = CString::new(name).map_err(nul)?;
        let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        let replication = topic.replication.map_or(-1, i32::from);
        let mut text = [0 as c_char; 512];
        // SAFETY: the name ends with NUL and is copied; the text is written with a NUL at its end, within the length given.
        let raw = unsafe {
            bindings::rd_kafka_NewTopic_new(
                name.as_ptr(),
                partitions,
                replication,
                text.as_mut_ptr(),
                text.len(),
            )
        };
        if raw.is_null() {
            // SAFETY: as above.
            let text = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy();
            return Err(wrong(&text));
        }
        let new = Self(raw);
        for (name, value) in &topic.settings {
            let (name, value) = (
                CString::new(name.as_str()).map_err(nul)?,
                CString::new(value.as_str()).map_err(nul)?,
            );
            // SAFETY: both end with NUL and are copied; the topic is ours.
            let code = unsafe {
                bindings::rd_kafka_NewTopic_set_config(new.0, name.as_ptr(), value.as_ptr())
            };
            as_result(code).map_err(|code| CreateError::new(code, None))?;
        }
        Ok(new)
    }
}

impl Drop for New {
    fn drop(&mut self) {
        // SAFETY: made by `of`, and not used again.
        unsafe { bindings::rd_kafka_NewTopic_destroy(self.0) };
    }
}

struct Answer(NonNull<rd_kafka_event_t>);

impl Answer {
    fn result(&self) -> Result<(), CreateError> {
        let event = self.0.as_ptr();
        // SAFETY: the event lives until this is dropped, and what is returned belongs to it; there is one result for one topic.
        unsafe {
            if let Err(code) = as_result(bindings::rd_kafka_event_error(event)) {
                let text = text(bindings::rd_kafka_event_error_string(event));
                return Err(CreateError::new(code, text));
            }
            let result = bindings::rd_kafka_event_CreateTopics_result(event);
            let mut n = 0;
            let all = if result.is_null() {
                ptr::null_mut()
            } else {
                bindings::rd_kafka_CreateTopics_result_topics(result, &raw mut n)
            };
            if all.is_null() || n == 0 {
                return Err(CreateError::new(RDKafkaErrorCode::BadMessage, None));
            }
            as_result(bindings::rd_kafka_topic_result_error(*all)).map_err(|code| {
                CreateError::new(
                    code,
                    text(bindings::rd_kafka_topic_result_error_string(*all)),
                )
            })
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { bindings::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

/// # Safety
///
/// `text` is null or ends with NUL.
unsafe fn text(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: as promised by the caller.
    Some(
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned(),
    )
}
