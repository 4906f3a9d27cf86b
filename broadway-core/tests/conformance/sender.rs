//! The sending side of the connector to the broker in memory: honest, but for its [`Defect`].

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use broadway_core::{BoxError, Outgoing, PublishError, Publisher};

use crate::{
    broker::{Broker, PAYLOAD_MAX},
    defect::Defect,
};

pub(crate) struct MemoryPublisher {
    broker: Arc<Broker>,
    name: String,
    defect: Option<Defect>,
    is_closed: AtomicBool,
}

impl MemoryPublisher {
    pub(crate) fn new(broker: Arc<Broker>, name: &str, defect: Option<Defect>) -> Self {
        Self {
            broker,
            name: name.to_owned(),
            defect,
            is_closed: AtomicBool::new(false),
        }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn send(&self, message: Outgoing) -> Result<(), PublishError> {
        if self.is_closed.load(Ordering::Relaxed) && !self.has(Defect::StaysOpen) {
            return Err(PublishError::closed());
        }
        if message.payload().len() > PAYLOAD_MAX {
            return match self.has(Defect::ConfirmsTooLarge) {
                true => Ok(()),
                false => Err(PublishError::refused(format!(
                    "a payload has {PAYLOAD_MAX} bytes at most"
                ))),
            };
        }
        self.broker.send(&self.name, self.spoilt(message));
        Ok(())
    }

    fn spoilt(&self, message: Outgoing) -> Outgoing {
        let (mut payload, key, headers) = message.into_parts();
        if self.has(Defect::CutsPayloads) {
            payload.truncate(4096);
        }
        let mut sent = Outgoing::new(payload);
        if let Some(key) = key.filter(|_| !self.has(Defect::LosesKeys)) {
            sent = sent.key(key);
        }
        if self.has(Defect::LosesHeaders) {
            return sent;
        }
        let headers = headers.into_iter();
        headers.fold(sent, |sent, (name, value)| sent.header(name, value))
    }
}

impl Publisher for MemoryPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        if messages.is_empty() && self.has(Defect::HangsWithNothing) {
            std::future::pending().await
        }
        let last = messages.len().wrapping_sub(1);
        let unsent = |index| index == last && last > 0 && self.has(Defect::ConfirmsUnsent);
        let messages = messages.into_iter().enumerate();
        let results = messages.map(|(index, message)| match unsent(index) {
            true => Ok(()),
            false => self.send(message),
        });
        let mut results: Vec<_> = results.collect();
        if self.has(Defect::OneResultShort) {
            results.pop();
        }
        results
    }

    async fn flush(&self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.is_closed.store(true, Ordering::Relaxed);
        Ok(())
    }
}
