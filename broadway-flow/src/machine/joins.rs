//! [`JoinState`]: joins two sides that share a key and a window, and holds their items until the window closes.
//!
//! Items are held once, in slices (see [`Grid`]), and pairs are found when the second item arrives. Whether an item has a partner in a
//! window depends only on its key and the window, so that outer joins keep no marks: they look for the other side when a window closes.

use std::{collections::BTreeMap, hash::Hash};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::grid::{Grid, Place, Starts};
use crate::{At, Timestamp, Window, epoch::Epoch, window::WindowKind};

/// The items of both sides that may still be joined.
#[derive(Debug, Clone)]
pub(crate) struct JoinState<K, L, R> {
    grid: Grid,
    mode: JoinMode,
    items_max: usize,
    watermark: Timestamp,
    slices: BTreeMap<i64, Slice<K, L, R>>,
    len: usize,
}

/// Which items without a partner are emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinMode {
    /// None.
    Inner,
    /// Those on the left.
    Left,
    /// Those on the right.
    Right,
    /// All.
    Full,
}

/// A pair, or an item without a partner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Joined<L, R> {
    /// The window of both items.
    pub(crate) window: Window,
    /// The last millisecond of the window; the later time of both items in the global window.
    pub(crate) time: Timestamp,
    /// The item on the left; `None` if the one on the right has no partner.
    pub(crate) left: Option<L>,
    /// The item on the right; `None` if the one on the left has no partner.
    pub(crate) right: Option<R>,
    /// The oldest epoch of both.
    pub(crate) since: Epoch,
}

/// An item that was not joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused<T> {
    /// All its windows are closed.
    Late(T),
    /// The state holds as many items as it may.
    TooMany(T),
}

/// The items with the same newest window.
#[derive(Debug, Clone)]
struct Slice<K, L, R> {
    keys: HashMap<K, Sides<L, R>, RandomState>,
    len: usize,
    since: Epoch,
}

#[derive(Debug, Clone)]
struct Sides<L, R> {
    left: Vec<Held<L>>,
    right: Vec<Held<R>>,
}

#[derive(Debug, Clone)]
struct Held<T> {
    time: Timestamp,
    since: Epoch,
    item: T,
}

impl<K: Hash + Eq, L: Clone, R: Clone> JoinState<K, L, R> {
    /// Creates a state that holds at most `items_max` items, both sides together; `None` for windows that depend on the events of a key or
    /// on processing time.
    pub(crate) fn new(
        kind: WindowKind,
        lateness: i64,
        mode: JoinMode,
        items_max: usize,
    ) -> Option<Self> {
        Some(Self {
            grid: Grid::new(kind, lateness)?,
            mode,
            items_max,
            watermark: Timestamp::MIN,
            slices: BTreeMap::new(),
            len: 0,
        })
    }

    /// Joins an item with all items on the right that share its key and an open window, once for each such window, and keeps it. An item
    /// between two windows is dropped.
    pub(crate) fn left(
        &mut self,
        key: K,
        item: L,
        at: At,
        emit: &mut impl FnMut(Joined<L, R>),
    ) -> Result<(), Refused<L>> {
        let time = self.grid.time(at.time);
        let open = match self.grid.place(time, self.watermark) {
            Place::Outside => return Ok(()),
            Place::Late => return Err(Refused::Late(item)),
            Place::Open(_) if self.len >= self.items_max => return Err(Refused::TooMany(item)),
            Place::Open(open) => open,
        };
        self.partners(
            &key,
            open,
            |sides| &sides.right,
            |window, other| {
                emit(Joined {
                    window,
                    time: window.time().unwrap_or(at.time.max(other.time)),
                    left: Some(item.clone()),
                    right: Some(other.item.clone()),
                    since: at.since.min(other.since),
                });
            },
        );
        let held = Held {
            time: at.time,
            since: at.since,
            item,
        };
        self.hold(key, open.last, at.since, |sides| sides.left.push(held));
        Ok(())
    }

    /// Joins an item with all items on the left, like [`left`](Self::left).
    pub(crate) fn right(
        &mut self,
        key: K,
        item: R,
        at: At,
        emit: &mut impl FnMut(Joined<L, R>),
    ) -> Result<(), Refused<R>> {
        let time = self.grid.time(at.time);
        let open = match self.grid.place(time, self.watermark) {
            Place::Outside => return Ok(()),
            Place::Late => return Err(Refused::Late(item)),
            Place::Open(_) if self.len >= self.items_max => return Err(Refused::TooMany(item)),
            Place::Open(open) => open,
        };
        self.partners(
            &key,
            open,
            |sides| &sides.left,
            |window, other| {
                emit(Joined {
                    window,
                    time: window.time().unwrap_or(at.time.max(other.time)),
                    left: Some(other.item.clone()),
                    right: Some(item.clone()),
                    since: at.since.min(other.since),
                });
            },
        );
        let held = Held {
            time: at.time,
            since: at.since,
            item,
        };
        self.hold(key, open.last, at.since, |sides| sides.right.push(held));
        Ok(())
    }

