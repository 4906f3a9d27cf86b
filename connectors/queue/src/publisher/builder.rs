//! Options of a publisher: [`QueuePublisherBuilder`].

use std::{sync::Arc, time::Duration};

use broadway_core::{
    BoxError, Checks, ConfigError, Problem,
    connector::{ConnectorError, InFlight},
};

use super::{QueuePublisher, Shared};
use crate::{
    connect,
    folder::QueueFolder,
    topic::{TopicOptions, name_problem},
};

/// The largest message: a block's lengths have 32 bits.
const BYTES_MAX: usize = 1 << 30;
const IN_FLIGHT_MAX: usize = 10_000_000;

/// The options of a [`QueuePublisher`], from [`QueuePublisher::topic`].
#[derive(Debug, Clone)]
#[must_use = "a publisher is opened with `open`"]
pub struct QueuePublisherBuilder {
    folder: QueueFolder,
    topic: String,
    create_with: Option<TopicOptions>,
    in_flight_max: usize,
    bytes_max: usize,
    confirm_timeout: Duration,
    close_timeout: Duration,
}

impl QueuePublisherBuilder {
    pub(super) fn new(folder: QueueFolder, topic: String) -> Self {
        Self {
            folder,
            topic,
            create_with: None,
            in_flight_max: 100_000,
            bytes_max: 16 << 20,
            confirm_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
        }
    }

    /// The options of topics that are missing. The publisher's own topic takes them over if it exists. Defaults to [`TopicOptions::new`] for missing
    /// topics, and to no change for others.
    pub fn create_with(mut self, topic: TopicOptions) -> Self {
        self.create_with = Some(topic);
        self
    }

    /// Maximum number of messages in flight, of all callers together: 1 to 10,000,000. Further calls wait. Defaults to 100,000.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// Maximum number of bytes of a message, key and headers included: 1 byte to 1 GiB. Larger messages are refused. Defaults to 16 MiB.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// How long a message may wait until it is durable, as on a full device. Then it counts as not confirmed. `Duration::MAX` means no limit. Defaults to
    /// 30 s.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// Limit on closing, which waits for open calls. `Duration::MAX` means no limit. Defaults to 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Checks the options without opening the folder.
    fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        self.folder.check(&mut checks);
        if let Some(problem) = name_problem(&self.topic) {
            checks.add("topic", problem);
        }
        if let Some(topic) = &self.create_with {
            topic.check(&mut checks);
        }
        checks.within("in_flight_max", self.in_flight_max, 1..=IN_FLIGHT_MAX);
        checks.within("bytes_max", self.bytes_max, 1..=BYTES_MAX);
        checks.timeout("confirm_timeout", self.confirm_timeout);
        checks.timeout("close_timeout", self.close_timeout);
        checks.into_problems()
    }

    /// Opens the folder, unless it is open in this process, and the topic. Both are created if they are missing.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] if options are invalid. Otherwise fails with a [`ConnectorError`]: another process has the folder open, it cannot be
    /// read, or its format is of another version.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing was appended.
    pub async fn open(self) -> Result<QueuePublisher, BoxError> {
        ConfigError::check("the queue publisher", self.problems())?;
        let store = connect::open(&self.folder).await?;
        let (opened, name, options) = (store.clone(), self.topic, self.create_with.clone());
        let topic =
            tokio::task::spawn_blocking(move || opened.topic(&name, options.as_ref())).await;
        let topic = topic.map_err(|error| ConnectorError::permanent(error.to_string()))??;
        Ok(QueuePublisher {
            shared: Arc::new(Shared {
                store,
                topic,
                create_with: self.create_with,
                in_flight: InFlight::new(self.in_flight_max),
                bytes_max: self.bytes_max,
                confirm_timeout: self.confirm_timeout,
                close_timeout: self.close_timeout,
            }),
        })
    }
}
