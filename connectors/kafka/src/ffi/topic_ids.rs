//! Requests the IDs of topics: a topic that is deleted and recreated under the same name has another ID.

use std::{
    ffi::{CStr, CString, c_char},
    ptr,
    sync::Arc,
};

use rdkafka::bindings::{self, rd_kafka_event_t};

use super::{queue::ClientQueue, signal::QueueSignal};
use crate::client::MemberClient;

/// Requests for the IDs of topics.
pub(crate) struct TopicIds {
    queue: ClientQueue,
}

impl TopicIds {
    pub(crate) fn new(client: &Arc<MemberClient>, signal: Arc<QueueSignal>) -> Option<Self> {
        let queue = ClientQueue::of_results(client, signal)?;
        Some(Self { queue })
    }

    /// Sends a request. Does not wait for the answer.
    pub(crate) fn request(&self, topics: &[&str]) {
        let names: Vec<CString> = topics
            .iter()
            .filter_map(|topic| CString::new(*topic).ok())
            .collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the names live until the end of this function and are copied by the callee; client and queue live as
        // long as `self`. The collection is created and destroyed here.
        unsafe {
            let collection = bindings::rd_kafka_TopicCollection_of_topic_names(
                pointers.as_mut_ptr(),
                pointers.len(),
            );
            bindings::rd_kafka_DescribeTopics(
                self.queue.client(),
                collection,
                ptr::null(),
                self.queue.raw(),
            );
            bindings::rd_kafka_TopicCollection_destroy(collection);
        }
    }

    /// The next answer, if one has come: topics and their IDs. Topics without an ID are left out.
    pub(crate) fn answer(&self) -> Option<Vec<(String, u128)>> {
        self.queue.poll(|event| {
            // SAFETY: the event is alive while this runs, and the result is copied from it.
            unsafe { ids(event) }
        })
    }
}

/// # Safety
///
/// `event` is alive.
unsafe fn ids(event: *mut rd_kafka_event_t) -> Vec<(String, u128)> {
    let mut found = Vec::new();
    // SAFETY: the caller promises that the event is alive.
    if unsafe { bindings::rd_kafka_event_type(event) }
        != bindings::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT
    {
        return found;
    }
    // SAFETY: the event has this type, as checked above. Descriptions, names, errors and IDs belong to the event; the descriptions are
    // an array of `n` elements.
    unsafe {
        let result = bindings::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return found;
        }
        let mut n = 0;
        let topics = bindings::rd_kafka_DescribeTopics_result_topics(result, &raw mut n);
        for index in 0..n {
            let topic = *topics.add(index);
            let error = bindings::rd_kafka_TopicDescription_error(topic);
            let failed = !error.is_null()
                && bindings::rd_kafka_error_code(error)
                    != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            let id = bindings::rd_kafka_TopicDescription_topic_id(topic);
            if failed || id.is_null() {
                continue;
            }
            let high = bindings::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
            let low = bindings::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
            let name = CStr::from_ptr(bindings::rd_kafka_TopicDescription_name(topic));
            let id = u128::from(high) << 64 | u128::from(low);
            found.push((name.to_string_lossy().into_owned(), id));
        }
    }
    found
}
