//! [`InletDemands`]: how much each inlet has demanded and not received, and the sum.

use super::InletId;

/// The demand of every inlet, for dispatchers that let any inlet take any event.
///
/// Everything takes constant time. Memory follows the highest inlet number that ever demanded: 8 bytes each. Together
/// the inlets demand at most `usize::MAX`; more is not counted.
///
/// ```
/// use broadway_core::machine::dispatch::{InletDemands, InletId};
///
/// let mut demands = InletDemands::default();
/// demands.add(InletId(0), 10);
/// demands.add(InletId(1), 5);
/// assert_eq!(demands.reduce(InletId(1), 7), 5, "it had demanded no more");
/// assert_eq!(demands.total(), 10);
/// assert_eq!(demands.remove(InletId(0)), 10);
/// ```
#[derive(Clone, Debug, Default)]
pub struct InletDemands {
    /// By inlet number.
    of: Vec<usize>,
    total: usize,
}

impl InletDemands {
    /// Adds `n` to the inlet's demand.
    pub fn add(&mut self, inlet: InletId, n: usize) {
        let index = inlet.0 as usize;
        if index >= self.of.len() {
            self.of.resize(index + 1, 0);
        }
        // The sum must not overflow, and each part must fit into it: `reduce` subtracts both alike.
        let counted = n.min(usize::MAX - self.total);
        self.of[index] += counted;
        self.total += counted;
    }

    /// Records that the inlet received `n` events. Returns by how much its demand fell, which is less if it had not
    /// demanded that many.
    pub fn reduce(&mut self, inlet: InletId, n: usize) -> usize {
        // Links without demand, as in pipelines, pay for this comparison only.
        if self.total == 0 {
            return 0;
        }
        let Some(of) = self.of.get_mut(inlet.0 as usize) else {
            return 0;
        };
        let lowered = n.min(*of);
        *of -= lowered;
        self.total -= lowered;
        lowered
    }

    /// Removes the inlet's demand and returns it.
    pub fn remove(&mut self, inlet: InletId) -> usize {
        self.reduce(inlet, usize::MAX)
    }

    /// Returns how much all inlets have demanded and not received.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }
}
