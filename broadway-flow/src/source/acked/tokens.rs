//! [`Tokens`]: the acknowledgers of all producers that a source has opened, and how their messages are settled.

use std::sync::Arc;

use broadway_core::{Acknowledger, Settled};

use crate::Timestamp;

/// A token, and the number of its acknowledger.
pub(super) type Held<A> = (usize, <A as Acknowledger>::Token);

/// The acknowledgers of all producers so far: the outcome of a message goes to the acknowledger of the producer that delivered it.
pub(super) struct Tokens<A: Acknowledger> {
    acknowledgers: Vec<Arc<A>>,
}

impl<A: Acknowledger> Tokens<A> {
    pub(super) const fn new() -> Self {
        Self {
            acknowledgers: Vec::new(),
        }
    }

    /// Adds the acknowledger of a new producer. Its messages are the next ones.
    pub(super) fn opened(&mut self, acknowledger: Arc<A>) {
        self.acknowledgers.push(acknowledger);
    }

    /// Adds the number of the newest acknowledger to a token.
    pub(super) fn held(&self, token: A::Token) -> Held<A> {
        (self.acknowledgers.len() - 1, token)
    }

    /// Whether the source has lost this message.
    pub(super) fn is_stale(&self, (number, token): &Held<A>) -> bool {
        self.acknowledgers[*number].is_stale(token)
    }

    /// Changes whenever the source may have lost messages.
    pub(super) fn generation(&self) -> (usize, u64) {
        let newest = self.acknowledgers.last();
        let generation = newest.map_or(0, |acknowledger| acknowledger.generation());
        (self.acknowledgers.len(), generation)
    }

    /// Whether commits carry a progress.
    pub(super) fn keep_progress(&self) -> bool {
        let newest = self.acknowledgers.last();
        newest.is_some_and(|acknowledger| acknowledger.keeps_progress())
    }

    /// The progress that was committed for the input of a message.
    pub(super) fn progress(&self, (number, token): &Held<A>) -> Option<Timestamp> {
        let progress = self.acknowledgers[*number].progress(token);
        progress.map(Timestamp::from_millis)
    }

    /// Commits this progress together with the input of a message.
    pub(super) fn set_progress(&self, (number, token): &Held<A>, progress: Timestamp) {
        self.acknowledgers[*number].set_progress(token, progress.as_millis());
    }

    /// Settles messages as done, in their order.
    pub(super) async fn done(&self, held: &mut Vec<Held<A>>) {
        for (acknowledger, mut tokens) in self.by_acknowledger(held) {
            if let Err(error) = acknowledger.settle_done(&mut tokens).await {
                tracing::warn!(target: "broadway_flow", %error, "messages of a flow could not be settled; they may be delivered again");
            }
        }
    }

    /// Returns messages to their source.
    pub(super) async fn released(&self, held: &mut Vec<Held<A>>) {
        for (acknowledger, tokens) in self.by_acknowledger(held) {
            let mut settled = tokens.into_iter().map(Settled::released).collect();
            if let Err(error) = acknowledger.settle(&mut settled).await {
                tracing::warn!(target: "broadway_flow", %error, "messages of a flow could not be returned");
            }
        }
    }

    /// Messages in runs of one acknowledger. Nearly always one run.
    fn by_acknowledger(&self, held: &mut Vec<Held<A>>) -> Vec<(Arc<A>, Vec<A::Token>)> {
        let mut runs: Vec<(usize, Vec<A::Token>)> = Vec::new();
        for (number, token) in held.drain(..) {
            match runs.last_mut() {
                Some((last, tokens)) if *last == number => tokens.push(token),
                _ => runs.push((number, vec![token])),
            }
        }
        let runs = runs.into_iter();
        runs.map(|(number, tokens)| (Arc::clone(&self.acknowledgers[number]), tokens))
            .collect()
    }
}
