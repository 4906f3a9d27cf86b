//! Our connectors, each with its broker.

pub(crate) mod broker;
mod kafka;
mod pubsub;
mod rabbitmq;
mod sqs;

pub(crate) use kafka::TestKafka;
pub(crate) use pubsub::TestPubSub;
pub(crate) use rabbitmq::TestRabbitMq;
pub(crate) use sqs::TestSqs;
