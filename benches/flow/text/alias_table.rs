//! [`AliasTable`]: weighted choice in constant time.

use crate::random::Random;

/// Chooses numbers by their weights, with one random number and one look-up each (Walker's method, built as Vose does).
pub(crate) struct AliasTable {
    columns: Vec<Column>,
}

/// A column of the table: it belongs to its own number up to the threshold, and to the alias above it.
#[derive(Clone, Copy)]
struct Column {
    threshold: u32,
    alias: u32,
}

impl AliasTable {
    /// A table for the numbers from 0, one for each weight. Weights are positive, and at least one.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let n = u32::try_from(weights.len()).expect("invariant: fewer than 2^32 weights");
        let mean = weights.iter().sum::<f64>() / f64::from(n);
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..n).partition(|&number| shares[number as usize] < 1.0);
        let own = |alias| Column {
            threshold: u32::MAX,
            alias,
        };
        let mut columns: Vec<Column> = (0..n).map(own).collect();
        // Whatever remains in one of the two lists has a share of 1, but for rounding, and keeps its whole column.
        while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
            let share = shares[poor as usize];
            columns[poor as usize] = Column {
                threshold: (share * f64::from(u32::MAX)) as u32,
                alias: rich,
            };
            shares[rich as usize] -= 1.0 - share;
            if shares[rich as usize] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Self { columns }
    }

    /// Chooses a number.
    pub(crate) fn choose(&self, random: &mut Random) -> usize {
        let bits = random.bits();
        let number = (((bits >> 32) * self.columns.len() as u64) >> 32) as usize;
        let column = self.columns[number];
        if bits as u32 <= column.threshold {
            number
        } else {
            column.alias as usize
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_chosen_in_proportion_to_their_weights() {
        let weights = [1.0, 5.0, 0.5, 3.0, 0.5];
        let table = AliasTable::new(&weights);
        let mut random = Random::new(3);
        let mut seen = [0_u32; 5];
        for _ in 0..1_000_000 {
            seen[table.choose(&mut random)] += 1;
        }
        for (weight, n) in weights.iter().zip(seen) {
            let expected = weight * 100_000.0;
            let error = (f64::from(n) - expected).abs() / expected;
            assert!(error < 0.02, "{seen:?}");
        }
    }

    #[test]
    fn a_single_number_is_always_chosen() {
        let table = AliasTable::new(&[0.1]);
        let mut random = Random::new(4);
        assert!((0..1_000).all(|_| table.choose(&mut random) == 0));
    }
}
