//! The scenarios: their programs, and the number of messages.

use crate::support::scenario::{Program, Scenario};
use crate::support::workload::sum_of_ids;
use crate::{by_hand, ours};

/// Hops of an event from its producer to the last consumer.
pub(crate) const HOPS: u64 = 2;

/// Consumers that a producer sends to.
pub(crate) const CONSUMERS: u64 = 4;

/// Every scenario, in the order of the table.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "hop_500",
            about: "chunks of 500 over two hops; a message is an event on one hop",
            full: 16_000_000,
            checksum: |messages| sum_of_ids(messages / HOPS),
            ours: program("stages", |n| Box::pin(ours::hops(n / HOPS))),
            competing: vec![
                program("chunk_channels", |n| {
                    Box::pin(by_hand::chunk_channels(n / HOPS))
                }),
                program("event_channels", |n| {
                    Box::pin(by_hand::event_channels(n / HOPS))
                }),
            ],
            hand_over: None,
            for_scale: vec![],
            goal: None,
            steady: true,
            counted: true,
        },
        Scenario {
            name: "task_per_event",
            about: "a task for each event, 1,000 at once",
            full: 2_000_000,
            checksum: sum_of_ids,
            ours: program("stages", |n| Box::pin(ours::tasks(n))),
            competing: vec![program("semaphore", |n| Box::pin(by_hand::semaphore(n)))],
            hand_over: None,
            for_scale: vec![],
            goal: Some(0.9),
            steady: false,
            counted: true,
        },
        Scenario {
            name: "broadcast_4",
            about: "each event to 4 consumers; a message is an event at one of them",
            full: 16_000_000,
            checksum: |messages| CONSUMERS * sum_of_ids(messages / CONSUMERS),
            ours: program("stages", |n| Box::pin(ours::broadcast(n / CONSUMERS))),
            competing: vec![program("shared_chunks", |n| {
                Box::pin(by_hand::shared_chunks(n / CONSUMERS))
            })],
            hand_over: None,
            for_scale: vec![],
            goal: None,
            steady: false,
            counted: true,
        },
        Scenario {
            name: "partition_4",
            about: "each event to one of 4 consumers, by its key",
            full: 8_000_000,
            checksum: sum_of_ids,
            ours: program("stages", |n| Box::pin(ours::partition(n))),
            competing: vec![program("chunk_per_key", |n| {
                Box::pin(by_hand::chunk_per_key(n))
            })],
            hand_over: None,
            for_scale: vec![],
            goal: None,
            steady: false,
            counted: true,
        },
    ]
}

const fn program(name: &'static str, run: fn(u64) -> crate::support::scenario::Running) -> Program {
    Program { name, run }
}
