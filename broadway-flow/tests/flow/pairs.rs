//! The four kinds of joins, and what may stand around them.

use broadway_flow::{EventTime, Flow, Join, Timestamp, Windows};

use crate::feed::{s, times};

type Left = (u32, &'static str);
type Right = (&'static str, u32);
type Pair = (Option<&'static str>, Option<&'static str>);

const LEFT: [Left; 3] = [(0, "a"), (1, "b"), (2, "c")];
const MATCHING: [Right; 3] = [("A", 0), ("B", 1), ("D", 3)];
const OTHER: [Right; 2] = [("X", 10), ("Y", 11)];

/// Keys are in different places on both sides.
fn join(right: &[Right]) -> Join<u32, Left, Right> {
    let right = Flow::from_iter(right.to_vec());
    Flow::from_iter(LEFT)
        .join(right, |left| left.0, |right| right.1)
        .items_max(100)
        .workers(2)
}

async fn sorted(flow: Flow<Pair>) -> Vec<Pair> {
    let mut pairs = flow.collect().await.unwrap();
    pairs.sort_unstable();
    pairs
}

fn inner(right: &[Right]) -> Flow<Pair> {
    join(right).inner(|left, right| (Some(left.1), Some(right.0)))
}

fn left(right: &[Right]) -> Flow<Pair> {
    join(right).left(|left, right| (Some(left.1), right.map(|right| right.0)))
}

fn right(right: &[Right]) -> Flow<Pair> {
    join(right).right(|left, right| (left.map(|left| left.1), Some(right.0)))
}

fn full(right: &[Right]) -> Flow<Pair> {
    join(right).full(|left, right| (left.map(|left| left.1), right.map(|right| right.0)))
}

const A: Pair = (Some("a"), Some("A"));
const B: Pair = (Some("b"), Some("B"));

#[tokio::test]
async fn an_inner_join_has_pairs_of_equal_keys_only() {
    assert_eq!(sorted(inner(&MATCHING)).await, [A, B]);
    assert!(sorted(inner(&OTHER)).await.is_empty());
}

#[tokio::test]
async fn a_left_join_has_events_on_the_left_without_a_partner_too() {
    assert_eq!(sorted(left(&MATCHING)).await, [A, B, (Some("c"), None)]);
    let expected = [(Some("a"), None), (Some("b"), None), (Some("c"), None)];
    assert_eq!(sorted(left(&OTHER)).await, expected);
}

#[tokio::test]
async fn a_right_join_has_events_on_the_right_without_a_partner_too() {
    assert_eq!(sorted(right(&MATCHING)).await, [(None, Some("D")), A, B]);
    assert_eq!(
        sorted(right(&OTHER)).await,
        [(None, Some("X")), (None, Some("Y"))]
    );
}

#[tokio::test]
async fn a_full_join_has_events_on_either_side_without_a_partner_too() {
    let expected = [(None, Some("D")), A, B, (Some("c"), None)];
    assert_eq!(sorted(full(&MATCHING)).await, expected);
    let expected = [
        (None, Some("X")),
        (None, Some("Y")),
        (Some("a"), None),
        (Some("b"), None),
        (Some("c"), None),
    ];
    assert_eq!(sorted(full(&OTHER)).await, expected);
}

#[tokio::test]
async fn several_events_of_a_key_are_paired_each_with_each() {
    let left = Flow::from_iter([(1, 'a'), (1, 'b'), (2, 'c'), (2, 'd')]);
    let right = Flow::from_iter([(1, 'x'), (1, 'y')]);
    let join = left
        .join(right, |left| left.0, |right| right.0)
        .items_max(100);
    let pairs = join.left(|left, right| (left.1, right.map(|right| right.1)));
    let mut pairs = pairs.collect().await.unwrap();
    pairs.sort_unstable();
    let (x, y) = (Some('x'), Some('y'));
    assert_eq!(
        pairs,
        [
            ('a', x),
            ('a', y),
            ('b', x),
            ('b', y),
            ('c', None),
            ('d', None)
        ]
    );
}

#[tokio::test]
async fn operators_and_a_reduction_may_follow_a_join() {
    let join = || Flow::from_iter(0..100_u64).join(Flow::from_iter(50..200), |n| *n, |n| *n);
    let sums = join()
        .items_max(1_000)
        .inner(|left, right| left + right)
        .map(|n| n / 2);
    let mut mapped = sums.filter(|n| n % 2 == 0).collect().await.unwrap();
    mapped.sort_unstable();
    assert_eq!(mapped, (50..100).step_by(2).collect::<Vec<_>>());
    let sums = join()
        .items_max(1_000)
        .workers(3)
        .inner(|left, right| left + right);
    let sums = sums
        .reduce(|| 0, |sum, n| *sum += n)
        .collect()
        .await
        .unwrap();
    assert!((1..=3).contains(&sums.len()));
    assert_eq!(
        sums.iter().sum::<u64>(),
        (50..100).map(|n| n * 2).sum::<u64>()
    );
}

#[tokio::test]
async fn either_side_may_be_partitioned_or_mapped() {
    let counts = Flow::from_iter("mississippi".chars())
        .partition(|c| *c)
        .workers(2)
        .count();
    let points = Flow::from_iter(["i1", "s2", "x9"]).workers(2).map(|text| {
        let mut chars = text.chars();
        (
            chars.next().unwrap(),
            u64::from(chars.next().unwrap().to_digit(10).unwrap()),
        )
    });
    let join = counts
        .join(points, |count| count.0, |point| point.0)
        .items_max(100)
        .workers(2);
    let scores = join.inner(|count, point| (count.0, count.1 * point.1));
    let mut scores = scores.partition(|_| ()).group().collect().await.unwrap();
    scores[0].1.sort_unstable();
    assert_eq!(scores, [((), vec![('i', 4), ('s', 8)])]);
}

#[tokio::test]
async fn events_of_a_key_in_different_windows_are_not_paired() {
    let times = || EventTime::new(|event: &(char, i64)| Timestamp::from_millis(event.1 * 1_000));
    let left = Flow::from_iter([('a', 1), ('a', 15), ('b', 16)]).event_time(times());
    let right = Flow::from_iter([('a', 2), ('b', 3), ('a', 19), ('a', 30)]).event_time(times());
    let join = left
        .join(right, |left| left.0, |right| right.0)
        .within(Windows::fixed(s(10)));
    let mut pairs = join
        .full(|left, right| (left, right))
        .collect()
        .await
        .unwrap();
    pairs.sort_unstable();
    let expected = [
        (None, Some(('a', 30))),
        (None, Some(('b', 3))),
        (Some(('a', 1)), Some(('a', 2))),
        (Some(('a', 15)), Some(('a', 19))),
        (Some(('b', 16)), None),
    ];
    assert_eq!(pairs, expected);
}

#[tokio::test(start_paused = true)]
async fn a_pair_is_emitted_at_once_and_an_event_alone_when_its_window_ends() {
    use crate::feed::in_parts;
    let began = tokio::time::Instant::now();
    let left = in_parts(vec![vec![1, 2], vec![], vec![20], vec![]]).event_time(times());
    let right = in_parts(vec![vec![1], vec![], vec![20], vec![]]).event_time(times());
    let join = left
        .join(right, |n| *n, |n| *n)
        .within(Windows::fixed(s(10)))
        .workers(1);
    let pairs = join.left(move |left, right| (left, right.is_some(), began.elapsed().as_secs()));
    let mut pairs = pairs.collect().await.unwrap();
    pairs.sort_unstable();
    assert_eq!(pairs, [(1, true, 0), (2, false, 2), (20, true, 2)]);
}
