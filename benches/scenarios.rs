//! The scenarios: their programs, and the number of messages.

use broadway::handler::BatchKey;

use crate::engine;
use crate::reference::processors::{Workers, async_channel, full_chunks, recv_many};
use crate::reference::{batcher, decode, keys, partition};
use crate::support::scenario::{Program, Scenario};
use crate::support::workload::{
    document, handle_id, handle_typed, handle_value, scattered, string_key, sum_of_document_ids,
    sum_of_ids,
};

/// Messages of a run in `growth`'s reference.
const SHORT_RUN: u64 = 1_000_000;

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
    all.extend(partitions());
    all.extend(batches());
    all.extend(batches_by_key());
    all.extend(json());
    all
}

/// A scenario without further programs, whose messages are numbers.
fn numbers(
    name: &'static str,
    about: &'static str,
    full: u64,
    ours: Program,
    competing: Vec<Program>,
) -> Scenario {
    Scenario {
        name,
        about,
        full,
        checksum: sum_of_ids,
        ours,
        competing,
        hand_over: None,
        for_scale: vec![],
        goal: None,
        steady: false,
        counted: true,
    }
}

/// The programs by hand of a scenario with processors only.
macro_rules! processors_by_hand {
    ($count:literal, $chunk:literal) => {{
        const WORKERS: Workers = Workers {
            count: $count,
            chunk: $chunk,
        };
        let competing = vec![
            program!("recv_many", |n| recv_many(0..n, WORKERS, handle_id)),
            program!("async_channel", |n| async_channel(0..n, WORKERS, handle_id)),
        ];
        let for_scale = vec![program!("full_chunks", |n| full_chunks(
            0..n,
            WORKERS,
            handle_id
        ))];
        (competing, for_scale)
    }};
}

fn processors() -> Vec<Scenario> {
    let about = "2 processors, chunks of 100, an empty handler";
    let ours = program!("broadway", |n| engine::processors(n, 2, 100));
    let (competing, for_scale) = processors_by_hand!(2, 100);
    let by_100 = Scenario {
        for_scale,
        goal: Some(4.0),
        steady: true,
        ..numbers("processors_100", about, 4_000_000, ours, competing)
    };

    let about = "2 processors, chunks of 10, an empty handler";
    let ours = program!("broadway", |n| engine::processors(n, 2, 10));
    let (competing, for_scale) = processors_by_hand!(2, 10);
    let by_10 = Scenario {
        for_scale,
        goal: Some(2.2),
        steady: true,
        ..numbers("processors_10", about, 4_000_000, ours, competing)
    };

    let about = "64 processors on 2 threads, chunks of 100, an empty handler";
    let ours = program!("broadway", |n| engine::processors(n, 64, 100));
    let (competing, for_scale) = processors_by_hand!(64, 100);
    let of_64 = Scenario {
        for_scale,
        steady: true,
        ..numbers("processors_64", about, 4_000_000, ours, competing)
    };

    let about =
        "one run with 64 processors; the reference is the same with 2, in runs of 1,000,000";
    let short_runs = program!("short_runs_of_2", |n| engine::short_runs(n, SHORT_RUN));
    let growth = Scenario {
        goal: Some(0.77),
        steady: true,
        ..numbers("growth", about, 30_000_000, ours, vec![short_runs])
    };
    vec![by_100, by_10, of_64, growth]
}

fn partitions() -> Vec<Scenario> {
    const WORKERS: Workers = Workers {
        count: 2,
        chunk: 100,
    };
    let about = "2 processors, 100 keys, an empty handler; keys take turns";
    let ours = program!("broadway", |n| engine::partition_by(n, |id| id % 100));
    let by_hand = program!("hashed_channels", |n| {
        partition::hashed_channels(n, WORKERS, |id| id % 100)
    });
    let in_turn = Scenario {
        goal: Some(3.0),
        steady: true,
        ..numbers("partition_by", about, 4_000_000, ours, vec![by_hand])
    };

    let about = "2 processors, 100 keys, an empty handler; keys are scattered";
    let ours = program!("broadway", |n| {
        engine::partition_by(n, |id| scattered(id, 100))
    });
    let by_hand = program!("hashed_channels", |n| {
        partition::hashed_channels(n, WORKERS, |id| scattered(id, 100))
    });
    let scattered = Scenario {
        steady: true,
        ..numbers(
            "partition_by_scattered",
            about,
            4_000_000,
            ours,
            vec![by_hand],
        )
    };
    vec![in_turn, scattered]
}

