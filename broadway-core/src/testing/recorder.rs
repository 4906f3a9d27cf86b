//! An observer that remembers.

use std::fmt;

use super::{collector::Collector, fields};
use crate::telemetry::{Event, Observer};

/// An observer that keeps what it heard, of pipelines and of [stages](crate::stage). Clones share one memory.
///
/// ```
/// use broadway_core::{Message, Pipeline, handler_fn, source, testing::{Recorder, drained}};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let recorder = Recorder::new();
/// let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
/// let topology = Pipeline::new(source::idle(), handler).observe(recorder.clone()).start().await?;
/// topology.push([1, 2, 3]).await?;
/// recorder.wait_for(|heard| heard.name() == "chunk_stopped").await;
/// drained(&topology).await;
/// assert_eq!(recorder.sum("chunk_stopped", "done"), 3);
/// assert_eq!(recorder.count("message_failed"), 0);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    heard: Collector<RecordedEvent>,
}

impl Recorder {
    /// Nothing heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything heard, in order.
    #[must_use]
    pub fn all(&self) -> Vec<RecordedEvent> {
        self.heard.all()
    }

    /// The events of this name, in order.
    #[must_use]
    pub fn of(&self, name: &str) -> Vec<RecordedEvent> {
        let mut heard = self.all();
        heard.retain(|heard| heard.name == name);
        heard
    }

    /// How many events of this name were heard.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.of(name).len()
    }

    /// The sum of a field over all events of this name.
    ///
    /// # Panics
    ///
    /// When one of them has no such number.
    #[must_use]
    #[track_caller]
    pub fn sum(&self, name: &str, field: &str) -> u64 {
        self.of(name).iter().map(|heard| heard.number(field)).sum()
    }

    /// Waits for an event, also one that was heard already, and returns the first.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is forgotten.
    pub async fn wait_for(&self, wanted: impl FnMut(&RecordedEvent) -> bool) -> RecordedEvent {
        self.heard.wait_for(wanted).await
    }

    /// Waits until at least `n` events of this name were heard.
    pub async fn wait_count(&self, name: &str, n: usize) {
        if n == 0 {
            return;
        }
        let mut found = 0;
        let counted = |heard: &RecordedEvent| {
            found += usize::from(heard.name == name);
            found == n
        };
        self.wait_for(counted).await;
    }
}

impl Observer for Recorder {
    fn on_event(&self, teller: &str, event: &Event<'_>) {
        self.heard.push(RecordedEvent {
            teller: teller.to_owned(),
            name: event.name(),
            fields: fields::of(event),
        });
    }
}

/// An event as a [`Recorder`] remembers it: its name, and its fields but for durations, which are never the same twice.
///
/// Shown as `chunk_started processor=0 count=3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    teller: String,
    name: &'static str,
    fields: Vec<(&'static str, String)>,
}

impl RecordedEvent {
    /// The name of the pipeline, or of the stage, that told it.
    #[must_use]
    pub fn teller(&self) -> &str {
        &self.teller
    }

    /// The event's name, as of [`Event::name`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// A field as text: a number, a name, an error. `None`: the event has no such field, or it was empty.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(name, _)| *name == field);
        found.map(|(_, text)| text.as_str())
    }

    /// A field as a number.
    ///
    /// # Panics
    ///
    /// When the event has no such field, or it is no number.
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
