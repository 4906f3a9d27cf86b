//! [`NamedValues`]: a value for each of a few names, created when a name first occurs and then kept.
//!
//! An observer is called from every thread of a topology with names that are always the same few: pipelines, batchers,
//! indices of producers. `NamedValues` is a list that only grows, each link a [`OnceLock`]: finding a name takes no
//! lock and writes nothing, so processors on different cores do not slow each other down. The cost is a walk from the
//! front, so names without a small bound go into a map instead.

use std::{
    borrow::{Borrow, ToOwned},
    fmt,
    sync::OnceLock,
};

/// Values by name, for a small number of names.
pub(super) struct NamedValues<Q: ?Sized + ToOwned, V> {
    first: NamedValueLink<Q, V>,
}

type NamedValueLink<Q, V> = OnceLock<Box<NamedValue<Q, V>>>;

struct NamedValue<Q: ?Sized + ToOwned, V> {
    name: Q::Owned,
    value: V,
    next: NamedValueLink<Q, V>,
}

impl<Q: ?Sized + ToOwned + Eq, V> NamedValues<Q, V> {
    pub(super) const fn new() -> Self {
        Self {
            first: OnceLock::new(),
        }
    }

    /// Returns the value of `name`, created now if there is none. Two threads that request a new name at once get the
    /// same value.
    pub(super) fn get(&self, name: &Q, make: impl FnOnce() -> V) -> &V {
        let mut make = Some(make);
        let mut link = &self.first;
        loop {
            let entry = link.get_or_init(|| {
                let make = make
                    .take()
                    .expect("an entry made here has our name, and ends the walk");
                Box::new(NamedValue {
                    name: name.to_owned(),
                    value: make(),
                    next: OnceLock::new(),
                })
            });
            if entry.name.borrow() == name {
                return &entry.value;
            }
            link = &entry.next;
        }
    }
}

impl<Q: ?Sized + ToOwned + Eq, V> Default for NamedValues<Q, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Q: ?Sized + ToOwned + Eq, V> fmt::Debug for NamedValues<Q, V>
where
    Q::Owned: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = f.debug_list();
        let mut link = &self.first;
        while let Some(entry) = link.get() {
            names.entry(&entry.name);
            link = &entry.next;
        }
        names.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn a_value_is_made_once_for_each_name() {
        let known = NamedValues::<str, usize>::new();
        assert_eq!(*known.get("a", || 1), 1);
        assert_eq!(*known.get("b", || 2), 2);
        assert_eq!(*known.get("a", || 3), 1);
        assert_eq!(*known.get("b", || 4), 2);
        assert_eq!(format!("{known:?}"), r#"["a", "b"]"#);
    }

    #[test]
    fn threads_that_race_for_a_name_share_its_value() {
        let known = NamedValues::<usize, ()>::new();
        let made = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for name in 0..50 {
                        known.get(&name, || {
                            made.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 50);
    }
}
