//! Converts messages to AMQP, or refuses those that RabbitMQ would not accept.

use broadway_core::Outgoing;
use lapin::{BasicProperties, types::ShortString};

use super::headers;
use crate::names::NAME_BYTES_MAX;

/// The values of the property `delivery_mode`.
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// Converts the messages of a publisher.
#[derive(Clone)]
pub(crate) struct Converter {
    /// The routing key of messages without one of their own.
    pub(crate) routing_key: String,
    pub(crate) persistent: bool,
    pub(crate) bytes_max: usize,
}

/// A converted message, without its payload.
#[derive(Debug, PartialEq)]
pub(crate) struct AmqpMessage {
    pub(crate) routing_key: ShortString,
    pub(crate) properties: BasicProperties,
}

impl Converter {
    /// Converts a message for a connection with frames of up to `frame_max` bytes.
    ///
    /// # Errors
    ///
    /// Fails if the broker would not accept the message: it would close the channel or the connection, and interrupt the other messages.
    pub(crate) fn convert(
        &self,
        message: &Outgoing,
        frame_max: usize,
    ) -> Result<AmqpMessage, String> {
        let bytes = message.payload().map_or(0, |payload| payload.len());
        if bytes > self.bytes_max {
            return Err(format!(
                "its payload has {bytes} bytes, more than {} (`bytes_max`)",
                self.bytes_max
            ));
        }
        if let Some(partition) = message.partition() {
            return Err(format!(
                "it is for the partition {partition}, but RabbitMQ has no partitions; send it without one"
            ));
        }
        let routing_key = message.destination().unwrap_or(&self.routing_key);
        let routing_key = ShortString::try_new(routing_key)
            .map_err(|_| format!("its routing key is longer than {NAME_BYTES_MAX} bytes"))?;
        let mode = if self.persistent {
            PERSISTENT
        } else {
            TRANSIENT
        };
        Ok(AmqpMessage {
            routing_key,
            properties: headers::encode(message, mode, frame_max)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::portable::KEY;
    use lapin::types::AMQPValue;

    use super::*;

    const FRAME: usize = 131_072;

    fn converter() -> Converter {
        Converter {
            routing_key: "orders".to_owned(),
            persistent: true,
            bytes_max: 10,
        }
    }

    #[test]
    fn a_message_is_converted_as_documented() {
        let message = Outgoing::new("x")
            .key("k")
            .header("text", "a")
            .header("raw", vec![0xff]);
        let converted = converter().convert(&message, FRAME).unwrap();
        assert_eq!(converted.routing_key.as_str(), "orders");
        assert_eq!(*converted.properties.delivery_mode(), Some(PERSISTENT));
        let headers = converted.properties.headers().as_ref().unwrap().inner();
        assert_eq!(headers["text"], AMQPValue::LongString("a".into()));
        assert_eq!(headers["raw"], AMQPValue::ByteArray(vec![0xff].into()));
        assert_eq!(headers[KEY], AMQPValue::LongString("k".into()));
        assert_eq!(headers.len(), 3);

        let converted = converter()
            .convert(&Outgoing::new("x").to("other"), FRAME)
            .unwrap();
        assert_eq!(converted.routing_key.as_str(), "other");
        assert_eq!(*converted.properties.headers(), None);
    }

    #[test]
    fn messages_that_the_broker_would_not_accept_are_refused() {
        let long = "x".repeat(256);
        let huge = "x".repeat(FRAME);
        for (message, why) in [
            (Outgoing::new("x".repeat(11)), "11 bytes"),
            (Outgoing::new("x").to(long.clone()), "routing key"),
            (Outgoing::new("x").to_partition(3), "partition 3"),
            (Outgoing::new("x").header("h", huge.clone()), "a frame"),
            (Outgoing::new("x").key(huge), "a frame"),
            (Outgoing::new("x").header("CC", "you"), "`CC`"),
            (Outgoing::new("x").header("BCC", "you"), "`BCC`"),
        ] {
            let reason = converter().convert(&message, FRAME).unwrap_err();
            assert!(reason.contains(why), "{reason}");
        }
    }
}
