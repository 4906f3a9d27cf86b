//! All unsafe code: features of librdkafka that the safe client lacks. Queues of single partitions read in batches, messages that move
//! between threads, commits with their results on a queue, the limits of topics, and a few lookups.
//!
//! Three rules of librdkafka are kept by construction:
//!
//! - *Nothing outlives the client.* A [`ClientQueue`] holds an `Arc<MemberClient>`, and so does a [`MessageQueue`] for the messages that it
//!   has read ahead; delivered messages share one through their `MessageChunk`, which counts them with one atomic subtraction each, cheaper
//!   than an `Arc` per message.
//! - *A queue's callback runs with the queue's lock held.* So it only sets a flag and wakes a [`WakeTarget`], which take no lock that is
//!   ever held around a call into librdkafka. Once it is disabled it does not run again.
//! - *A client closes only after its queue handles are destroyed.* Partitions and the member's thread own the queues and drop them
//!   before they close the client. Messages do not delay closing a client, only freeing it.
#![allow(unsafe_code)]

mod create_topic;
mod log_ends;
mod message;
mod message_queue;
mod produce;
mod queue;
mod signal;
mod topic_ids;
mod topic_limits;

use std::{
    ffi::{CStr, CString, c_char},
    ptr::NonNull,
};

use rdkafka::{bindings, error::RDKafkaErrorCode};

pub(crate) use create_topic::{CreateTopicError, create_topic};
pub(crate) use log_ends::{LogEnd, LogEndOffsets};
pub(crate) use message::{PartitionId, RawMessage, UnreadMessage};
pub(crate) use message_queue::{MessageQueue, ReadAhead};
pub(crate) use produce::{MessageParts, RawHeaders, produce};
pub(crate) use queue::{ClientQueue, CommitResult};
pub(crate) use signal::{QueueSignal, WakeTarget};
pub(crate) use topic_ids::TopicIds;
pub(crate) use topic_limits::{DescribedLimit, topic_limits};

use crate::client::MemberClient;

/// The oldest offset of a partition and the one after its newest, as the last fetch returned them. Sends no request.
pub(crate) fn watermarks(client: &MemberClient, id: &PartitionId) -> Option<(i64, i64)> {
    let topic = CString::new(&*id.topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive, the name ends with NUL, both numbers are written.
    let code = unsafe {
        bindings::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            id.partition,
            &raw mut low,
            &raw mut high,
        )
    };
    as_result(code).ok()?;
    (high >= 0).then_some((low, high))
}

/// The generation (member epoch) of the group that this member has joined; `None` until it has.
pub(crate) fn generation(client: &MemberClient) -> Option<i32> {
    // SAFETY: the client is alive; the result is owned here and destroyed below.
    unsafe {
        let metadata = NonNull::new(bindings::rd_kafka_consumer_group_metadata(
            client.native_ptr(),
        ))?;
        let generation =
            bindings::rd_kafka_consumer_group_metadata_generation_id(metadata.as_ptr());
        bindings::rd_kafka_consumer_group_metadata_destroy(metadata.as_ptr());
        (generation > 0).then_some(generation)
    }
}

/// The client's fatal error, if it has had one.
pub(crate) fn fatal_error(client: &MemberClient) -> Option<(RDKafkaErrorCode, String)> {
    let mut text = [0 as c_char; 512];
    // SAFETY: the client is alive; the text is written with a NUL at its end, within the length given.
    unsafe {
        let code =
            bindings::rd_kafka_fatal_error(client.native_ptr(), text.as_mut_ptr(), text.len());
        let code = as_result(code).err()?;
        let text = CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned();
        Some((code, text))
    }
}

fn as_result(code: bindings::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    if code == bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        Ok(())
    } else {
        Err(code.into())
    }
}
