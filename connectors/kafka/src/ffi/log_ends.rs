//! Requests the first and the last offset of partitions without waiting for the answer: [`LogEndOffsets`].

use std::{ffi::CStr, ptr, slice, sync::Arc, time::Duration};

use rdkafka::{
    TopicPartitionList,
    bindings::{self, rd_kafka_event_t},
};

use super::{as_result, queue::ClientQueue, signal::QueueSignal};
use crate::client::MemberClient;

/// An end of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogEnd {
    /// The offset of the oldest message.
    First,
    /// One above the newest message. Messages of open transactions count.
    Last,
}

impl LogEnd {
    fn as_offset(self) -> i64 {
        let spec = match self {
            Self::First => bindings::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
            Self::Last => bindings::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
        };
        i64::from(spec as i32)
    }
}

/// Topic, partition and offset.
pub(crate) type LogEndOffset = (String, i32, i64);

/// Requests for one end of partitions. Every request gets one answer, at its timeout at the latest.
pub(crate) struct LogEndOffsets {
    queue: ClientQueue,
    end: LogEnd,
}

impl LogEndOffsets {
    pub(crate) fn new(
        client: &Arc<MemberClient>,
        signal: Arc<QueueSignal>,
        end: LogEnd,
    ) -> Option<Self> {
        let queue = ClientQueue::of_results(client, signal)?;
        Some(Self { queue, end })
    }

    /// Sends a request. Does not wait for the answer.
    pub(crate) fn request<'a>(
        &self,
        partitions: impl Iterator<Item = (&'a str, i32)>,
        timeout: Duration,
    ) {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions {
            list.add_partition(topic, partition);
        }
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: client and queue live as long as `self`; the list is an array of `cnt` elements, is written to only here, and is copied
        // by the callee; the options are created and destroyed here. An option that is not accepted keeps its default.
        unsafe {
            let raw = list.ptr();
            let (elements, n) = ((*raw).elems, usize::try_from((*raw).cnt).unwrap_or(0));
            for index in 0..n {
                (*elements.add(index)).offset = self.end.as_offset();
            }
            let options = bindings::rd_kafka_AdminOptions_new(
                self.queue.client(),
                bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
            );
            bindings::rd_kafka_AdminOptions_set_request_timeout(
                options,
                timeout_ms,
                ptr::null_mut(),
                0,
            );
            bindings::rd_kafka_ListOffsets(self.queue.client(), raw, options, self.queue.raw());
            bindings::rd_kafka_AdminOptions_destroy(options);
        }
    }

    /// The next answer, if one has come. Partitions whose offset the broker did not return are left out.
    pub(crate) fn answer(&self) -> Option<Vec<LogEndOffset>> {
        self.queue.poll(|event| {
            // SAFETY: the event is alive while this runs, and the result is copied from it.
            unsafe { offsets(event) }
        })
    }
}

/// # Safety
///
/// `event` is alive.
unsafe fn offsets(event: *mut rd_kafka_event_t) -> Vec<LogEndOffset> {
    // SAFETY: the caller promises that the event is alive; the accessor returns null for an event of another type. The result belongs to
    // the event: an array of `n` elements, each with a topic that ends with NUL.
    unsafe {
        let result = bindings::rd_kafka_event_ListOffsets_result(event);
        if result.is_null() || as_result(bindings::rd_kafka_event_error(event)).is_err() {
            return Vec::new();
        }
        let mut n = 0;
        let all = bindings::rd_kafka_ListOffsets_result_infos(result, &raw mut n);
        if all.is_null() {
            return Vec::new();
        }
        let found = slice::from_raw_parts(all, n).iter().filter_map(|info| {
            let element = &*bindings::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
            as_result(element.err).ok()?;
            let topic = CStr::from_ptr(element.topic).to_string_lossy().into_owned();
            (element.offset >= 0).then_some((topic, element.partition, element.offset))
        });
        found.collect()
    }
}
