//! [`OnDrain`]: whether a drain handles or releases waiting messages.

/// What a drain does with messages that no handler has begun. Handlers that have begun, and open batches, always finish.
///
/// For [`Pipeline::on_drain`](crate::Pipeline::on_drain).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDrain {
    /// Releases them if their source [delivers them again](crate::Acknowledger::redelivers), as Kafka, RabbitMQ queues, SQS and
    /// Pub/Sub do. The drain takes as long as the slowest handler that has begun, and then the batches. Messages of other sources
    /// (iterators, streams), pushed messages, and all messages of a source that has ended are handled.
    #[default]
    Release,
    /// Handles them. The drain takes as long as all messages that were delivered.
    Finish,
}
