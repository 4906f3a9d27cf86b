//! Whether the service can still be reached, asked while the stream is silent: the client opens a broken stream again by itself,
//! with pauses of up to a minute, and tells nobody.
//!
//! The question is the one that opening asks: for the subscription, over a connection of its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadway_core::telemetry::{Emitter, Event};
use tokio::time::sleep;

use crate::{
    connect::{Access, Found, Limit, Target},
    held::Held,
    pulse::Pulse,
};

/// How long the stream is silent before the first question, and how soon one that had no answer is asked again.
const FIRST: Duration = Duration::from_secs(15);
/// A stream may be silent for days: after each answer the pause doubles, up to this. Questions count against a quota.
const LONGEST: Duration = Duration::from_secs(120);

/// Who asks, and whom it tells.
pub(crate) struct Probe {
    pub(crate) access: Access,
    /// How long an answer may take.
    pub(crate) connect_timeout: Duration,
    pub(crate) target: Target,
    pub(crate) held: Arc<Held>,
    pub(crate) pulse: Arc<Mutex<Pulse>>,
    pub(crate) producer: usize,
    pub(crate) emitter: Emitter,
}

impl Probe {
    /// Runs until the subscription is gone, or it is aborted.
    pub(crate) async fn run(self) {
        let mut pause = FIRST;
        let mut before = self.brought();
        loop {
            sleep(pause).await;
            let now = self.brought();
            if now != before {
                before = now;
                pause = FIRST;
                continue;
            }
            let limit = Limit::begin(self.connect_timeout);
            let name = &self.target.name;
            match self.access.find_subscription(name, limit).await {
                Ok(Found::Yes | Found::Hidden) => pause = (pause * 2).min(LONGEST),
                // Not every server ends the streams of what is deleted.
                Ok(Found::No) => return self.held.fail(self.target.missing(), false),
                Err(error) => {
                    pause = FIRST;
                    let error = error.to_string();
                    tracing::warn!(target: "broadway_pubsub", error, "the stream is silent, and the service does not answer");
                    self.emitter.emit(&Event::SourceTrouble {
                        producer: self.producer,
                        error: &error,
                    });
                }
            }
        }
    }

    /// How often the stream has brought something.
    fn brought(&self) -> u64 {
        let pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        pulse.times_brought()
    }
}
