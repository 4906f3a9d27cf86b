//! The publisher of the connector in memory, honest unless a defect is built in.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use broadway_core::{BoxError, Header, Outgoing, PublishError, Publisher};
use tokio::{
    sync::{RwLock, Semaphore},
    task::yield_now,
};

use crate::{broker::Broker, connector::Defect, link::Link};

/// The largest payload in bytes.
pub(crate) const PAYLOAD_MAX: usize = 64 * 1024;

/// The most messages that are sent and not confirmed.
pub(crate) const IN_FLIGHT_MAX: usize = 20;

#[derive(Clone)]
pub(crate) struct MemoryPublisher {
    broker: Broker,
    link: Arc<Link>,
    in_flight: Arc<Semaphore>,
    /// Each call holds it for reading, and a flush waits for them.
    calls: Arc<RwLock<()>>,
    is_closed: Arc<AtomicBool>,
    defect: Option<Defect>,
}

impl MemoryPublisher {
    pub(crate) async fn open(
        broker: Broker,
        via: Option<SocketAddr>,
        defect: Option<Defect>,
    ) -> Result<Self, BoxError> {
        Ok(Self {
            broker,
            link: Arc::new(Link::open(via).await?),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            calls: Arc::default(),
            is_closed: Arc::default(),
            defect,
        })
    }

    async fn confirmed(&self, message: Outgoing) -> Result<(), PublishError> {
        let _permit = self.in_flight.acquire().await;
        let passed = async {
            self.link.connect().await?;
            self.link.pass().await
        };
        passed.await.map_err(PublishError::unconfirmed)?;
        self.send(message)
    }

    fn send(&self, message: Outgoing) -> Result<(), PublishError> {
        if self.is_closed.load(Ordering::Acquire) && self.defect != Some(Defect::StaysOpen) {
            return Err(PublishError::closed());
        }
        let (mut payload, key, headers) = message.into_parts();
        if self.defect == Some(Defect::ChangesBytes) {
            let lossy = |payload: bytes::Bytes| String::from_utf8_lossy(&payload).into_owned();
            payload = payload.map(lossy).map(Into::into);
        }
        if self.defect == Some(Defect::FillsNull) {
            payload = Some(payload.unwrap_or_default());
        }
        let is_text = |payload: &bytes::Bytes| std::str::from_utf8(payload).is_ok();
        if self.defect == Some(Defect::WantsText) && !payload.as_ref().is_some_and(is_text) {
            return Err(PublishError::refused("it is not text"));
        }
        let mut sent = payload.map_or_else(Outgoing::tombstone, Outgoing::new);
        if let Some(key) = key {
            sent = sent.key(key);
        }
        for Header { name, value } in headers {
            if value.as_bytes() != Some(b"") || self.defect != Some(Defect::DropsEmptyHeaders) {
                sent = sent.header(name, value);
            }
        }
        self.broker.publish(sent);
        Ok(())
    }
}

impl Publisher for MemoryPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let _call = self.calls.read().await;
        let count = messages.len();
        let is_large = |message: &Outgoing| {
            message
                .payload()
                .is_some_and(|payload| payload.len() > PAYLOAD_MAX)
        };
        if self.defect == Some(Defect::FailsNeighbours) && messages.iter().any(is_large) {
            return (0..count).map(|_| Err(too_large())).collect();
        }
        let mut results = Vec::with_capacity(count);
        for (index, message) in messages.into_iter().enumerate() {
            if self.defect == Some(Defect::ConfirmsEarly) && index >= count.div_ceil(2) {
                results.push(Ok(()));
                continue;
            }
            if self.defect == Some(Defect::FlushesNothing) {
                yield_now().await;
            }
            results.push(match is_large(&message) {
                true => Err(too_large()),
                false if self.defect == Some(Defect::TakesInAll) => {
                    let this = self.clone();
                    let sent = tokio::spawn(async move { this.confirmed(message).await });
                    sent.await.expect("it does not panic")
                }
                false => self.confirmed(message).await,
            });
        }
        results
    }

    async fn flush(&self) -> Result<(), BoxError> {
        if self.defect != Some(Defect::FlushesNothing) {
            drop(self.calls.write().await);
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.is_closed.store(true, Ordering::Release);
        Ok(())
    }
}

fn too_large() -> PublishError {
    PublishError::refused(format!("a payload has {PAYLOAD_MAX} bytes at most"))
}
