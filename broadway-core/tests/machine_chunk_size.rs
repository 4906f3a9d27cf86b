//! Chunk sizes for messages of any cost.
#![allow(clippy::unwrap_used)]

use broadway_core::machine::chunk_size::ChunkSize;
use proptest::prelude::*;
use std::num::NonZeroUsize;
use std::time::Duration;

const TARGET_NS: u64 = 1_000_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn the_limit_follows_the_rule(
        max in 1..2_000_usize,
        chunks in prop::collection::vec((0..2_500_usize, 0..5_000_000_u64, prop::option::weighted(0.2, 0..50_usize)), 0..40),
    ) {
        let mut size = ChunkSize::new(NonZeroUsize::new(max).unwrap(), Duration::from_nanos(TARGET_NS));
        for (n, elapsed_ns, suspended_after) in chunks {
            let before = size.limit();
            let n = n.min(before);
            if let Some(done) = suspended_after {
                size.suspended(done.min(n));
                prop_assert_eq!(size.limit(), done.min(n).max(1));
                continue;
            }
            size.finished(n, Duration::from_nanos(elapsed_ns));
            let after = size.limit();
            prop_assert!((1..=max).contains(&after));
            if n == 0 {
                prop_assert_eq!(after, before);
            } else if elapsed_ns > TARGET_NS {
                prop_assert!(after < n.max(2));
            } else if n < before {
                prop_assert!(after <= before);
            } else {
                prop_assert!((before..=before * 2).contains(&after));
            }
            // The next chunk at this pace is within the target, if a single message is.
            let next_ns = u128::from(elapsed_ns) * after as u128;
            prop_assert!(n == 0 || after == 1 || next_ns <= u128::from(TARGET_NS) * n as u128);
        }
    }

    #[test]
    fn fast_messages_reach_the_longest_chunk_in_a_few_steps(max in 1..100_000_usize) {
        let mut size = ChunkSize::new(NonZeroUsize::new(max).unwrap(), Duration::from_nanos(TARGET_NS));
        for _ in 0..=max.ilog2() {
            size.finished(size.limit(), Duration::from_nanos(1));
        }
        prop_assert_eq!(size.limit(), max);
    }
}
