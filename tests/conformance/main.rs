//! The promises of every connector, kept by ours on real brokers, and by the embedded queue in folders: one module for each
//! connector, one test for each promise.
//!
//! Needs the brokers of `scripts/brokers up`, or those at the addresses in `BROADWAY_KAFKA`, `BROADWAY_RABBITMQ`,
//! `BROADWAY_SQS` and `BROADWAY_PUBSUB`. Without a broker its tests print that they were skipped; with
//! `BROADWAY_REQUIRE_BROKERS` they fail.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod connectors;
mod embedded;

use broadway::testing::conformance;
use connectors::{TestKafka, TestPubSub, TestRabbitMq, TestSqs};
use embedded::TestQueue;

conformance! {
    mod kafka { connector: TestKafka::new() }
}

conformance! {
    mod pubsub { connector: TestPubSub::new() }
}

conformance! {
    mod queue { connector: TestQueue::new() }
}

conformance! {
    mod rabbitmq { connector: TestRabbitMq::new(false) }
}

conformance! {
    mod rabbitmq_quorum { connector: TestRabbitMq::new(true) }
}

conformance! {
    mod sqs { connector: TestSqs::new(false) }
}

conformance! {
    mod sqs_fifo { connector: TestSqs::new(true) }
}
