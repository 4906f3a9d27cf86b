//! What a drain does with messages that no handler has begun: [`OnDrain`].

/// What a drain does with messages that no handler has begun. Handlers that have begun, and open batches, always finish.
///
/// For [`Pipeline::on_drain`](crate::Pipeline::on_drain).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDrain {
    /// They are released, where their source [delivers them again](crate::Acknowledger::redelivers): Kafka, RabbitMQ queues, SQS
    /// and Pub/Sub do. The drain takes as long as the slowest handler that has begun, and the batches. Messages of other sources
    /// (iterators, streams), pushed messages, and all messages of a source that has ended by itself are handled.
    #[default]
    Release,
    /// They are handled: the drain takes as long as all messages that were delivered.
    Finish,
}
