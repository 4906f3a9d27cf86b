//! [`Tokens`]: the acknowledgers of all producers that a source has opened, and how their messages are settled.

use std::sync::Arc;

use broadway_core::{Acknowledger, Settled};

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
