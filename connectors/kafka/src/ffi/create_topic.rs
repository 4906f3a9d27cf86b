//! Creates topics over the connections of an existing client; the safe API would need a client of its own for it.

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

use super::{as_result, topic_limits::ReplyQueue};
use crate::new_topic::NewTopic;

/// Why a topic was not created.
#[derive(Debug)]
pub(crate) struct CreateTopicError {
    pub(crate) code: RDKafkaErrorCode,
    /// The broker's text, or the client's.
    pub(crate) text: String,
}

impl CreateTopicError {
    fn new(code: RDKafkaErrorCode, text: Option<String>) -> Self {
        let text = text.unwrap_or_else(|| code.to_string());
        Self { code, text }
    }
}

/// Creates a topic. Blocks until the cluster has it, for at most `timeout` and 1 s.
pub(crate) fn create_topic<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    topic: &NewTopic,
    timeout: Duration,
) -> Result<(), CreateTopicError> {
    let timeout_ms = i32::try_from(timeout.as_millis())
        .unwrap_or(i32::MAX)
        .clamp(1, 3_600_000);
    let (client, new) = (client.native_ptr(), RawNewTopic::of(name, topic)?);
    // SAFETY: the caller's borrow keeps the client alive; everything created here is destroyed here. The queue is destroyed after its
    // event, because it is declared before.
    unsafe {
        let queue = ReplyQueue(bindings::rd_kafka_queue_new(client));
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
        // The client ends the request at its timeout; the additional second leaves it time to report that.
        let event = bindings::rd_kafka_queue_poll(queue.0, timeout_ms.saturating_add(1_000));
        let Some(event) = NonNull::new(event) else {
            return Err(CreateTopicError::new(
                RDKafkaErrorCode::OperationTimedOut,
                None,
            ));
        };
        let event = CreateResult(event);
        event.result()
    }
}

/// The client's description of a new topic.
struct RawNewTopic(*mut rd_kafka_NewTopic_t);

impl RawNewTopic {
    fn of(name: &str, topic: &NewTopic) -> Result<Self, CreateTopicError> {
        let invalid = |text: &str| {
            CreateTopicError::new(RDKafkaErrorCode::InvalidArgument, Some(text.to_owned()))
        };
        let nul = |_| invalid("a name or a value has a NUL in it");
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
            return Err(invalid(&text));
        }
        let new = Self(raw);
        for (name, value) in &topic.settings {
            let (name, value) = (
                CString::new(name.as_str()).map_err(nul)?,
                CString::new(value.as_str()).map_err(nul)?,
            );
            // SAFETY: both end with NUL and are copied; the topic is owned by `new`.
            let code = unsafe {
                bindings::rd_kafka_NewTopic_set_config(new.0, name.as_ptr(), value.as_ptr())
            };
            as_result(code).map_err(|code| CreateTopicError::new(code, None))?;
        }
        Ok(new)
    }
}

impl Drop for RawNewTopic {
    fn drop(&mut self) {
        // SAFETY: created by `of`, and not used again.
        unsafe { bindings::rd_kafka_NewTopic_destroy(self.0) };
    }
}

struct CreateResult(NonNull<rd_kafka_event_t>);

impl CreateResult {
    fn result(&self) -> Result<(), CreateTopicError> {
        let event = self.0.as_ptr();
        // SAFETY: the event lives until `self` is dropped, and the results belong to it; there is one result for one topic.
        unsafe {
            if let Err(code) = as_result(bindings::rd_kafka_event_error(event)) {
                let text = text(bindings::rd_kafka_event_error_string(event));
                return Err(CreateTopicError::new(code, text));
            }
            let result = bindings::rd_kafka_event_CreateTopics_result(event);
            let mut n = 0;
            let all = if result.is_null() {
                ptr::null_mut()
            } else {
                bindings::rd_kafka_CreateTopics_result_topics(result, &raw mut n)
            };
            if all.is_null() || n == 0 {
                return Err(CreateTopicError::new(RDKafkaErrorCode::BadMessage, None));
            }
            as_result(bindings::rd_kafka_topic_result_error(*all)).map_err(|code| {
                CreateTopicError::new(
                    code,
                    text(bindings::rd_kafka_topic_result_error_string(*all)),
                )
            })
        }
    }
}

impl Drop for CreateResult {
    fn drop(&mut self) {
        // SAFETY: owned by `self`, and not used again.
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
    // SAFETY: the caller promises it.
    Some(
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned(),
    )
}
