//! Reductions of a whole input.

use std::collections::BTreeMap;

use broadway_flow::Flow;

#[tokio::test]
async fn each_worker_with_events_has_a_state_and_they_add_up() {
    let flow = Flow::from_iters((0..4).map(|n| n * 1_000..n * 1_000 + 1_000)).workers(8);
    let sums = flow
        .reduce(|| 0_u64, |sum, n: u64| *sum += n)
        .collect()
        .await
        .unwrap();
    assert!((1..=8).contains(&sums.len()));
    assert_eq!(sums.iter().sum::<u64>(), (0..4_000).sum::<u64>());
}

#[tokio::test]
async fn workers_and_keys_without_events_have_no_result() {
    let none = Flow::from_iter(0..0_u64).workers(3);
    assert!(
        none.reduce(|| 7, |sum, n| *sum += n)
            .collect()
            .await
            .unwrap()
            .is_empty()
    );
    let one = Flow::from_iter([5_u64]).workers(1).shuffle().workers(4);
    assert_eq!(
        one.reduce(|| 7, |sum, n| *sum += n)
            .collect()
            .await
            .unwrap(),
        [12]
    );
    let keyed = Flow::from_iter([5_u64]).partition(|n| n % 10).workers(4);
    assert_eq!(
        keyed
            .reduce(|| 7, |sum, n| *sum += n)
            .collect()
            .await
            .unwrap(),
        [(5, 12)]
    );
}

#[tokio::test]
async fn aggregates_that_merge_before_the_partition_agree_with_those_that_do_not() {
    let letters = || {
        let letters = Flow::from_iters([0..20_000_u32, 7..30_000]).workers(3);
        letters.partition(|n| n % 26).workers(3)
    };
    let one = letters().reduce(|| 0, |n, _| *n += 1);
    let two = letters().reduce_merging(|| 0, |n, _| *n += 1, |n, other| *n += other);
    let three = letters().count();
    let mut results = Vec::new();
    for flow in [one, two, three] {
        let counts: BTreeMap<_, u64> = flow.collect().await.unwrap().into_iter().collect();
        assert_eq!(counts.values().sum::<u64>(), 49_993);
        results.push(counts);
    }
    assert!(
        results
            .iter()
            .all(|counts| counts.len() == 26 && *counts == results[0])
    );
}

#[tokio::test]
async fn numbers_of_a_key_have_a_sum_a_mean_and_extremes() {
    let numbers = || {
        Flow::from_iters([0..500_i32, 500..1_000])
            .workers(2)
            .partition(|n| n % 2)
    };
    let mut sums = numbers().sum(|n| i64::from(*n)).collect().await.unwrap();
    sums.sort_unstable();
    assert_eq!(sums, [(0, 249_500), (1, 250_000)]);
    let mut means = numbers().mean(|n| f64::from(*n)).collect().await.unwrap();
    means.sort_by_key(|mean| mean.0);
    assert_eq!(means, [(0, 499.0), (1, 500.0)]);
    let mut least = numbers().min_by(|n| *n).collect().await.unwrap();
    least.sort_unstable();
    assert_eq!(least, [(0, Some(0)), (1, Some(1))]);
    let mut most = numbers().max_by(|n| *n).collect().await.unwrap();
    most.sort_unstable();
    assert_eq!(most, [(0, Some(998)), (1, Some(999))]);
    let mut top = numbers().top(2, |a, b| b.cmp(a)).collect().await.unwrap();
    top.sort_unstable();
    assert_eq!(top, [(0, vec![998, 996]), (1, vec![999, 997])]);
}

#[tokio::test]
async fn a_group_has_the_events_of_its_key_in_the_order_in_which_they_arrive() {
    let words = ["the", "quick", "brown", "fox", "jumps"];
    let groups = Flow::from_iter(words)
        .workers(1)
        .partition(|word| word.len())
        .workers(2)
        .group();
    let mut groups = groups.collect().await.unwrap();
    groups.sort();
    assert_eq!(
        groups,
        [
            (3, vec!["the", "fox"]),
            (5, vec!["quick", "brown", "jumps"])
        ]
    );
}

#[tokio::test]
async fn a_state_may_be_emitted_as_its_elements_or_as_something_else() {
    let letters = Flow::from_iter("the quick brown fox".chars().filter(|c| *c != ' ')).workers(1);
    let counts = letters.reduce(BTreeMap::new, |counts, letter| {
        *counts.entry(letter).or_insert(0) += 1;
    });
    let sizes = counts.flat_map(|counts| [counts.len(), counts.into_values().sum()]);
    assert_eq!(sizes.collect().await.unwrap(), [15, 16]);
}

#[tokio::test]
async fn operators_and_another_reduction_may_follow_a_reduction() {
    let flow = Flow::from_iter(0..1_000_u64)
        .partition(|n| n % 10)
        .workers(3)
        .count();
    let flow = flow.map(|(key, n)| (key % 2, n)).map_values(|n| n + 1);
    let mut sums = flow
        .partition(|pair| pair.0)
        .workers(2)
        .sum(|pair| pair.1)
        .collect()
        .await
        .unwrap();
    sums.sort_unstable();
    assert_eq!(sums, [(0, 505), (1, 505)]);
}
