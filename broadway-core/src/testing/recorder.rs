//! [`Recorder`]: an observer that records events.

use std::fmt;

use super::{collector::Collector, fields};
use crate::telemetry::{Event, Observer};

/// Records the events of pipelines and of [stages](crate::stage). Clones share one list.
///
/// ```
/// use broadway_core::{Message, Pipeline, handler_fn, source, testing::{Recorder, drained}};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let recorder = Recorder::new();
/// let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
/// let topology = Pipeline::new(source::idle(), handler).observe(recorder.clone()).start().await?;
/// topology.push([1, 2, 3]).await?;
/// recorder.wait_for(|recorded| recorded.name() == "chunk_stopped").await;
/// drained(&topology).await;
/// assert_eq!(recorder.sum("chunk_stopped", "done"), 3);
/// assert_eq!(recorder.count("message_failed"), 0);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    recorded: Collector<RecordedEvent>,
}

impl Recorder {
    /// Creates an empty recorder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns all events, in order.
    #[must_use]
    pub fn all(&self) -> Vec<RecordedEvent> {
        self.recorded.all()
    }

    /// Returns the events with this name, in order.
    #[must_use]
    pub fn of(&self, name: &str) -> Vec<RecordedEvent> {
        let mut recorded = self.all();
        recorded.retain(|recorded| recorded.name == name);
        recorded
    }

    /// Returns how many events with this name were recorded.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.of(name).len()
    }

    /// Returns the sum of a field over all events with this name.
    ///
    /// # Panics
    ///
    /// Panics if the field of one of them is not a number.
    #[must_use]
    #[track_caller]
    pub fn sum(&self, name: &str, field: &str) -> u64 {
        self.of(name)
            .iter()
            .map(|recorded| recorded.number(field))
            .sum()
    }

    /// Waits for an event and returns the first. Events that were recorded before count.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is removed.
    pub async fn wait_for(&self, wanted: impl FnMut(&RecordedEvent) -> bool) -> RecordedEvent {
        self.recorded.wait_for(wanted).await
    }

    /// Waits until at least `n` events with this name were recorded.
    pub async fn wait_count(&self, name: &str, n: usize) {
        if n == 0 {
            return;
        }
        let mut found = 0;
        let counted = |recorded: &RecordedEvent| {
            found += usize::from(recorded.name == name);
            found == n
        };
        self.wait_for(counted).await;
    }
}

impl Observer for Recorder {
    fn on_event(&self, teller: &str, event: &Event<'_>) {
        self.recorded.push(RecordedEvent {
            teller: teller.to_owned(),
            name: event.name(),
            fields: fields::of(event),
        });
    }
}

/// A recorded event: its name, and its fields except durations, which are never the same twice.
///
/// Displayed as `chunk_started processor=0 count=3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    teller: String,
    name: &'static str,
    fields: Vec<(&'static str, String)>,
}

impl RecordedEvent {
    /// Returns the name of the pipeline, publisher or stage that reported it.
    #[must_use]
    pub fn teller(&self) -> &str {
        &self.teller
    }

    /// Returns the event's name, as [`Event::name`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns a field as text: a number, a name, an error. `None` if the event has no such field, or if it was empty.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(name, _)| *name == field);
        found.map(|(_, text)| text.as_str())
    }

    /// Returns a field as a number.
    ///
    /// # Panics
    ///
    /// Panics if the event has no such field, or if it is not a number.
    #[must_use]
    #[track_caller]
    pub fn number(&self, field: &str) -> u64 {
        let number = self.get(field).and_then(|text| text.parse().ok());
        number.unwrap_or_else(|| panic!("`{self}` has no number named {field}"))
    }
}

impl fmt::Display for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.fields
            .iter()
            .try_for_each(|(name, text)| write!(f, " {name}={text}"))
    }
}
