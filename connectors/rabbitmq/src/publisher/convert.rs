//! What a message becomes for RabbitMQ, or why it cannot be sent.

use broadway_core::Outgoing;
use lapin::{BasicProperties, types::ShortString};

use super::headers;

/// The longest routing key.
const NAME_BYTES_MAX: usize = 255;
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// What all messages of a publisher have in common.
#[derive(Clone)]
pub(crate) struct Converter {
    /// Where messages go that do not say so themselves.
    pub(crate) routing_key: String,
    pub(crate) persistent: bool,
    pub(crate) bytes_max: usize,
}

/// A message but for its payload.
#[derive(Debug, PartialEq)]
pub(crate) struct AmqpMessage {
    pub(crate) routing_key: ShortString,
    pub(crate) properties: BasicProperties,
}

impl Converter {
    /// For a connection whose frames have this size. What the broker would not take is found here: it would close the channel, or
    /// the connection, and with it all that is on its way.
    pub(crate) fn entry(
        &self,
        message: &Outgoing,
        frame_max: usize,
    ) -> Result<AmqpMessage, String> {
        let bytes = message.payload().map_or(0, |payload| payload.len());
        if bytes > self.bytes_max {
            return Err(format!(
                "it has {bytes} bytes, more than {} (`bytes_max`)",
                self.bytes_max
            ));
        }
        if let Some(partition) = message.partition() {
            return Err(format!(
                "it is for the partition {partition}, but RabbitMQ has none; send it without"
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
    fn a_message_becomes_what_the_table_says() {
        let message = Outgoing::new("x")
            .key("k")
            .header("text", "a")
            .header("raw", vec![0xff]);
        let entry = converter().entry(&message, FRAME).unwrap();
        assert_eq!(entry.routing_key.as_str(), "orders");
        assert_eq!(*entry.properties.delivery_mode(), Some(PERSISTENT));
        let headers = entry.properties.headers().as_ref().unwrap().inner();
        assert_eq!(headers["text"], AMQPValue::LongString("a".into()));
        assert_eq!(headers["raw"], AMQPValue::ByteArray(vec![0xff].into()));
        assert_eq!(headers[KEY], AMQPValue::LongString("k".into()));
        assert_eq!(headers.len(), 3);

        let entry = converter()
            .entry(&Outgoing::new("x").to("other"), FRAME)
            .unwrap();
        assert_eq!(entry.routing_key.as_str(), "other");
        assert_eq!(*entry.properties.headers(), None);
    }

    #[test]
    fn what_the_broker_would_not_take_is_refused_before() {
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
            let said = converter().entry(&message, FRAME).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
