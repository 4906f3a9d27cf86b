//! [`Oracle`]: the semantics of windows as a list of everything, searched from end to end for each step.

use super::super::{cell::Trigger, fired::Fired};
use crate::{
    AfterFiring, Decision, Firing, LateFiring, Timestamp, Window, Windows,
    epoch::Epoch,
    window::{EarlyFiring, WindowKind},
};

pub(super) type Out = Fired<u8, Vec<i64>>;

const MAX: i128 = i64::MAX as i128;
const MIN: i128 = i64::MIN as i128;

pub(super) struct Oracle {
    windows: Windows<i64>,
    entries: Vec<Entry>,
    watermark: i128,
    numbers: [u64; 256],
    start: Option<i64>,
    empty_key: Option<u8>,
    seen: Vec<i128>,
    next_empty: Option<i128>,
    started: bool,
    out: Vec<Out>,
}

struct Entry {
    key: u8,
    window: Span,
    held: Vec<(i64, Epoch)>,
    events: u64,
    fresh: u64,
    on_time: bool,
    trigger: Option<Trigger<i64>>,
}

/// A window: `end` and `start` are not limited to the range of timestamps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Span {
    Global,
    Time { end: i128, start: i128 },
    Number(u64),
}

impl Span {
    fn window(self) -> Window {
        let at = |time: i128| Timestamp::from_millis(time.clamp(MIN, MAX) as i64);
        match self {
            Self::Global => Window::Global,
            Self::Number(n) => Window::Number(n),
            Self::Time { end, start } => Window::Time {
                start: at(start),
                end: at(end),
            },
        }
    }

    fn end(self) -> i128 {
        match self {
            Self::Global => MAX,
            Self::Time { end, .. } => end.min(MAX),
            Self::Number(_) => i128::MAX,
        }
    }

    fn order(self) -> (i128, i128) {
        match self {
            Self::Time { end, start } => (end, start),
            _ => (self.end(), 0),
        }
    }
}

impl Oracle {
    pub(super) fn new(windows: Windows<i64>, empty_key: Option<u8>) -> Self {
        Self {
            empty_key: empty_key.filter(|_| windows.empty),
            windows,
            entries: Vec::new(),
            watermark: MIN,
            numbers: [0; 256],
            start: None,
            seen: Vec::new(),
            next_empty: None,
            started: false,
            out: Vec::new(),
        }
    }

    /// Returns the results, and whether the event was late for all its windows.
    pub(super) fn add(&mut self, key: u8, event: i64, time: i64, since: Epoch) -> (Vec<Out>, bool) {
        let spans = self.spans(key, i128::from(time));
        let open: Vec<_> = spans
            .iter()
            .copied()
            .filter(|span| !self.is_closed(*span))
            .collect();
        if open.is_empty() {
            return (Vec::new(), !spans.is_empty());
        }
        for span in open {
            let mut entry = self.take_entry(key, span);
            self.put(&mut entry, event, since);
            self.entries.push(entry);
            self.complete(key);
            self.note(span);
        }
        (std::mem::take(&mut self.out), false)
    }

    pub(super) fn watermark(&mut self, to: i64) -> Vec<Out> {
        if i128::from(to) <= self.watermark {
            return Vec::new();
        }
        self.watermark = i128::from(to);
        let mut all = std::mem::take(&mut self.entries);
        all.sort_by_key(|entry| entry.window.order());
        for mut entry in all {
            if entry.window.end() <= self.watermark && !entry.on_time {
                entry.on_time = true;
                if self.has_result(&entry) {
                    self.fire(&mut entry, Firing::OnTime);
                }
            }
            if !self.is_closed(entry.window) {
                self.entries.push(entry);
            } else if entry.fresh > 0 {
                self.fire(&mut entry, Firing::Late);
            }
        }
        self.fire_empty();
        std::mem::take(&mut self.out)
    }

