//! What a topic's settings are, asked over a client's own connections: the safe client would need one more client for it.

use std::{
    ffi::{CStr, CString, c_char},
    ptr::{self, NonNull},
    slice,
    time::Duration,
};

use rdkafka::{
    ClientContext,
    bindings::{self, rd_kafka_ConfigResource_t, rd_kafka_event_t, rd_kafka_queue_t, rd_kafka_t},
    client::Client,
    error::RDKafkaErrorCode,
};

use super::as_result;

/// The setting that bounds a request to a topic, in bytes.
const LIMIT: &CStr = c"max.message.bytes";

/// A topic and its limit, or why the broker does not tell.
pub(crate) type TopicLimit = (String, Result<usize, RDKafkaErrorCode>);

/// Asks for `max.message.bytes` of these topics in one request. Blocks for as long as `timeout`, and a moment more. Topics
/// that can have no such name are left out of the answer.
pub(crate) fn topic_limits<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<TopicLimit>, RDKafkaErrorCode> {
    let question = Question::of(topics);
    if question.0.is_empty() {
        return Ok(Vec::new());
    }
    let answer = question.ask(client.native_ptr(), timeout)?;
    Ok(answer.limits())
}

/// Topics, as the client names them.
struct Question(Vec<*mut rd_kafka_ConfigResource_t>);

impl Question {
    fn of(topics: &[&str]) -> Self {
        let resources = topics.iter().filter_map(|topic| {
            let topic = CString::new(*topic).ok()?;
            let kind = bindings::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
            // SAFETY: the name ends with NUL and is copied.
            let resource = unsafe { bindings::rd_kafka_ConfigResource_new(kind, topic.as_ptr()) };
            (!resource.is_null()).then_some(resource)
        });
        Self(resources.collect())
    }

    fn ask(
        mut self,
        client: *mut rd_kafka_t,
        timeout: Duration,
    ) -> Result<Answer, RDKafkaErrorCode> {
        let timeout_ms = i32::try_from(timeout.as_millis())
            .unwrap_or(i32::MAX)
            .max(1);
        // SAFETY: the caller's borrow keeps the client alive; what is made here is destroyed here; the answer keeps what it
        // points at until it is destroyed.
        unsafe {
            let queue = Reply(bindings::rd_kafka_queue_new(client));
            let options = bindings::rd_kafka_AdminOptions_new(
                client,
                bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
            );
            bindings::rd_kafka_AdminOptions_set_request_timeout(
                options,
                timeout_ms,
                ptr::null_mut(),
                0,
            );
            bindings::rd_kafka_DescribeConfigs(
                client,
                self.0.as_mut_ptr(),
                self.0.len(),
                options,
                queue.0,
            );
            bindings::rd_kafka_AdminOptions_destroy(options);
            // The client ends the question itself when its time is over; the second more is for it to say so.
            let event = bindings::rd_kafka_queue_poll(queue.0, timeout_ms.saturating_add(1_000));
            let event = NonNull::new(event).ok_or(RDKafkaErrorCode::OperationTimedOut)?;
            let answer = Answer(event);
            as_result(bindings::rd_kafka_event_error(event.as_ptr()))?;
            Ok(answer)
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // SAFETY: made by `of`, and not used again.
        unsafe {
            bindings::rd_kafka_ConfigResource_destroy_array(self.0.as_mut_ptr(), self.0.len())
        };
    }
}

/// The queue that the answer comes to.
pub(super) struct Reply(pub(super) *mut rd_kafka_queue_t);

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`, and not used again.
        unsafe { bindings::rd_kafka_queue_destroy(self.0) };
    }
}

struct Answer(NonNull<rd_kafka_event_t>);

impl Answer {
    fn limits(&self) -> Vec<TopicLimit> {
        // SAFETY: what is returned belongs to the event, which lives until this is dropped.
        unsafe {
            let result = bindings::rd_kafka_event_DescribeConfigs_result(self.0.as_ptr());
            if result.is_null() {
                return Vec::new();
            }
            let mut n = 0;
            let all = bindings::rd_kafka_DescribeConfigs_result_resources(result, &raw mut n);
            array(all, n).iter().map(|one| limit(*one)).collect()
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
/// `resource` belongs to an answer that lives.
unsafe fn limit(resource: *const rd_kafka_ConfigResource_t) -> TopicLimit {
    // SAFETY: as promised by the caller; texts end with NUL and live as long as the answer.
    unsafe {
        let topic = text(bindings::rd_kafka_ConfigResource_name(resource));
        if let Err(code) = as_result(bindings::rd_kafka_ConfigResource_error(resource)) {
            return (topic, Err(code));
        }
        let mut n = 0;
        let all = bindings::rd_kafka_ConfigResource_configs(resource, &raw mut n);
        let entry = array(all, n).iter().find(|entry| {
            let name = bindings::rd_kafka_ConfigEntry_name(**entry);
            !name.is_null() && CStr::from_ptr(name) == LIMIT
        });
        let value = entry.map(|entry| text(bindings::rd_kafka_ConfigEntry_value(*entry)));
        let bytes = value.and_then(|value| value.parse().ok());
        (topic, bytes.ok_or(RDKafkaErrorCode::NotImplemented))
    }
}

/// # Safety
///
/// `first` is null, or points to `n` elements that live for `'a`.
unsafe fn array<'a, T>(first: *const T, n: usize) -> &'a [T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: as promised by the caller.
    unsafe { slice::from_raw_parts(first, n) }
}

/// # Safety
///
/// `text` is null or ends with NUL.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(text).to_string_lossy().into_owned() }
}
