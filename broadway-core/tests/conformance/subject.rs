//! The connector to the broker in memory, as the suite wants it.

use std::{net::SocketAddr, sync::Arc};

use broadway_core::{
    BoxError,
    testing::conformance::{Abilities, Redelivery, Subject},
};

use crate::{
    broker::{Broker, LEASE, PAYLOAD_MAX},
    connector::{FETCH_MAX, MemorySource},
    defect::Defect,
    sender::MemoryPublisher,
};

pub(crate) struct Memory {
    broker: Arc<Broker>,
    defect: Option<Defect>,
}

impl Memory {
    pub(crate) fn honest() -> Self {
        Self {
            broker: Arc::default(),
            defect: None,
        }
    }

    pub(crate) fn with(defect: Defect) -> Self {
        Self {
            defect: Some(defect),
            ..Self::honest()
        }
    }
}

impl Subject for Memory {
    type Source = MemorySource;
    type Publisher = MemoryPublisher;

    fn abilities(&self) -> Abilities {
        Abilities::new(None)
            .payload_max(PAYLOAD_MAX)
            .orders_keys(true)
            .lease(Some(LEASE))
            .redelivers(Redelivery::ToAnyone)
            .fetch_max(FETCH_MAX)
    }

    async fn create(&self, promise: &str) -> Result<String, BoxError> {
        Ok(self.broker.create(promise))
    }

    fn source(&self, place: &str, _: Option<SocketAddr>) -> MemorySource {
        MemorySource {
            broker: self.broker.clone(),
            name: place.to_owned(),
            defect: self.defect,
        }
    }

    async fn publisher(
        &self,
        place: &str,
        _: Option<SocketAddr>,
    ) -> Result<MemoryPublisher, BoxError> {
        self.broker.find(place)?;
        Ok(MemoryPublisher::new(
            self.broker.clone(),
            place,
            self.defect,
        ))
    }

    async fn unacknowledged(&self, place: &str) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.broker.unacknowledged(place)))
    }
}
