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
        .window(Windows::sliding(s(10), s(5)))
        .count()
        .named("per page")
        .map(|count: Windowed<(i64, u64)>| format!("{:?}", count.value));
    let other = Flow::from_iters([["a", "b"], ["c", "d"]])
        .workers(1)
        .map(str::to_owned);
    counts
        .merge(other)
        .workers(1)
        .inspect(|_| {})
        .named("log")
        .boxed()
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
   - count \"per page\" (10s every 5s)
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
  n4[\"3 workers<br/>count #quot;per page#quot; (10s every 5s)<br/>map\"]
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

/// Replaces times, which differ from run to run, and the columns that depend on them.
fn without_times(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        for n in 1..words.len() {
            if ["ms", "s"].contains(&words[n].trim_end_matches(',')) {
                words[n - 1] = "#";
            }
        }
        words.join(" ") + "\n"
    });
    lines.collect()
}

#[tokio::test]
async fn the_plan_of_a_report_has_counts_and_a_total() {
    let report = visits().run().await.unwrap();
    let expected = "\
1. source: iterator, 6 events
2. 1 worker
- filter \"known\" 6 events # ms
- event_time (disorder 2s) 5 events # ms
3. shuffle, 2 workers
- key 5 events # ms
- combine 5 events # ms
4. partition, 3 workers
- count \"per page\" (10s every 5s) 3 events
- map 5 events # ms
5. source: iterator × 2, 4 events
6. 1 worker
- map 4 events # ms
7. merge of 4 and 6, 1 worker
- inspect \"log\" 9 events # ms
total: 10 events read in # ms, # ms in operators
";
    assert_eq!(without_times(&report.to_string()), expected);
    assert_eq!(report.to_string(), report.plan().to_string());
    let chart = report.plan().mermaid();
    assert!(
        chart.contains("<br/>event_time (disorder 2s) · 5 events"),
        "{chart}"
    );
    assert!(chart.contains("\n  total[\"10 events read in "), "{chart}");
}

#[tokio::test(start_paused = true)]
async fn the_plan_of_a_running_flow_has_the_counts_so_far_and_keeps_them() {
    let slow = futures_util::stream::unfold(0, |n| async move {
        tokio::time::sleep(s(1)).await;
        Some((n, n + 1))
    });
    let flow = Flow::from_stream(slow).workers(1).map(|n| n).named("same");
    let running = flow.start().await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let plan = running.explain();
    let text = "\
1. source: stream
2. 1 worker
- map \"same\" 2 events # ms
total: 2 events read in # s, # ms in operators
";
    assert_eq!(without_times(&plan.to_string()), text);
    tokio::time::sleep(s(10)).await;
    assert_eq!(without_times(&plan.to_string()), text);
    let later = running.explain().to_string();
    assert!(
        later.contains("total: 12 events read in 12.50 s"),
        "{later}"
    );
}

#[test]
fn a_name_cannot_break_a_plan_or_a_chart() {
    let name = "a \"b\" [c] {d} (e)\n%%{init}%% `f` <g> &amp; #35; $h$ ü|終 style:#1;";
    let plan = Flow::from_iter(0..1)
        .workers(1)
        .map(|n| n)
        .named(name)
        .explain();
    let line =
        "   - map \"a \\\"b\\\" [c] {d} (e)\\n%%{init}%% `f` <g> &amp; #35; $h$ ü|終 style:#1;\"";
    assert_eq!(plan.to_string().lines().nth(2), Some(line));
    let label = "1 worker<br/>map #quot;a #92;#quot;b#92;#quot; #91;c#93; #123;d#125; (e)#92;n#37;#37;#123;init#125;#37;#37; #96;f#96; \
                 #60;g#62; #38;amp#59; #35;35#59; #36;h#36; ü#124;終 style#58;#35;1#59;#quot;";
    assert_eq!(
        plan.mermaid().lines().nth(2).unwrap(),
        format!("  n2[\"{label}\"]")
    );
}
