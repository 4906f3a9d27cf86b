//! How assignments are answered: librdkafka has one call for protocols that move single partitions, and another for those that replace
//! the whole assignment.

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::KafkaResult,
};

/// Accepts the partitions of `list`, at the offsets in it.
pub(crate) fn assign<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// Gives up the partitions of `list`.
pub(crate) fn unassign<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

/// Restarts the partition in `one` at its offset. `others` is the rest of the assignment with the next offset of each: a protocol that
/// replaces the whole assignment restarts them, too.
pub(crate) fn restart<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    one: &TopicPartitionList,
    others: &TopicPartitionList,
) -> KafkaResult<()> {
    if let RebalanceProtocol::Cooperative = consumer.rebalance_protocol() {
        consumer.incremental_unassign(one)?;
        return consumer.incremental_assign(one);
    }
    let mut all = others.clone();
    for element in one.elements() {
        all.add_partition_offset(element.topic(), element.partition(), element.offset())?;
    }
    consumer.assign(&all)
}
