#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn limit(messages: usize, interval: Duration, burst: Option<usize>) -> QuotaLimit {
    let allowance = Allowance::new(messages, interval).unwrap();
    QuotaLimit { allowance, burst }
}

fn key(n: u64) -> NonZeroU64 {
    NonZeroU64::new(n + 1).unwrap()
}

fn passes(decision: QuotaDecision) -> bool {
    decision == QuotaDecision::Pass
}

#[test]
fn idle_keys_are_forgotten() {
    let start = Instant::now();
    let mut quota = Quota::new(limit(10, 100 * MS, None), 1_000_000, start);
    for n in 0..100_000 {
        // 1,000 keys each millisecond.
        let now = start + MS * u32::try_from(n / 1_000).unwrap();
        assert!(passes(quota.take(key(n), now)));
    }
    assert_eq!(quota.keys(), 100_000);
    for n in 0..300 {
        let now = start + MS * (100 + n);
        let _ = quota.take(key(0), now);
    }
    assert_eq!(quota.keys(), 1);
}

#[test]
fn keys_beyond_the_maximum_share_one_rate() {
    let now = Instant::now();
    let mut quota = Quota::new(limit(2, 100 * MS, None), 3, now);
    for n in 0..3 {
        assert!(passes(quota.take(key(n), now)));
    }
    // Two messages of all further keys together.
    assert!(passes(quota.take(key(3), now)));
    assert!(passes(quota.take(key(4), now)));
    let decision = quota.take(key(5), now);
    let QuotaDecision::NotBefore { at, is_shared } = decision else {
        panic!("{decision:?}");
    };
    assert_eq!((at, is_shared), (now + 100 * MS, true));
    // The known keys keep their own.
    assert!(passes(quota.take(key(0), now)));
    assert_eq!(quota.keys(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Forgetting a bucket that is full changes nothing: the same decisions as with a bucket that is kept for each key forever.
    #[test]
    fn buckets_decide_as_if_no_key_was_forgotten(
        messages in 1..4_usize,
        interval in 1..40_u32,
        burst in 1..4_usize,
        steps in prop::collection::vec((prop_oneof![4 => 0..10_u32, 1 => 0..300_u32], 0..6_u64), 0..200),
    ) {
        let limit = limit(messages, interval * MS, Some(burst));
        let mut now = Instant::now();
        let mut quota = Quota::new(limit, 1_000, now);
        let mut kept: HashMap<u64, Rate> = HashMap::new();
        for (wait, n) in steps {
            now += wait * MS;
            let rate = kept.entry(n).or_insert_with(|| limit.rate(now));
            let expected = match rate.take(now, 1) {
                1 => QuotaDecision::Pass,
                _ => QuotaDecision::NotBefore { at: rate.next(now), is_shared: false },
            };
            prop_assert_eq!(quota.take(key(n), now), expected);
        }
    }

    /// A window may begin anew once it is over, so what holds is the rate itself.
    #[test]
    fn windows_let_no_more_through_than_their_rate(
        messages in 1..4_usize,
        interval in 1..40_u32,
        keys_max in 6..9_usize,
        steps in prop::collection::vec((prop_oneof![4 => 0..10_u32, 1 => 0..100_u32], 0..6_u64), 0..200),
    ) {
        let limit = limit(messages, interval * MS, None);
        let start = Instant::now();
        let mut quota = Quota::new(limit, keys_max, start);
        let mut passed: HashMap<u64, Vec<u32>> = HashMap::new();
        let mut now = 0;
        for (wait, n) in steps {
            now += wait;
            match quota.take(key(n), start + now * MS) {
                QuotaDecision::Pass => passed.entry(n).or_default().push(now),
                QuotaDecision::NotBefore { at, .. } => {
                    prop_assert!(at > start + now * MS);
                    prop_assert!(at <= start + (now + interval) * MS);
                }
            }
            prop_assert!(quota.keys() <= keys_max);
        }
        for times in passed.values() {
            for window in times.windows(2 * messages + 1) {
                prop_assert!(window[2 * messages] - window[0] >= interval, "{times:?}");
            }
        }
    }
}
