//! [`Naive`]: the oracle of joins.

use super::{JoinMode, Pair, Refused, WindowKind, joined, window};
use crate::{At, Timestamp, Window};

/// All items that were ever accepted, joined by nested loops. Windows are found by a scan of all starts.
pub(super) struct Naive {
    kind: WindowKind,
    lateness: i64,
    mode: JoinMode,
    items_max: usize,
    watermark: i64,
    items: Vec<Item>,
}

#[derive(Debug, Clone)]
pub(super) struct Item {
    is_left: bool,
    key: u8,
    id: u32,
    time: Timestamp,
    pub(super) since: u64,
    /// The starts of the windows that were open when the item arrived.
    windows: Vec<i64>,
}

impl Naive {
    pub(super) const fn new(
        kind: WindowKind,
        lateness: i64,
        mode: JoinMode,
        items_max: usize,
    ) -> Self {
        Self {
            kind,
            lateness,
            mode,
            items_max,
            watermark: -1000,
            items: Vec::new(),
        }
    }

    fn starts(&self) -> Vec<i64> {
        match self.kind {
            WindowKind::Time { slide, offset, .. } => (-80..80)
                .filter(|start| (start - offset).rem_euclid(slide) == 0)
                .collect(),
            _ => vec![0],
        }
    }

    fn contains(&self, start: i64, time: i64) -> bool {
        match self.kind {
            WindowKind::Time { size, .. } => start <= time && time < start + size,
            _ => true,
        }
    }

    fn is_closed(&self, start: i64) -> bool {
        match self.kind {
            WindowKind::Time { size, .. } => start + size + self.lateness <= self.watermark,
            _ => false,
        }
    }

    fn window(&self, start: i64) -> Window {
        match self.kind {
            WindowKind::Time { size, .. } => window(start, start + size),
            _ => Window::Global,
        }
    }

    pub(super) fn held(&self) -> impl Iterator<Item = &Item> {
        let is_open = |item: &&Item| item.windows.iter().any(|start| !self.is_closed(*start));
        self.items.iter().filter(is_open)
    }

    /// The pairs of a new item, or why it is refused.
    pub(super) fn add(
        &mut self,
        is_left: bool,
        key: u8,
        id: u32,
        at: At,
    ) -> Result<Vec<Pair>, Refused<u32>> {
        let mut windows = self.starts();
        windows.retain(|start| self.contains(*start, at.time.as_millis()));
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        windows.retain(|start| !self.is_closed(*start));
        if windows.is_empty() {
            return Err(Refused::Late(id));
        }
        if self.held().count() >= self.items_max {
            return Err(Refused::TooMany(id));
        }
        let mut pairs = Vec::new();
        for other in &self.items {
            if other.is_left == is_left || other.key != key {
                continue;
            }
            for start in windows.iter().filter(|start| other.windows.contains(start)) {
                let (left, right) = if is_left {
                    (id, other.id)
                } else {
                    (other.id, id)
                };
                let since = at.since.0.min(other.since);
                let pair = joined(self.window(*start), Some(left), Some(right), since);
                pairs.push(timed(pair, at.time.max(other.time)));
            }
        }
        self.items.push(Item {
            is_left,
            key,
            id,
            time: at.time,
            since: at.since.0,
            windows,
        });
        Ok(pairs)
    }

    /// The items without a partner in the windows that close at this watermark; in all open ones without a watermark.
    pub(super) fn close(&mut self, to: Option<i64>) -> Vec<Pair> {
        let mut closing = self.starts();
        closing.retain(|start| !self.is_closed(*start));
        if let Some(to) = to {
            self.watermark = self.watermark.max(to);
            closing.retain(|start| self.is_closed(*start));
        }
        let mut out = Vec::new();
        for start in closing {
            for item in self
                .items
                .iter()
                .filter(|item| item.windows.contains(&start))
            {
                let has_partner = self.items.iter().any(|other| {
                    other.is_left != item.is_left
                        && other.key == item.key
                        && other.windows.contains(&start)
                });
                let is_outer = match self.mode {
                    JoinMode::Inner => false,
                    JoinMode::Left => item.is_left,
                    JoinMode::Right => !item.is_left,
                    JoinMode::Full => true,
                };
                if is_outer && !has_partner {
                    let (left, right) = if item.is_left {
                        (Some(item.id), None)
                    } else {
                        (None, Some(item.id))
                    };
                    let single = joined(self.window(start), left, right, item.since);
                    out.push(timed(single, item.time));
                }
            }
        }
        if to.is_none() {
            self.items.clear();
        }
        out
    }
}

/// Results of the global window have the later time of both items.
fn timed(pair: Pair, newest: Timestamp) -> Pair {
    match pair.window {
        Window::Global => Pair {
            time: newest,
            ..pair
        },
        _ => pair,
    }
}
