//! Operators that users write: what they hold, and the time of what they emit.

use std::time::Duration;

use broadway_core::testing::manual_source;
use broadway_flow::{BoxError, Emit, EventTime, Flow, Operator, Timestamp, Windows};

/// Keeps events until there are this many, or until the end. Emits their sum then.
#[derive(Clone)]
struct Buffer {
    size: usize,
    events: Vec<i64>,
    keeps_state: bool,
    shows_empty: bool,
}

const fn buffer(size: usize) -> Buffer {
    Buffer {
        size,
        events: Vec::new(),
        keeps_state: true,
        shows_empty: true,
    }
}

impl Buffer {
    fn emit(&mut self, out: &mut impl Emit<i64>) {
        if !self.events.is_empty() {
            out.emit(self.events.drain(..).sum());
        }
    }
}

impl Operator<i64> for Buffer {
    type Out = i64;

    fn keeps_state(&self) -> bool {
        self.keeps_state
    }

    fn is_empty(&self) -> bool {
        self.shows_empty && self.events.is_empty()
    }

    fn event(&mut self, event: i64, out: &mut impl Emit<i64>) -> Result<(), BoxError> {
        self.events.push(event);
        if self.events.len() == self.size {
            self.emit(out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut impl Emit<i64>) -> Result<(), BoxError> {
        self.emit(out);
        Ok(())
    }
}

const SETTLED: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn a_message_is_settled_when_its_operator_is_empty() {
    let (source, feed) = manual_source::<i64>();
    let flow = Flow::from_source(source).workers(1).operator(buffer(3));
    let mut running = flow.start().await.unwrap();
    feed.push_all([1, 2]);
    tokio::time::sleep(SETTLED).await;
    assert_eq!(feed.unsettled(), [0, 1]);
    feed.push(3);
    tokio::time::sleep(SETTLED).await;
    assert!(feed.unsettled().is_empty());
    feed.push(4);
    tokio::time::sleep(SETTLED).await;
    assert_eq!(feed.unsettled(), [3]);
    feed.end();
    running.wait().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_of_an_operator_that_does_not_show_that_it_is_empty_are_settled_at_the_end() {
    let (source, feed) = manual_source::<i64>();
    let operator = Buffer {
        shows_empty: false,
        ..buffer(2)
    };
    let flow = Flow::from_source(source).workers(1).operator(operator);
    let mut running = flow.start().await.unwrap();
    feed.push_all([1, 2]);
    tokio::time::sleep(SETTLED).await;
    assert_eq!(feed.unsettled(), [0, 1]);
    feed.end();
    running.wait().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_of_an_operator_without_state_are_settled_at_once() {
    let (source, feed) = manual_source::<i64>();
    let operator = Buffer {
        keeps_state: false,
        ..buffer(3)
    };
    let flow = Flow::from_source(source).workers(1).operator(operator);
    let mut running = flow.start().await.unwrap();
    feed.push_all([1, 2]);
    tokio::time::sleep(SETTLED).await;
    assert!(feed.unsettled().is_empty());
    feed.end();
    running.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_is_settled_when_the_window_of_what_an_operator_made_of_it_has_fired() {
    let (source, feed) = manual_source::<i64>();
    let times = EventTime::new(|millis: &i64| Timestamp::from_millis(*millis));
    let timed = Flow::from_source(source).event_time(times).workers(1);
    let windows = Windows::fixed(Duration::from_millis(100));
    let sums = timed.operator(buffer(2)).window(windows);
    let mut running = sums.sum(|n| *n).start().await.unwrap();
    for time in [10, 20] {
        feed.push(time);
        tokio::time::sleep(SETTLED).await;
        assert!(feed.unsettled().contains(&0));
    }
    feed.push_all([250, 260]);
    tokio::time::sleep(SETTLED).await;
    assert_eq!(feed.unsettled(), [2, 3]);
    feed.end();
    running.wait().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_emits_at_the_end_has_the_latest_time() {
    let times = EventTime::new(|millis: &i64| Timestamp::from_millis(*millis));
    let flow = Flow::from_iter([10, 420, 430]).event_time(times.disorder(SETTLED));
    let windows = Windows::fixed(Duration::from_millis(100));
    let sums = flow.workers(1).operator(buffer(usize::MAX)).window(windows);
    let sums = sums.sum(|n| *n).collect().await.unwrap();
    let sums: Vec<_> = sums
        .iter()
        .map(|sum| (sum.start().unwrap().as_millis(), sum.value))
        .collect();
    assert_eq!(sums, [(400, 860)]);
}
