//! The first and the last offset of partitions, asked from the broker without waiting for the answer.

use std::{ffi::CStr, ptr, slice, sync::Arc, time::Duration};

use rdkafka::{
    TopicPartitionList,
    bindings::{self, rd_kafka_event_t},
};

use super::{Queue, Signal, as_result};
use crate::client::Client;

/// Which end of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its oldest message.
    First,
    /// One above its newest message. Messages of open transactions count.
    Last,
}

impl End {
    fn as_offset(self) -> i64 {
        let spec = match self {
            Self::First => bindings::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
            Self::Last => bindings::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
        };
        i64::from(spec as i32)
    }
}

/// Topic, partition, and the offset.
pub(crate) type EndOffset = (String, i32, i64);

/// Asks for one end of partitions, and takes the answers. Every question gets one answer, at its timeout at the latest.
pub(crate) struct EndOffsets {
    queue: Queue,
    end: End,
}

impl EndOffsets {
    pub(crate) fn new(client: &Arc<Client>, signal: Arc<Signal>, end: End) -> Option<Self> {
        let queue = Queue::of_results(client, signal)?;
        Some(Self { queue, end })
    }

    /// Asks. Does not wait for the answer.
    pub(crate) fn ask<'a>(
        &self,
        partitions: impl Iterator<Item = (&'a str, i32)>,
        timeout: Duration,
    ) {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions {
            list.add_partition(topic, partition);
        }
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: client and queue live as long as `self`; the list is an array of `cnt` elements, is written to here alone, and
        // is copied by the callee; the options are made and destroyed here. An option that is not accepted stays as it was.
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

    /// An answer, if there is one: without the partitions whose offset the broker did not tell.
    pub(crate) fn answer(&self) -> Option<Vec<EndOffset>> {
        self.queue.poll(|event| {
            // SAFETY: the event is alive while this runs, and what is read belongs to it.
            unsafe { offsets(event) }
        })
    }
}

/// # Safety
///
/// `event` is alive.
unsafe fn offsets(event: *mut rd_kafka_event_t) -> Vec<EndOffset> {
    // SAFETY: alive, as the caller promises; the accessor returns null for an event of another type. What is found belongs to the
    // event: an array of `n` results, each with an element whose topic ends with NUL.
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
