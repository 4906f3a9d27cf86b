//! What every connector promises, kept by ours on real brokers: one module for each connector, one test for each promise.
//!
//! Needs the brokers of `scripts/brokers up`, or those that `BROADWAY_KAFKA`, `BROADWAY_RABBITMQ`, `BROADWAY_SQS` and
//! `BROADWAY_PUBSUB` name. Without a broker its tests say that they were left out, unless `BROADWAY_REQUIRE_BROKERS` is set: then
//! they fail.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod subjects;

use broadway::testing::conformance;
use subjects::{TestKafka, TestPubSub, TestRabbitMq, TestSqs};

conformance! {
    mod kafka { subject: TestKafka::new() }
}

conformance! {
    mod pubsub { subject: TestPubSub::new() }
}

conformance! {
    mod rabbitmq { subject: TestRabbitMq::new(false) }
}

conformance! {
    mod rabbitmq_quorum { subject: TestRabbitMq::new(true) }
}

conformance! {
    mod sqs { subject: TestSqs::new(false) }
}

conformance! {
    mod sqs_fifo { subject: TestSqs::new(true) }
}
