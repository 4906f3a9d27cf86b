//! The typed tokens of an erased producer, by number.

use std::{any::Any, fmt};

use crate::caught::Discarding;

/// The token of a message of a [`BoxSource`](super::BoxSource): stands for a token of the source's own type.
pub struct BoxToken(Token);

enum Token {
    /// The place of the typed token in its table.
    Stored(usize),
    /// The typed token itself: its acknowledger left it unsettled, so that it can be named in the log.
    Left(Box<dyn Any + Send>),
}

impl fmt::Debug for BoxToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxToken").finish_non_exhaustive()
    }
}

impl BoxToken {
    /// A token that its acknowledger left unsettled. It leaves no place in the table to be freed: the pipeline drops it.
    pub(super) fn left<K: Send + 'static>(token: K) -> Self {
        Self(Token::Left(Box::new(token)))
    }
}

/// The typed tokens of the messages in flight of one opened producer.
///
/// What an aborted topology drops unsettled stays here until the acknowledger is dropped.
pub(super) struct Tokens<K> {
    places: Discarding<Option<K>>,
    free: Vec<usize>,
}

impl<K> Default for Tokens<K> {
    fn default() -> Self {
        Self {
            places: Discarding::default(),
            free: Vec::new(),
        }
    }
}

impl<K: Send + 'static> Tokens<K> {
    pub(super) fn insert(&mut self, token: K) -> BoxToken {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        debug_assert!(self.places[place].is_none(), "a free place holds no token");
        self.places[place] = Some(token);
        BoxToken(Token::Stored(place))
    }

    /// Takes the typed token out.
    pub(super) fn remove(&mut self, token: BoxToken) -> K {
        match token.0 {
            Token::Stored(place) => {
                self.free.push(place);
                let token = self.places[place].take();
                // A `BoxToken` is neither cloned nor made elsewhere.
                token.expect("a token is stored until it is settled")
            }
            Token::Left(token) => *token.downcast().expect("a token of this acknowledger"),
        }
    }

    pub(super) fn get<'a>(&'a self, token: &'a BoxToken) -> Option<&'a K> {
        match &token.0 {
            Token::Stored(place) => self.places.get(*place)?.as_ref(),
            Token::Left(token) => token.downcast_ref(),
        }
    }
}