    pub(super) fn tick(&mut self, now: i64) -> Vec<Out> {
        let mut all = std::mem::take(&mut self.entries);
        if let WindowKind::Periodic { every } = self.windows.kind {
            let start = *self.start.get_or_insert(now);
            let periods = (now - start) / every;
            if periods > 0 {
                self.start = Some(start + periods * every);
                self.numbers = self.numbers.map(|n| n + periods as u64);
                for mut entry in all.drain(..) {
                    if self.has_result(&entry) {
                        self.fire(&mut entry, Firing::OnTime);
                    }
                }
            }
        }
        if let EarlyFiring::Periodic(_) = self.windows.early {
            for entry in &mut all {
                if entry.fresh > 0 && !entry.on_time {
                    self.fire(entry, Firing::Early);
                }
            }
        }
        self.entries = all;
        std::mem::take(&mut self.out)
    }

    pub(super) fn finish(&mut self) -> Vec<Out> {
        let mut out = self.watermark(i64::MAX);
        for mut entry in std::mem::take(&mut self.entries) {
            if self.has_result(&entry) {
                self.fire(&mut entry, Firing::OnTime);
            }
        }
        out.append(&mut self.out);
        out
    }

    pub(super) fn since(&self) -> Epoch {
        let held = self.entries.iter().flat_map(|entry| &entry.held);
        held.map(|(_, since)| *since).min().unwrap_or(Epoch::NONE)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A new process starts its periods with its first tick.
    pub(super) fn restart(&mut self) {
        self.start = None;
    }

    /// The windows of an event, by their ends.
    fn spans(&self, key: u8, time: i128) -> Vec<Span> {
        match self.windows.kind {
            WindowKind::Global => vec![Span::Global],
            WindowKind::Count(_) | WindowKind::Periodic { .. } => {
                vec![Span::Number(self.numbers[usize::from(key)])]
            }
            WindowKind::Time {
                size,
                slide,
                offset,
            } => {
                let (size, slide, offset) =
                    (i128::from(size), i128::from(slide), i128::from(offset));
                let near = (time - offset).div_euclid(slide);
                let all = near - size / slide - 2..=near + 2;
                all.map(|i| offset + i * slide)
                    .filter(|start| *start <= time && time < start + size)
                    .map(|start| Span::Time {
                        start,
                        end: start + size,
                    })
                    .collect()
            }
            WindowKind::Session { gap } => {
                let (mut start, mut end) = (time, (time + i128::from(gap)).min(MAX));
                for entry in self.entries.iter().filter(|entry| entry.key == key) {
                    if let Span::Time { start: a, end: b } = entry.window
                        && overlap((time, end_of(time, gap)), (a, b))
                    {
                        start = start.min(a);
                        end = end.max(b);
                    }
                }
                vec![Span::Time { start, end }]
            }
        }
    }

    fn is_closed(&self, span: Span) -> bool {
        match span {
            Span::Number(_) => false,
            Span::Global => self.watermark == MAX,
            Span::Time { .. } => {
                (span.end() + i128::from(self.windows.lateness)).min(MAX) <= self.watermark
            }
        }
    }

    /// Removes the state of a window, or makes one. Sessions inside the window are merged.
    fn take_entry(&mut self, key: u8, span: Span) -> Entry {
        let session = matches!(self.windows.kind, WindowKind::Session { .. });
        let joins = |entry: &mut Entry| {
            entry.key == key
                && match (entry.window, span) {
                    (Span::Time { start: a, end: b }, Span::Time { start, end }) if session => {
                        start <= a && b <= end
                    }
                    (own, span) => own == span,
                }
        };
        let mut found: Vec<_> = self.entries.extract_if(.., joins).collect();
        found.sort_by_key(|entry| entry.window.order());
        let trigger = found.iter_mut().find_map(|entry| entry.trigger.take());
        let mut merged = Entry {
            key,
            window: span,
            held: Vec::new(),
            events: 0,
            fresh: 0,
            on_time: span.end() <= self.watermark,
            trigger,
        };
        for entry in found {
            merged.held.extend(entry.held);
            merged.events += entry.events;
            merged.fresh += entry.fresh;
        }
        merged
    }

    fn put(&mut self, entry: &mut Entry, event: i64, since: Epoch) {
        let decision = match &self.windows.early {
            _ if entry.on_time => Decision::Continue,
            EarlyFiring::Never | EarlyFiring::Periodic(_) => Decision::Continue,
            EarlyFiring::Every(n) if (entry.events + 1).is_multiple_of(*n) => Decision::Fire,
            EarlyFiring::Every(_) => Decision::Continue,
            EarlyFiring::Custom(custom) => {
                entry.trigger.get_or_insert_with(|| custom.start())(&event)
            }
        };
        if decision == Decision::FireBefore && self.has_result(entry) {
            self.fire(entry, Firing::Early);
        }
        entry.held.push((event, since));
        entry.events += 1;
        entry.fresh += 1;
        let complete = matches!(self.windows.kind, WindowKind::Count(n) if entry.events >= n);
        if decision == Decision::Fire && !complete {
            self.fire(entry, Firing::Early);
        }
        if entry.on_time && self.windows.late == LateFiring::EachEvent {
            self.fire(entry, Firing::Late);
        }
    }

    /// Fires a count window that is complete.
    fn complete(&mut self, key: u8) {
        let WindowKind::Count(n) = self.windows.kind else {
            return;
        };
        let full = |entry: &mut Entry| entry.key == key && entry.events >= n;
        let full: Vec<_> = self.entries.extract_if(.., full).collect();
        for mut entry in full {
            self.fire(&mut entry, Firing::OnTime);
            self.numbers[usize::from(key)] += 1;
        }
    }

    fn has_result(&self, entry: &Entry) -> bool {
        match self.windows.after {
            AfterFiring::Accumulate => entry.events > 0,
            AfterFiring::Discard => entry.fresh > 0,
        }
    }

    fn fire(&mut self, entry: &mut Entry, firing: Firing) {
        let mut value: Vec<_> = entry.held.iter().map(|(event, _)| *event).collect();
        value.sort_unstable();
        let since = entry.held.iter().map(|(_, since)| *since).min();
        self.out.push(Fired {
            key: entry.key,
            window: entry.window.window(),
            firing,
            value,
            since: since.unwrap_or(Epoch::NONE),
        });
        entry.fresh = 0;
        if self.windows.after == AfterFiring::Discard {
            entry.held.clear();
        }
    }

    /// Notes that a fixed window has an event.
    fn note(&mut self, span: Span) {
        if let (Span::Time { start, .. }, Some(_)) = (span, self.empty_key) {
            self.seen.push(start);
            if !self.started {
                self.next_empty = self.seen.iter().min().copied();
            }
        }
    }

    fn fire_empty(&mut self) {
        let (Some(key), Some(mut start)) = (self.empty_key, self.next_empty) else {
            return;
        };
        let WindowKind::Time { size, .. } = self.windows.kind else {
            return;
        };
        let last = self.seen.iter().max().copied().unwrap_or(MIN);
        let size = i128::from(size);
        while start + size <= self.watermark && start <= last {
            if !self.seen.contains(&start) {
                self.out.push(Fired {
                    key,
                    window: Span::Time {
                        start,
                        end: start + size,
                    }
                    .window(),
                    firing: Firing::OnTime,
                    value: Vec::new(),
                    since: Epoch::NONE,
                });
            }
            self.started = true;
            start += size;
        }
        self.next_empty = Some(start);
    }
}

fn end_of(time: i128, gap: i64) -> i128 {
    (time + i128::from(gap)).min(MAX)
}

/// Whether two sessions overlap. One that reaches the end of time has no end.
fn overlap((a, b): (i128, i128), (c, d): (i128, i128)) -> bool {
    let open = |end: i128| if end == MAX { i128::MAX } else { end };
    c < open(b) && a < open(d)
}
