//! Message groups: what may be said to the queue about messages whose order counts.
//!
//! The queue hands out a group in order, and nothing more of it while any of it is out. What remains to be done here: never
//! delete a message past one of its group that is unfinished or has not been deleted. Messages may end in any order; a
//! success waits until all before it in its group are successes. When one is not deleted (failed, released, left, lost), those
//! after it that are here are *broken off*: they go back, whatever becomes of them, and come again after it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::leases::{Ending, Token};

#[cfg(test)]
mod tests;

/// The messages of each group that are here, in the order in which they were received.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: HashMap<Arc<str>, VecDeque<Entry>>,
    /// Messages that were done and went back all the same, behind one that was not.
    repeats: u64,
}

#[derive(Debug)]
struct Entry {
    token: Token,
    is_done: bool,
}

/// What follows for a group when one of its messages has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Consequences {
    /// These have ended now, in this order.
    pub(crate) ended: Vec<(Token, Ending)>,
    /// These are not to be begun.
    pub(crate) broken: Vec<Token>,
}

impl Groups {
    /// The shared name of a group, to be given back with each of its messages.
    pub(crate) fn name(&self, group: &str) -> Arc<str> {
        self.groups
            .get_key_value(group)
            .map_or_else(|| Arc::from(group), |(name, _)| name.clone())
    }

    /// How many messages were done and went back all the same, all in all.
    pub(crate) fn repeats(&self) -> u64 {
        self.repeats
    }

    /// A message of the group was received.
    pub(crate) fn admit(&mut self, group: Arc<str>, token: Token) {
        let entry = Entry {
            token,
            is_done: false,
        };
        self.groups.entry(group).or_default().push_back(entry);
    }

    /// A message has ended; `None`: it was lost.
    pub(crate) fn settle(
        &mut self,
        group: &Arc<str>,
        token: Token,
        ending: Option<Ending>,
    ) -> Consequences {
        let mut consequences = Consequences::default();
        let found = self.groups.get_mut(group).and_then(|entries| {
            let index = entries.iter().position(|entry| entry.token == token)?;
            Some((entries, index))
        });
        let Some((entries, index)) = found else {
            // Broken off before: back it goes.
            if ending.is_some() {
                consequences.ended.push((token, Ending::Visible(0)));
            }
            return consequences;
        };
        if ending == Some(Ending::Delete) {
            entries[index].is_done = true;
            while let Some(first) = entries.pop_front_if(|first| first.is_done) {
                consequences.ended.push((first.token, Ending::Delete));
            }
        } else {
            let mut rest = entries.drain(index..).skip(1);
            consequences
                .ended
                .extend(ending.map(|ending| (token, ending)));
            for entry in rest.by_ref() {
                if entry.is_done {
                    self.repeats += 1;
                    consequences.ended.push((entry.token, Ending::Visible(0)));
                } else {
                    consequences.broken.push(entry.token);
                }
            }
        }
        if entries.is_empty() {
            self.groups.remove(group);
        }
        consequences
    }
}
