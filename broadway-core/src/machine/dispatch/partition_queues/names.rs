//! [`QueueNames`]: the names of queues, and the number of each.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use foldhash::fast::FixedState;

/// The number of names listed in an error.
const LISTED_MAX: usize = 8;

/// The names of queues. Each has a number, counted from 0.
pub(in crate::machine::dispatch) enum QueueNames<K> {
    /// The names are the numbers, without a table.
    Numbers {
        count: usize,
        /// The identity: `K` is `usize` then.
        number: fn(&K) -> usize,
    },
    Named {
        names: Vec<K>,
        numbers: HashMap<K, usize, FixedState>,
    },
}

impl QueueNames<usize> {
    pub(in crate::machine::dispatch) fn numbers(count: usize) -> Self {
        Self::Numbers {
            count,
            number: |&partition| partition,
        }
    }
}

impl<K: Eq + Hash + Clone> QueueNames<K> {
    /// A repeated name is one queue.
    pub(in crate::machine::dispatch) fn named(all: impl IntoIterator<Item = K>) -> Self {
        let mut named = Self::Named {
            names: Vec::new(),
            numbers: HashMap::default(),
        };
        for name in all {
            named.enter(name);
        }
        named
    }

    /// Returns the number of this name, which is the next one if the name is new. Numbers do not change.
    pub(super) fn enter(&mut self, name: K) -> usize {
        match self {
            Self::Numbers { number, .. } => number(&name),
            Self::Named { names, numbers } => *numbers.entry(name).or_insert_with_key(|name| {
                names.push(name.clone());
                names.len() - 1
            }),
        }
    }
}

impl<K> QueueNames<K> {
    pub(in crate::machine::dispatch) fn count(&self) -> usize {
        match self {
            Self::Numbers { count, .. } => *count,
            Self::Named { names, .. } => names.len(),
        }
    }
}

impl<K: Eq + Hash> QueueNames<K> {
    pub(in crate::machine::dispatch) fn number(&self, name: &K) -> Option<usize> {
        match self {
            Self::Numbers { count, number } => Some(number(name)).filter(|number| number < count),
            Self::Named { numbers, .. } => numbers.get(name).copied(),
        }
    }
}

impl<K: Debug> QueueNames<K> {
    /// Lists the names, for an error message.
    pub(in crate::machine::dispatch) fn list(&self) -> String {
        match self {
            Self::Numbers { count: 0, .. } => "there are none".into(),
            Self::Numbers { count: 1, .. } => "there is only 0".into(),
            Self::Numbers { count, .. } => format!("there are 0 to {}", count - 1),
            Self::Named { names, .. } if names.is_empty() => "there are none".into(),
            Self::Named { names, .. } if names.len() > LISTED_MAX => {
                let first = &names[..LISTED_MAX];
                format!("there are {first:?} and {} more", names.len() - LISTED_MAX)
            }
            Self::Named { names, .. } => format!("there are {names:?}"),
        }
    }
}