fn batches() -> Vec<Scenario> {
    let about = "2 processors, then batches of 100 or 1 s";
    let ours = program!("broadway", |n| engine::batches(n, 100, |_| BatchKey::None));
    let by_hand = vec![
        program!("chunks_timeout", |n| batcher::chunks_timeout(n, 100)),
        program!("recv_until", |n| batcher::recv_until(n, 100)),
    ];
    let of_100 = Scenario {
        goal: Some(3.3),
        steady: true,
        ..numbers("batcher_100", about, 3_000_000, ours, by_hand)
    };

    let about = "2 processors, then batches of one message";
    let ours = program!("broadway", |n| engine::batches(n, 1, |_| BatchKey::None));
    let by_hand = vec![
        program!("chunks_timeout", |n| batcher::chunks_timeout(n, 1)),
        program!("recv_until", |n| batcher::recv_until(n, 1)),
    ];
    let of_1 = Scenario {
        goal: Some(1.8),
        ..numbers("batch_size_1", about, 2_000_000, ours, by_hand)
    };
    vec![of_100, of_1]
}

/// A scenario with batches by the key that a function gives.
macro_rules! by_key {
    ($name:literal, $about:literal, $key:expr) => {{
        let ours = program!("broadway", |n| engine::batches(n, 100, |id| {
            let key: fn(u64) -> _ = $key;
            BatchKey::from(key(id))
        }));
        let by_hand = vec![
            program!("map_task", |n| keys::map_task(n, $key)),
            program!("map_mutex", |n| keys::map_mutex(n, $key)),
        ];
        Scenario {
            hand_over: Some(program!("handed_over", |n| keys::handed_over(n, $key))),
            ..numbers($name, $about, 3_000_000, ours, by_hand)
        }
    }};
}

fn batches_by_key() -> Vec<Scenario> {
    vec![
        Scenario {
            goal: Some(1.6),
            steady: true,
            ..by_key!(
                "keys_100_u64",
                "2 processors, then batches of 100 or 1 s by 100 integer keys; keys take turns",
                |id| id % 100
            )
        },
        Scenario {
            goal: Some(1.2),
            steady: true,
            ..by_key!(
                "keys_100_str",
                "2 processors, then batches of 100 or 1 s by 100 keys of 15 bytes; keys take turns",
                string_key
            )
        },
        Scenario {
            steady: true,
            ..by_key!(
                "keys_100_scattered",
                "2 processors, then batches of 100 or 1 s by 100 integer keys; keys are scattered",
                |id| scattered(id, 100)
            )
        },
        Scenario {
            goal: Some(1.0),
            counted: false,
            ..by_key!(
                "keys_100k_u64",
                "2 processors, then batches of 100 or 1 s by 100,000 integer keys; keys take turns",
                |id| id % 100_000
            )
        },
    ]
}

/// A scenario whose messages are documents that a function decodes.
macro_rules! decoding {
    ($name:literal, $about:literal, $handle:ident) => {{
        const WORKERS: Workers = Workers {
            count: 2,
            chunk: 100,
        };
        let ours = program!("broadway", |n| engine::decode(n, $handle));
        let by_hand = vec![
            program!("recv_many", |n| {
                recv_many((0..n).map(document), WORKERS, $handle)
            }),
            program!("async_channel", |n| {
                async_channel((0..n).map(document), WORKERS, $handle)
            }),
        ];
        Scenario {
            checksum: sum_of_document_ids,
            for_scale: vec![program!("decode_loop", |n| decode::loop_alone(n, $handle))],
            ..numbers($name, $about, 400_000, ours, by_hand)
        }
    }};
}

fn json() -> Vec<Scenario> {
    vec![
        Scenario {
            goal: Some(1.3),
            ..decoding!(
                "json_typed",
                "2 processors decode 250 bytes of JSON into a struct",
                handle_typed
            )
        },
        decoding!(
            "json_value",
            "2 processors decode 250 bytes of JSON into a dynamic value",
            handle_value
        ),
    ]
}
