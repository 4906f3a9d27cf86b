//! The lines that are logged on this thread.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    subscriber::{DefaultGuard, set_default},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry,
};

/// One line: its level and its fields.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) level: Level,
    fields: BTreeMap<&'static str, String>,
}

impl Line {
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("(none)", String::as_str)
    }

    pub(super) fn event(&self) -> &str {
        self.field("event")
    }

    pub(super) fn id(&self) -> &str {
        self.field("id")
    }

    pub(super) fn reason(&self) -> &str {
        self.field("reason")
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// Captures the log of this thread while it lives, as a program gets it that logs at this level.
pub(super) struct Captured {
    lines: Lines,
    _default: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

impl Captured {
    pub(super) fn at(level: Level) -> Self {
        let lines = Lines::default();
        let layer = lines.clone().with_filter(LevelFilter::from_level(level));
        Self {
            lines,
            _default: set_default(registry().with(layer)),
        }
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.0.lock().unwrap().clone()
    }

    pub(super) fn of(&self, event: &str) -> Vec<Line> {
        let mut lines = self.lines();
        lines.retain(|line| line.event() == event);
        lines
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line {
            level: *event.metadata().level(),
            fields: BTreeMap::new(),
        };
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }
}
