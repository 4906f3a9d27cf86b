//! Which events meet, and that none is lost on the way.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use broadway_flow::{BoxError, Emit, Flow, Operator};

/// The groups of a flow, with their events in order.
fn sorted<K: Ord>(groups: Vec<(K, Vec<u64>)>) -> BTreeMap<K, Vec<u64>> {
    let n = groups.len();
    let sorted = groups.into_iter().map(|(key, mut group)| {
        group.sort_unstable();
        (key, group)
    });
    let groups: BTreeMap<_, _> = sorted.collect();
    assert_eq!(groups.len(), n, "a key has two results");
    groups
}

#[tokio::test]
async fn events_of_a_key_meet_and_none_is_lost_or_repeated() {
    let flow = Flow::from_iters((0..3).map(|n| (n..30_000).step_by(3))).workers(3);
    let groups = flow
        .partition(|n| n % 70)
        .workers(4)
        .group()
        .collect()
        .await
        .unwrap();
    let groups = sorted(groups);
    assert_eq!(groups.len(), 70);
    for (key, group) in groups {
        assert_eq!(group, (key..30_000).step_by(70).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn any_function_of_an_event_may_be_the_key() {
    #[derive(Clone)]
    struct Sale {
        shop: &'static str,
        cents: u64,
    }
    let sales = [("a", 1), ("b", 2), ("a", 3)];
    let element = Flow::from_iter(sales)
        .partition(|sale| sale.0)
        .workers(4)
        .sum(|sale| sale.1);
    let sales = sales.map(|(shop, cents)| Sale { shop, cents });
    let field = Flow::from_iter(sales)
        .partition(|sale| sale.shop)
        .workers(4);
    let field = field.sum(|sale| sale.cents);
    for flow in [element, field] {
        let mut sums = flow.collect().await.unwrap();
        sums.sort_unstable();
        assert_eq!(sums, [("a", 4), ("b", 2)]);
    }
    let flow = Flow::from_iter(0..100_u64)
        .partition(|n| n.count_ones() > 3)
        .workers(4);
    let counts: BTreeMap<_, _> = flow.count().collect().await.unwrap().into_iter().collect();
    let many = (0..100_u64).filter(|n| n.count_ones() > 3).count() as u64;
    assert_eq!(counts, BTreeMap::from([(true, many), (false, 100 - many)]));
}

#[tokio::test]
async fn a_key_may_be_a_number_of_a_part_of_the_events() {
    let one = Flow::from_iter(0..100_u64).map(|n| n + 1);
    let two = Flow::from_iter(0..100).filter(|n| n % 2 == 0);
    let parts = one
        .merge(two)
        .partition(|n| usize::from(*n > 50))
        .workers(4);
    let mut sums = parts.sum(|n| *n).collect().await.unwrap();
    sums.sort_unstable();
    let low = (1..=50).sum::<u64>() + (0..=50).step_by(2).sum::<u64>();
    let high = (51..=100).sum::<u64>() + (52..100).step_by(2).sum::<u64>();
    assert_eq!(sums, [(0, low), (1, high)]);
}

#[tokio::test]
async fn equal_keys_meet_behind_a_shuffle() {
    let flow = Flow::from_iter(0..10_000_u64)
        .workers(2)
        .shuffle()
        .workers(3);
    let groups = flow
        .partition(|n| n % 10)
        .workers(4)
        .group()
        .collect()
        .await
        .unwrap();
    for (key, group) in sorted(groups) {
        assert_eq!(group, (key..10_000).step_by(10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_shuffle_spreads_events_over_its_workers() {
    let flow = Flow::from_iter(0..40_000_u64)
        .workers(1)
        .shuffle()
        .workers(4);
    let counts = flow
        .reduce(|| 0_u64, |n, _| *n += 1)
        .collect()
        .await
        .unwrap();
    assert_eq!((counts.len(), counts.iter().sum()), (4, 40_000));
}

#[tokio::test]
async fn merged_flows_with_operators_of_their_own_lose_nothing() {
    let one = Flow::from_iters([0..5_000_u64, 5_000..10_000])
        .workers(2)
        .map(|n| n * 2);
    let two = Flow::from_iter(0..10_000_u64).workers(3).map(|n| n * 2 + 1);
    let mut merged = one
        .merge(two)
        .workers(2)
        .map(|n| n)
        .collect()
        .await
        .unwrap();
    merged.sort_unstable();
    assert_eq!(merged, (0..20_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn merged_flows_meet_in_one_worker() {
    let one = Flow::from_iter(0..5_000_u64).workers(2);
    let merged = one.merge(Flow::from_iter(5_000..10_000)).workers(1);
    let sums = merged
        .reduce(|| 0, |sum, n| *sum += n)
        .collect()
        .await
        .unwrap();
    assert_eq!(sums, [(0..10_000).sum::<u64>()]);
}

/// Counts the ends of workers.
#[derive(Clone)]
struct Ends(Arc<AtomicUsize>);

impl Operator<u64> for Ends {
    type Out = u64;

    fn event(&mut self, event: u64, out: &mut impl Emit<u64>) -> Result<(), BoxError> {
        out.emit(event);
        Ok(())
    }

    fn finish(&mut self, _out: &mut impl Emit<u64>) -> Result<(), BoxError> {
        self.0.fetch_add(1, Relaxed);
        Ok(())
    }
}

#[tokio::test]
async fn each_worker_runs_an_operator_of_its_own_also_without_events() {
    let ends = Arc::new(AtomicUsize::new(0));
    let flow = Flow::from_iter(0..3).workers(1).shuffle().workers(5);
    let events = flow
        .operator(Ends(Arc::clone(&ends)))
        .collect()
        .await
        .unwrap();
    assert_eq!((events.len(), ends.load(Relaxed)), (3, 5));
}
