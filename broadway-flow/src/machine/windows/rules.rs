//! [`Rules`]: when a window fires, and whether its state stays. All kinds of windows share them.

use super::{cell::Cell, fired::Fired, saved::SavedCell};
use crate::{
    AfterFiring, Aggregate, Decision, Firing, LateFiring, Window, Windows, epoch::Epoch,
    window::EarlyFiring,
};

/// The aggregate and its triggers.
pub(super) struct Rules<T, A> {
    pub(super) aggregate: A,
    pub(super) early: EarlyFiring<T>,
    pub(super) late: LateFiring,
    pub(super) after: AfterFiring,
}

impl<T, A: Aggregate<T>> Rules<T, A> {
    pub(super) fn new(windows: &Windows<T>, aggregate: A) -> Self {
        Self {
            aggregate,
            early: windows.early.clone(),
            late: windows.late,
            after: windows.after,
        }
    }

    /// A window without events.
    pub(super) fn cell(&self) -> Cell<T, A::State> {
        Cell::new(self.aggregate.create())
    }

    /// Adds an event.
    pub(super) fn add(&self, cell: &mut Cell<T, A::State>, event: T, since: Epoch) {
        self.aggregate.add(&mut cell.state, event);
        cell.count(1, since);
    }

    /// Adds an event to a window that has not reached its end, and fires as its trigger decides.
    pub(super) fn add_open<K: Clone>(
        &self,
        key: &K,
        cell: &mut Cell<T, A::State>,
        window: impl Fn() -> Window,
        (event, since): (T, Epoch),
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        let decision = self.decide(cell, &event);
        if decision == Decision::FireBefore && self.has_result(cell) {
            self.fire(key, cell, window(), Firing::Early, emit);
        }
        self.add(cell, event, since);
        if decision == Decision::Fire {
            self.fire(key, cell, window(), Firing::Early, emit);
        }
    }

    /// Fires a window that has taken an event after its end. The trigger does not see such events.
    pub(super) fn fire_late<K: Clone>(
        &self,
        key: &K,
        cell: &mut Cell<T, A::State>,
        window: impl Fn() -> Window,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        cell.on_time = true;
        if self.late == LateFiring::EachEvent {
            self.fire(key, cell, window(), Firing::Late, emit);
        }
    }

    /// Fires a window at its end, unless it has. Its state stays for late events.
    pub(super) fn fire_on_time<K: Clone>(
        &self,
        key: &K,
        cell: &mut Cell<T, A::State>,
        window: Window,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        if cell.on_time {
            return;
        }
        cell.on_time = true;
        if self.has_result(cell) {
            self.fire(key, cell, window, Firing::OnTime, emit);
        }
    }

    /// Fires a window whose period of the trigger is over, if it had events.
    pub(super) fn fire_period<K: Clone>(
        &self,
        key: &K,
        cell: &mut Cell<T, A::State>,
        window: Window,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        if !cell.on_time && cell.fresh > 0 {
            self.fire(key, cell, window, Firing::Early, emit);
        }
    }

    /// Fires a window that is removed, if it has not fired its final result.
    pub(super) fn close<K>(
        &self,
        key: K,
        cell: Cell<T, A::State>,
        window: Window,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        let firing = if cell.on_time {
            Firing::Late
        } else {
            Firing::OnTime
        };
        let fires = match firing {
            Firing::OnTime => self.has_result(&cell),
            _ => cell.fresh > 0,
        };
        if fires {
            emit(Fired {
                key,
                window,
                firing,
                value: self.aggregate.finish(cell.state),
                since: cell.since,
            });
        }
    }

    /// Decides what happens with an event. The event is not yet in the cell.
    pub(super) fn decide(&self, cell: &mut Cell<T, A::State>, event: &T) -> Decision {
        match &self.early {
            EarlyFiring::Never | EarlyFiring::Periodic(_) => Decision::Continue,
            EarlyFiring::Every(n) => {
                if cell.events.saturating_add(1).is_multiple_of(*n) {
                    Decision::Fire
                } else {
                    Decision::Continue
                }
            }
            EarlyFiring::Custom(custom) => {
                let trigger = cell.trigger.get_or_insert_with(|| custom.start());
                trigger(event)
            }
        }
    }

    /// Whether the state has events: since the last firing, if each firing clears it.
    pub(super) const fn has_result(&self, cell: &Cell<T, A::State>) -> bool {
        match self.after {
            AfterFiring::Accumulate => cell.events > 0,
            AfterFiring::Discard => cell.fresh > 0,
        }
    }

    /// Fires a window that stays.
    pub(super) fn fire<K: Clone>(
        &self,
        key: &K,
        cell: &mut Cell<T, A::State>,
        window: Window,
        firing: Firing,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        let (value, since) = match self.after {
            AfterFiring::Accumulate => {
                cell.fresh = 0;
                (self.aggregate.result(&cell.state), cell.since)
            }
            AfterFiring::Discard => {
                let (state, since) = cell.clear(self.aggregate.create());
                (self.aggregate.finish(state), since)
            }
        };
        emit(Fired {
            key: key.clone(),
            window,
            firing,
            value,
            since,
        });
    }

    /// Merges a window into `cell`, which keeps its trigger.
    pub(super) fn absorb(&self, cell: &mut Cell<T, A::State>, other: Cell<T, A::State>) {
        self.aggregate.merge(&mut cell.state, other.state);
        cell.since = cell.since.min(other.since);
        cell.events = cell.events.saturating_add(other.events);
        cell.fresh = cell.fresh.saturating_add(other.fresh);
        cell.trigger = cell.trigger.take().or(other.trigger);
    }

    /// Adds a saved window to `cell`, which is new or has events of the same key.
    pub(super) fn restore(
        &self,
        cell: &mut Cell<T, A::State>,
        saved: SavedCell<A::State>,
    ) -> Result<(), String> {
        let fresh = cell.events == 0;
        if fresh {
            *cell = Cell::from(saved);
        } else if A::MERGES {
            cell.on_time &= saved.on_time;
            self.absorb(cell, Cell::from(saved));
        } else {
            return Err(
                "two saved states have the same key, and the aggregate does not merge".to_owned(),
            );
        }
        Ok(())
    }
}
