//! [`Random`]: pseudo-random numbers that are the same on every machine and with every version of every dependency.

/// The generator xoshiro256++, seeded by splitmix64. Fast, and not for secrets.
#[derive(Clone)]
pub(crate) struct Random {
    state: [u64; 4],
}

impl Random {
    /// Begins the sequence of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut counter = seed;
        Self {
            state: std::array::from_fn(|_| split_mix(&mut counter)),
        }
    }

    /// The next 64 bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number from 0 to below the limit, which is above zero. Its bias is below one in 2^64 over the limit.
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        debug_assert!(limit > 0);
        ((self.bits() as u128 * limit as u128) >> 64) as u64
    }

    /// A number from 0 to below 1.
    pub(crate) const fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that happens once in `n` times.
    pub(crate) const fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of the items, which are at least one.
    pub(crate) const fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

const fn split_mix(counter: &mut u64) -> u64 {
    *counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*counter ^ (*counter >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_three(seed: u64) -> [u64; 3] {
        let mut random = Random::new(seed);
        std::array::from_fn(|_| random.bits())
    }

    #[test]
    fn the_sequence_depends_on_the_seed_alone() {
        assert_eq!(first_three(7), first_three(7));
        assert_ne!(first_three(7), first_three(8));
    }

    #[test]
    fn split_mix_returns_its_published_first_value() {
        assert_eq!(split_mix(&mut 0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn the_state_follows_the_published_recurrence() {
        let mut random = Random {
            state: [1, 2, 3, 4],
        };
        let values: Vec<u64> = (0..4).map(|_| random.bits()).collect();
        assert_eq!(
            values,
            [
                41_943_041,
                58_720_359,
                3_588_806_011_781_223,
                3_591_011_842_654_386
            ]
        );
    }

    #[test]
    fn every_number_below_the_limit_is_about_as_frequent() {
        let mut random = Random::new(1);
        let mut seen = [0_u32; 10];
        for _ in 0..100_000 {
            seen[random.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (9_500..10_500).contains(n)), "{seen:?}");
    }

    #[test]
    fn fractions_fill_the_range_from_0_to_1() {
        let mut random = Random::new(2);
        let all: Vec<f64> = (0..100_000).map(|_| random.fraction()).collect();
        assert!(all.iter().all(|fraction| (0.0..1.0).contains(fraction)));
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        assert!((0.49..0.51).contains(&mean), "{mean}");
    }
}
