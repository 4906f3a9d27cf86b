//! What plans show, before, during and after a run.

use std::time::Duration;

use broadway_flow::{EventTime, Flow, Timestamp, Windowed, Windows};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two sources, one of which has times, windows and a partition.
fn visits() -> Flow<String> {
    let times = EventTime::new(|n: &i64| Timestamp::from_millis(n * 1_000));
    let counts = Flow::from_iter(0..6_i64)
        .filter(|n| *n != 3)
        .named("known")
        .event_time(times.disorder(s(2)))
        .workers(2)
        .partition(|n| n % 2)
        .workers(3)
        .window(Windows::sliding(s(10), s(5)).lateness(s(1)))
        .count()
        .named("per page")
        .map(|count: Windowed<(i64, u64)>| format!("{:?}", count.value));
    let other = Flow::from_iters([["a", "b"], ["c", "d"]]).workers(1).map(str::to_owned);
    counts.merge(other).workers(1).inspect(|_| {}).named("log").boxed()
}

#[test]
fn a_plan_is_a_list_from_the_sources_to_the_end() {
    let expected = "\
1. source: iterator, 6 events
2. 1 worker
   - filter \"known\"
   - event_time (disorder 2s)
3. shuffle, 2 workers
   - key
   - combine
4. partition, 3 workers
   - count \"per page\" (10s every 5s, lateness 1s)
   - map
5. source: iterator × 2, 4 events
6. 1 worker
   - map
7. merge of 4 and 6, 1 worker
   - inspect \"log\"
";
    assert_eq!(visits().explain().to_string(), expected);
}

#[test]
fn a_plan_is_a_chart() {
    let expected = "\
flowchart TD
  n1([\"iterator, 6 events\"])
  n2[\"1 worker<br/>filter #quot;known#quot;<br/>event_time (disorder 2s)\"]
  n1 --> n2
  n3[\"2 workers<br/>key<br/>combine\"]
  n2 -->|shuffle| n3
  n4[\"3 workers<br/>count #quot;per page#quot; (10s every 5s, lateness 1s)<br/>map\"]
  n3 -->|partition| n4
  n5([\"iterator × 2, 4 events\"])
  n6[\"1 worker<br/>map\"]
  n5 --> n6
  n7[\"1 worker<br/>inspect #quot;log#quot;\"]
  n4 -->|merge| n7
  n6 -->|merge| n7
";
    assert_eq!(visits().explain().mermaid(), expected);
}