    /// Closes the windows that the watermark has passed, in order of their end: emits items without a partner, and drops items whose last
    /// window this was.
    pub(crate) fn watermark(&mut self, to: Timestamp, emit: &mut impl FnMut(Joined<L, R>)) {
        if to > self.watermark {
            let grid = self.grid;
            self.close(|start| grid.is_closed(start, to), emit);
            self.watermark = to;
        }
    }

    /// Closes all windows, the global one included: the inputs have ended.
    pub(crate) fn finish(&mut self, emit: &mut impl FnMut(Joined<L, R>)) {
        self.close(|_| true, emit);
        self.watermark = Timestamp::MAX;
    }

    /// Returns the oldest epoch of the items held; [`Epoch::NONE`] without items.
    pub(crate) fn since(&self) -> Epoch {
        let slices = self.slices.values().map(|slice| slice.since);
        slices.min().unwrap_or(Epoch::NONE)
    }

    /// Returns the number of items held. An item in several windows counts once.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the last watermark.
    pub(crate) const fn last_watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Calls `found` for each item of the other side and each open window that both share.
    fn partners<T>(
        &self,
        key: &K,
        open: Starts,
        side: impl Fn(&Sides<L, R>) -> &Vec<Held<T>>,
        mut found: impl FnMut(Window, &Held<T>),
    ) {
        // Items of an older slice are in no window of `open`, nor are items of a slice at the end of its last window or beyond.
        for slice in self.slices.range(open.first..self.grid.end(open.last)) {
            for other in slice.1.keys.get(key).map(&side).into_iter().flatten() {
                let windows = self.grid.windows(self.grid.time(other.time));
                for start in windows.into_iter().flat_map(|windows| open.common(windows)) {
                    found(self.grid.window(start), other);
                }
            }
        }
    }

    fn hold(&mut self, key: K, slice: i64, since: Epoch, push: impl FnOnce(&mut Sides<L, R>)) {
        let slice = self.slices.entry(slice).or_insert_with(|| Slice {
            keys: HashMap::default(),
            len: 0,
            since: Epoch::NONE,
        });
        push(slice.keys.entry(key).or_insert_with(|| Sides {
            left: Vec::new(),
            right: Vec::new(),
        }));
        slice.len += 1;
        slice.since = slice.since.min(since);
        self.len += 1;
    }

    fn close(&mut self, is_over: impl Fn(i64) -> bool, emit: &mut impl FnMut(Joined<L, R>)) {
        let mut next = self.grid.first_open(self.watermark);
        while let Some((&oldest, _)) = self.slices.first_key_value() {
            // Windows in order. Inner joins emit nothing here, so that only the last window of each slice matters.
            let start = match self.mode {
                JoinMode::Inner => oldest,
                _ => next.max(self.grid.oldest_of_slice(oldest)),
            };
            if !is_over(start) {
                break;
            }
            self.emit_unmatched(start, emit);
            if start == oldest {
                let dropped = self.slices.pop_first();
                self.len -= dropped.map_or(0, |(_, slice)| slice.len);
            }
            next = self.grid.next(start);
        }
    }

    fn emit_unmatched(&self, start: i64, emit: &mut impl FnMut(Joined<L, R>)) {
        let (outer_left, outer_right) = match self.mode {
            JoinMode::Inner => return,
            JoinMode::Left => (true, false),
            JoinMode::Right => (false, true),
            JoinMode::Full => (true, true),
        };
        let window = self.grid.window(start);
        let keys = || {
            self.slices
                .range(start..self.grid.end(start))
                .flat_map(|(_, slice)| &slice.keys)
        };
        // The items of a key in this window may be in several slices.
        let mut present: HashMap<&K, (bool, bool), RandomState> = HashMap::default();
        for (key, sides) in keys() {
            let (left, right) = present.entry(key).or_default();
            *left |= self.within(start, &sides.left).next().is_some();
            *right |= self.within(start, &sides.right).next().is_some();
        }
        for (key, sides) in keys() {
            let (has_left, has_right) = present[key];
            if outer_left && !has_right {
                for held in self.within(start, &sides.left) {
                    let (left, since) = (Some(held.item.clone()), held.since);
                    emit(Joined {
                        window,
                        time: window.time().unwrap_or(held.time),
                        left,
                        right: None,
                        since,
                    });
                }
            }
            if outer_right && !has_left {
                for held in self.within(start, &sides.right) {
                    let (right, since) = (Some(held.item.clone()), held.since);
                    emit(Joined {
                        window,
                        time: window.time().unwrap_or(held.time),
                        left: None,
                        right,
                        since,
                    });
                }
            }
        }
    }

    fn within<'a, T>(&self, start: i64, held: &'a [Held<T>]) -> impl Iterator<Item = &'a Held<T>> {
        let grid = self.grid;
        held.iter()
            .filter(move |held| grid.contains(start, grid.time(held.time)))
    }
}

#[cfg(test)]
mod tests;
