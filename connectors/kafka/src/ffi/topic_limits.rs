//! Reads `max.message.bytes` of topics over the connections of an existing client; the safe API would need a client of its own for it.

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

/// The setting that limits a request to a topic, in bytes.
const LIMIT: &CStr = c"max.message.bytes";

/// A topic and its limit, or why the broker does not return it.
pub(crate) type DescribedLimit = (String, Result<usize, RDKafkaErrorCode>);

/// Reads `max.message.bytes` of these topics in one request. Blocks for at most `timeout` and 1 s. Names that no topic can have are left
/// out of the answer.
pub(crate) fn topic_limits<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<DescribedLimit>, RDKafkaErrorCode> {
    let query = ConfigQuery::of(topics);
    if query.0.is_empty() {
        return Ok(Vec::new());
    }
    let result = query.send(client.native_ptr(), timeout)?;
    Ok(result.limits())
}

/// The client's list of topics to describe.
struct ConfigQuery(Vec<*mut rd_kafka_ConfigResource_t>);

impl ConfigQuery {
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

    fn send(
        mut self,
        client: *mut rd_kafka_t,
        timeout: Duration,
    ) -> Result<ConfigResult, RDKafkaErrorCode> {
        let timeout_ms = i32::try_from(timeout.as_millis())
            .unwrap_or(i32::MAX)
            .max(1);
        // SAFETY: the caller's borrow keeps the client alive; everything created here is destroyed here, except for the result, which
        // owns its event.
        unsafe {
            let queue = ReplyQueue(bindings::rd_kafka_queue_new(client));
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
            // The client ends the request at its timeout; the additional second leaves it time to report that.
            let event = bindings::rd_kafka_queue_poll(queue.0, timeout_ms.saturating_add(1_000));
            let event = NonNull::new(event).ok_or(RDKafkaErrorCode::OperationTimedOut)?;
            let result = ConfigResult(event);
            as_result(bindings::rd_kafka_event_error(event.as_ptr()))?;
            Ok(result)
        }
    }
}

impl Drop for ConfigQuery {
    fn drop(&mut self) {
        // SAFETY: created by `of`, and not used again.
        unsafe {
            bindings::rd_kafka_ConfigResource_destroy_array(self.0.as_mut_ptr(), self.0.len())
        };
    }
}

/// The queue for the result of one request.
pub(super) struct ReplyQueue(pub(super) *mut rd_kafka_queue_t);

impl Drop for ReplyQueue {
    fn drop(&mut self) {
        // SAFETY: created by `rd_kafka_queue_new`, and not used again.
        unsafe { bindings::rd_kafka_queue_destroy(self.0) };
    }
}

struct ConfigResult(NonNull<rd_kafka_event_t>);

impl ConfigResult {
    fn limits(&self) -> Vec<DescribedLimit> {
        // SAFETY: the results belong to the event, which lives until `self` is dropped.
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

impl Drop for ConfigResult {
    fn drop(&mut self) {
        // SAFETY: owned by `self`, and not used again.
        unsafe { bindings::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

/// # Safety
///
/// `resource` belongs to a result that is alive.
unsafe fn limit(resource: *const rd_kafka_ConfigResource_t) -> DescribedLimit {
    // SAFETY: the caller promises that it is alive; texts end with NUL and live as long as the result.
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
    // SAFETY: the caller promises it.
    unsafe { slice::from_raw_parts(first, n) }
}

/// # Safety
///
/// `text` is null or ends with NUL.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller promises it.
    unsafe { CStr::from_ptr(text).to_string_lossy().into_owned() }
}
