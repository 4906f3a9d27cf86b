//! The scenarios: their programs, and the number of messages.

use broadway::handler::BatchKey;

use crate::engine;
use crate::reference::processors::{Workers, async_channel, full_chunks, recv_many};
use crate::reference::{batcher, decode, keys, partition};
use crate::support::scenario::{Program, Scenario};
use crate::support::workload::{
    document, handle_id, handle_typed, handle_value, string_key, sum_of_document_ids, sum_of_ids,
};

const BY_100: Workers = Workers {
    count: 2,
    chunk: 100,
};
const BY_10: Workers = Workers {
    count: 2,
    chunk: 10,
};
const MANY: Workers = Workers {
    count: 64,
    chunk: 100,
};

/// Names a program and boxes its future.
macro_rules! program {
    ($name:literal, |$messages:ident| $future:expr) => {
        Program {
            name: $name,
            run: |$messages| Box::pin($future),
        }
    };
}

/// Every scenario, in the order of the table.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = processors();
    all.extend(batches());
    all.extend(json());
    all
}

fn processors() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "processors_100",
            about: "2 processors, chunks of 100, an empty handler",
            full: 4_000_000,
            checksum: sum_of_ids,
            ours: Some(program!("broadway", |n| engine::processors(n, 2, 100))),
            by_hand: vec![
                program!("recv_many", |n| recv_many(0..n, BY_100, handle_id)),
                program!("async_channel", |n| async_channel(0..n, BY_100, handle_id)),
            ],
            for_scale: vec![program!("full_chunks", |n| full_chunks(
                0..n,
                BY_100,
                handle_id
            ))],
        },
        Scenario {
            name: "processors_10",
            about: "2 processors, chunks of 10, an empty handler",
            full: 4_000_000,
            checksum: sum_of_ids,
            ours: Some(program!("broadway", |n| engine::processors(n, 2, 10))),
            by_hand: vec![
                program!("recv_many", |n| recv_many(0..n, BY_10, handle_id)),
                program!("async_channel", |n| async_channel(0..n, BY_10, handle_id)),
            ],
            for_scale: vec![program!("full_chunks", |n| full_chunks(
                0..n,
                BY_10,
                handle_id
            ))],
        },
        Scenario {
            name: "processors_64",
            about: "64 processors on 2 threads, chunks of 100, an empty handler",
            full: 4_000_000,
            checksum: sum_of_ids,
            ours: Some(program!("broadway", |n| engine::processors(n, 64, 100))),
            by_hand: vec![
                program!("recv_many", |n| recv_many(0..n, MANY, handle_id)),
                program!("async_channel", |n| async_channel(0..n, MANY, handle_id)),
            ],
            for_scale: vec![program!("full_chunks", |n| full_chunks(
                0..n,
                MANY,
                handle_id
            ))],
        },
        Scenario {
            name: "partition_by",
            about: "2 processors, 100 keys in order, an empty handler",
            full: 4_000_000,
            checksum: sum_of_ids,
            ours: Some(program!("broadway", |n| engine::partition_by(n, 100))),
            by_hand: vec![program!("hashed_channels", |n| {
                partition::hashed_channels(n, BY_100, |id| id % 100)
            })],
            for_scale: vec![],
        },
    ]
}

fn batches() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "batcher_100",
            about: "2 processors, then batches of 100 or 1 s",
            full: 3_000_000,
            checksum: sum_of_ids,
            ours: Some(program!("broadway", |n| engine::batches(n, 100, |_| {
                BatchKey::None
            }))),
            by_hand: vec![
                program!("chunks_timeout", |n| batcher::chunks_timeout(n, 100)),
                program!("recv_until", |n| batcher::recv_until(n, 100)),
            ],
            for_scale: vec![],
        },
        Scenario {
            name: "batch_size_1",
            about: "2 processors, then batches of one message",
            full: 2_000_000,
            checksum: sum_of_ids,
            ours: Some(program!("broadway", |n| engine::batches(n, 1, |_| {
                BatchKey::None
            }))),
            by_hand: vec![
                program!("chunks_timeout", |n| batcher::chunks_timeout(n, 1)),
                program!("recv_until", |n| batcher::recv_until(n, 1)),
            ],
            for_scale: vec![],
        },
        Scenario {
            name: "keys_100_u64",
            about: "2 processors, then batches of 100 or 1 s by 100 integer keys",
            full: 3_000_000,
            checksum: sum_of_ids,
            ours: Some(program!("broadway", |n| engine::batches(n, 100, |id| (id
                % 100)
                .into()))),
            by_hand: vec![
                program!("map_task", |n| keys::map_task(n, |id| id % 100)),
                program!("map_mutex", |n| keys::map_mutex(n, |id| id % 100)),
            ],
            for_scale: vec![],
        },
        Scenario {
            name: "keys_100_str",
            about: "2 processors, then batches of 100 or 1 s by 100 keys of 15 bytes",
            full: 3_000_000,
            checksum: sum_of_ids,
            ours: Some(program!("broadway", |n| engine::batches(n, 100, |id| {
                string_key(id).into()
            }))),
            by_hand: vec![
                program!("map_task", |n| keys::map_task(n, string_key)),
                program!("map_mutex", |n| keys::map_mutex(n, string_key)),
            ],
            for_scale: vec![],
        },
        Scenario {
            name: "keys_100k_u64",
            about: "2 processors, then batches of 100 or 1 s by 100,000 integer keys",
            full: 3_000_000,
            checksum: sum_of_ids,
            ours: Some(program!("broadway", |n| engine::batches(n, 100, |id| (id
                % 100_000)
                .into()))),
            by_hand: vec![
                program!("map_task", |n| keys::map_task(n, |id| id % 100_000)),
                program!("map_mutex", |n| keys::map_mutex(n, |id| id % 100_000)),
            ],
            for_scale: vec![],
        },
    ]
}

fn json() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "json_typed",
            about: "2 processors decode 250 bytes of JSON into a struct",
            full: 400_000,
            checksum: sum_of_document_ids,
            ours: Some(program!("broadway", |n| engine::decode(n, handle_typed))),
            by_hand: vec![
                program!("recv_many", |n| recv_many(
                    (0..n).map(document),
                    BY_100,
                    handle_typed
                )),
                program!("async_channel", |n| {
                    async_channel((0..n).map(document), BY_100, handle_typed)
                }),
            ],
            for_scale: vec![program!("decode_loop", |n| decode::loop_alone(
                n,
                handle_typed
            ))],
        },
        Scenario {
            name: "json_value",
            about: "2 processors decode 250 bytes of JSON into a dynamic value",
            full: 400_000,
            checksum: sum_of_document_ids,
            ours: Some(program!("broadway", |n| engine::decode(n, handle_value))),
            by_hand: vec![
                program!("recv_many", |n| recv_many(
                    (0..n).map(document),
                    BY_100,
                    handle_value
                )),
                program!("async_channel", |n| {
                    async_channel((0..n).map(document), BY_100, handle_value)
                }),
            ],
            for_scale: vec![program!("decode_loop", |n| decode::loop_alone(
                n,
                handle_value
            ))],
        },
    ]
}
