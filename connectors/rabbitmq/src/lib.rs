//! RabbitMQ for broadway.
