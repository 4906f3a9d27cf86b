//! Restarts against a list of all that ever happened.

use broadway_core::machine::restart::{Intensity, Restart, RestartDecision, RestartPolicy};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn decisions_follow_from_the_history(
        first in 0..1_000_u64,
        max in 0..10_000_u64,
        healthy_after in (0..10_u64).prop_map(|halves| halves * 500),
        intensity in prop::option::of((0..6_u16, (0..40_u64).prop_map(|halves| halves * 500))),
        // Wait, whether it works now (else it fails), jitter. In half seconds, so that limits are hit exactly.
        history in prop::collection::vec(((0..8_u64).prop_map(|halves| halves * 500), any::<bool>(), any::<u64>()), 0..40),
    ) {
        let mut policy = RestartPolicy::default().first(ms(first)).max(ms(max)).healthy_after(ms(healthy_after));
        policy.intensity = intensity.map(|(restarts_max, window)| Intensity { restarts_max, window: ms(window) });
        let mut restart = Restart::new(policy);
        let start = Instant::now();
        let mut now = 0;
        let mut failures: Vec<u64> = Vec::new();
        let mut works_since = None;
        let mut step = first.min(max);
        let mut gave_up = false;
        for (wait, works, jitter) in history {
            now += wait;
            if works {
                restart.healthy(start + ms(now));
                works_since = works_since.or(Some(now));
                continue;
            }
            let decision = restart.failed(start + ms(now), jitter);
            if let Some((restarts_max, window)) = intensity {
                let recent = failures.iter().filter(|&&at| now - at <= window).count();
                gave_up |= recent >= usize::from(restarts_max);
            }
            if gave_up {
                prop_assert_eq!(decision, RestartDecision::GiveUp);
                continue;
            }
            failures.push(now);
            if works_since.take().is_some_and(|since| now - since >= healthy_after) {
                step = first.min(max);
            }
            let RestartDecision::After(delay) = decision else {
                return Err(TestCaseError::fail("gave up too early"));
            };
            // After 32 doublings of nothing the machine takes the longest delay.
            if first > 0 {
                prop_assert!(delay >= ms(step) / 2 && delay <= ms(step), "{delay:?} of {step} ms");
            }
            step = (step * 2).min(max);
        }
    }
}
