//! A record that owns everything, and reads what was published.

use std::time::SystemTime;

use broadway_core::{
    BoxError, Handler, Header, HeaderValue, Message, Next, NoAckOptions, NoBatcher, Outgoing,
    Record, testing::MemoryQueue,
};

/// A record with any bytes. Cloned for each delivery.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<Header>,
    pub(crate) time: Option<SystemTime>,
    pub(crate) id: String,
    pub(crate) deliveries: Option<u32>,
}

impl Stored {
    pub(crate) fn new(id: &str, payload: &str) -> Self {
        Self {
            payload: Some(payload.into()),
            id: id.to_owned(),
            ..Self::default()
        }
    }

    /// The record that a broker makes of a message.
    pub(crate) fn of(message: &Outgoing, id: &str) -> Self {
        Self {
            payload: message.payload().map(|payload| payload.to_vec()),
            key: message.message_key().map(|key| key.to_vec()),
            headers: message.headers().to_vec(),
            time: message.time(),
            id: id.to_owned(),
            deliveries: None,
        }
    }
}

impl Record for Stored {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }

    fn is_tombstone(&self) -> bool {
        self.payload.is_none()
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        let header = self.headers.iter().find(|header| header.name == name)?;
        match &header.value {
            HeaderValue::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        self.headers.iter().cloned().for_each(visit);
    }

    fn time(&self) -> Option<SystemTime> {
        self.time
    }

    fn deliveries(&self) -> Option<u32> {
        self.deliveries
    }

    fn id(&self) -> String {
        self.id.clone()
    }
}

/// Fails every message with an error of this text.
pub(crate) struct Failing(pub(crate) fn() -> BoxError);

impl Handler for Failing {
    type In = Stored;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        _: &mut Message<Stored>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        Err((self.0)())
    }
}

/// A queue with these records, which delivers each up to 50 times.
pub(crate) fn queue(records: impl IntoIterator<Item = Stored>) -> MemoryQueue<Stored> {
    let queue = MemoryQueue::new().deliveries_max(50);
    for record in records {
        queue.publish(move |_: u32| record.clone());
    }
    queue
}

/// The value of a header of a message, as text.
pub(crate) fn text<'a>(message: &'a Outgoing, name: &str) -> Option<&'a str> {
    let mut headers = message.headers().iter();
    headers.find(|header| header.name == name)?.value.as_str()
}
