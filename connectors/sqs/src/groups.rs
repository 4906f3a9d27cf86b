//! Message groups: keeps the order of a FIFO queue when its messages are acknowledged.
//!
//! The queue delivers a group in order, and no more of a group while some of it is in flight. So the source must never delete a
//! message past an earlier one of its group that is unsettled or was not deleted. Messages may be settled in any order; a delete waits
//! until all earlier messages of the group are deleted. When a message is not deleted (it failed, was released, left, or its lease was
//! lost), the later ones of its group that were received are *invalidated*: they are returned to the queue, whatever their results,
//! and are delivered again after it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::leases::{AckAction, Token};

#[cfg(test)]
mod tests;

/// The unsettled messages of each group, in the order in which they were received.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: HashMap<Arc<str>, VecDeque<GroupMessage>>,
    /// Messages that succeeded and were returned all the same.
    repeats: u64,
}

#[derive(Debug)]
struct GroupMessage {
    token: Token,
    /// Succeeded, and waits for earlier messages of its group.
    is_done: bool,
}

/// What settling one message of a group means for the group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupEffects {
    /// Actions that are possible now, in order.
    pub(crate) actions: Vec<(Token, AckAction)>,
    /// Unsettled messages that no handler may start on.
    pub(crate) invalidated: Vec<Token>,
}

impl Groups {
    /// The shared name of a group, for [`admit`](Self::admit) and [`settle`](Self::settle).
    pub(crate) fn name(&self, group: &str) -> Arc<str> {
        self.groups
            .get_key_value(group)
            .map_or_else(|| Arc::from(group), |(name, _)| name.clone())
    }

    /// Total number of messages that succeeded and were returned all the same.
    pub(crate) fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Adds a received message to its group.
    pub(crate) fn admit(&mut self, group: Arc<str>, token: Token) {
        let message = GroupMessage {
            token,
            is_done: false,
        };
        self.groups.entry(group).or_default().push_back(message);
    }

    /// Settles a message. `None` means that its lease was lost.
    pub(crate) fn settle(
        &mut self,
        group: &Arc<str>,
        token: Token,
        action: Option<AckAction>,
    ) -> GroupEffects {
        let mut effects = GroupEffects::default();
        let found = self.groups.get_mut(group).and_then(|messages| {
            let index = messages.iter().position(|message| message.token == token)?;
            Some((messages, index))
        });
        let Some((messages, index)) = found else {
            // It was invalidated, and so is returned whatever its result.
            if action.is_some() {
                effects.actions.push((token, AckAction::VisibleAfter(0)));
            }
            return effects;
        };
        if action == Some(AckAction::Delete) {
            messages[index].is_done = true;
            // Deletes the whole prefix of successes, in order; later successes wait for the first that is missing.
            while let Some(first) = messages.pop_front_if(|first| first.is_done) {
                effects.actions.push((first.token, AckAction::Delete));
            }
        } else {
            // Invalidated messages leave the group, so that messages received after their return form a new prefix.
            let mut later = messages.drain(index..).skip(1);
            effects.actions.extend(action.map(|action| (token, action)));
            for message in later.by_ref() {
                if message.is_done {
                    self.repeats += 1;
                    let back = (message.token, AckAction::VisibleAfter(0));
                    effects.actions.push(back);
                } else {
                    effects.invalidated.push(message.token);
                }
            }
        }
        if messages.is_empty() {
            self.groups.remove(group);
        }
        effects
    }
}
