//! The only unsafe code: what the safe client does not offer. Queues of single partitions read in batches, messages that
//! may travel to other threads, commits with their results on a queue, the limits of topics, and a few lookups.
//!
//! Three rules of librdkafka are kept here by construction:
//!
//! - *Nothing outlives the client.* A [`Queue`] holds an `Arc<Client>`; messages share one through their `Chunk`, which
//!   counts them with one atomic subtraction each, cheaper than an `Arc` a message.
//! - *A queue's callback is called with the queue's lock held.* So it only sets a flag and rings a [`Bell`], which take no
//!   lock that is ever held around a call into librdkafka; and once it is disabled it does not run any more.
//! - *A client closes only when its queue handles are gone.* Queues are owned by the partitions and the member's thread,
//!   which drop them before they close; messages do not hold up a close, only the freeing of the client.
#![allow(unsafe_code)]

mod create;
mod describe;
mod ends;
mod message;
mod produce;
mod queue;
mod signal;
mod topics;

use std::{
    ffi::{CStr, CString, c_char},
    ptr::NonNull,
};

use rdkafka::{bindings, error::RDKafkaErrorCode};

pub(crate) use create::{CreateError, create_topic};
pub(crate) use describe::{TopicLimit, topic_limits};
pub(crate) use ends::{End, EndOffsets};
pub(crate) use message::{Raw, Scratch};
pub(crate) use produce::{Headers, Parts, produce};
pub(crate) use queue::{CommitResult, Queue};
pub(crate) use signal::{Bell, Signal};
pub(crate) use topics::TopicIds;

use crate::{client::Client, partition::Origin};

/// The oldest offset of a partition and the one after its newest, as last heard from the broker. Doesn't ask.
pub(crate) fn watermarks(client: &Client, origin: &Origin) -> Option<(i64, i64)> {
    let topic = CString::new(&*origin.topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive, the name ends with NUL, both numbers are written.
    let code = unsafe {
        bindings::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            origin.partition,
            &raw mut low,
            &raw mut high,
        )
    };
    as_result(code).ok()?;
    (high >= 0).then_some((low, high))
}

/// The generation (member epoch) of the group that this member has joined; `None` before it has.
pub(crate) fn generation(client: &Client) -> Option<i32> {
    // SAFETY: the client is alive; what is returned is ours and destroyed below.
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

/// What a fatal error was, if there has been one.
pub(crate) fn fatal_error(client: &Client) -> Option<(RDKafkaErrorCode, String)> {
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
