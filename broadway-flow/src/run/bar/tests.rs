//! Bars in a terminal in memory, in paused time.

use std::{
    fmt, io, mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::StartError;
use futures_util::{Stream, future::BoxFuture, stream};
use indicatif::TermLike;
use tokio::time::{Instant, sleep_until};

use super::*;
use crate::{
    Flow, RunFlowError,
    graph::Input,
    live::FlowState,
    source::{SourceInfo, StartSource, Started, StreamSource},
};

/// A terminal that keeps what was drawn, one frame for each draw.
#[derive(Clone, Default)]
struct Terminal(Arc<Mutex<Frames>>);

#[derive(Default)]
struct Frames {
    drawing: String,
    drawn: Vec<String>,
}

impl Terminal {
    fn target(&self) -> ProgressDrawTarget {
        ProgressDrawTarget::term_like(Box::new(self.clone()))
    }

    fn drawn(&self) -> Vec<String> {
        self.0.lock().unwrap().drawn.clone()
    }

    fn last(&self) -> String {
        self.drawn().last().cloned().unwrap_or_default()
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _n: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().drawing.push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut frames = self.0.lock().unwrap();
        let frame = mem::take(&mut frames.drawing);
        frames.drawn.push(frame.trim_end().to_owned());
        Ok(())
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Terminal")
    }
}

/// Sends 10 events: after 50 ms, and then every 100 ms.
fn slow() -> impl Stream<Item = u64> + Send {
    let start = Instant::now() + Duration::from_millis(50);
    stream::unfold(0, move |n| async move {
        sleep_until(start + Duration::from_millis(n * 100)).await;
        (n < 10).then_some((n, n + 1))
    })
}

/// A stream whose length is known.
struct Known<S>(StreamSource<S>, u64);

impl<S: Stream<Item = u64> + Send + 'static> StartSource for Known<S> {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            total: Some(self.1),
            ..self.0.info()
        }
    }

    fn start(
        self: Box<Self>,
        targets: usize,
        state: Arc<FlowState>,
    ) -> BoxFuture<'static, Result<Started, StartError>> {
        Box::new(self.0).start(targets, state)
    }
}

fn known(total: u64) -> Flow<u64> {
    let source = Known(StreamSource::new(slow()), total);
    Flow::from_inputs([Input::Source(Box::new(source))])
        .name("orders")
        .workers(1)
}

async fn drawn(flow: Flow<u64>, terminal: &Terminal) -> Result<Report, FlowError> {
    let mut running = flow.start().await.unwrap();
    wait_drawing(&mut running, terminal.target()).await
}

#[tokio::test(start_paused = true)]
async fn the_bar_shows_share_amount_rate_and_time_left_every_100_ms() {
    let terminal = Terminal::default();
    drawn(known(10), &terminal).await.unwrap();
    let expected = [
        "orders [>                   ] 0%, 0 of 10 events, 0/s",
        "orders [==>                 ] 10%, 1 of 10 events, 10/s, 1 s left",
        "orders [====>               ] 20%, 2 of 10 events, 10/s, 1 s left",
        "orders [======>             ] 30%, 3 of 10 events, 10/s, 1 s left",
        "orders [========>           ] 40%, 4 of 10 events, 10/s, 1 s left",
        "orders [==========>         ] 50%, 5 of 10 events, 10/s, 1 s left",
        "orders [============>       ] 60%, 6 of 10 events, 10/s, 1 s left",
        "orders [==============>     ] 70%, 7 of 10 events, 10/s, 1 s left",
        "orders [================>   ] 80%, 8 of 10 events, 10/s, 1 s left",
        "orders [==================> ] 90%, 9 of 10 events, 10/s, 1 s left",
        "orders [====================] 100%, 10 of 10 events, 10/s, finishing",
        "orders [====================] 10 events in 1.05 s",
    ];
    assert_eq!(terminal.drawn(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_bar_is_complete_at_the_end_even_if_the_total_was_too_high() {
    let terminal = Terminal::default();
    drawn(known(20), &terminal).await.unwrap();
    assert_eq!(
        terminal.last(),
        "orders [====================] 10 events in 1.05 s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_flow_without_a_total_has_a_spinner() {
    let terminal = Terminal::default();
    drawn(Flow::from_stream(slow()).workers(1), &terminal)
        .await
        .unwrap();
    let expected = [
        "flow | 0 events, 0/s",
        "flow / 1 event, 10/s",
        "flow - 2 events, 10/s",
        "flow \\ 3 events, 10/s",
        "flow | 4 events, 10/s",
    ];
    assert_eq!(terminal.drawn()[..5], expected);
    assert_eq!(terminal.last(), "flow 10 events in 1.05 s");
}

#[tokio::test(start_paused = true)]
async fn the_bar_of_a_flow_that_fails_stays_where_it_was() {
    let terminal = Terminal::default();
    let flow = known(10)
        .map(|n| if n == 4 { panic!("four") } else { n })
        .boxed();
    let error = drawn(flow, &terminal).await.unwrap_err();
    assert_eq!(error.to_string(), "map panicked: four");
    assert_eq!(
        terminal.last(),
        "orders [==========>         ] failed after 5 of 10 events"
    );
}

#[tokio::test(start_paused = true)]
async fn the_bar_stays_if_the_wait_is_dropped_and_another_wait_draws_a_new_one() {
    let terminal = Terminal::default();
    let mut running = known(10).start().await.unwrap();
    let wait = wait_drawing(&mut running, terminal.target());
    assert!(
        tokio::time::timeout(Duration::from_millis(220), wait)
            .await
            .is_err()
    );
    let abandoned = "orders [====>               ] 20%, 2 of 10 events, 10/s, 1 s left";
    assert_eq!(terminal.last(), abandoned);
    let drawn = terminal.drawn();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(terminal.drawn(), drawn, "nothing draws any more");
    let again = Terminal::default();
    wait_drawing(&mut running, again.target()).await.unwrap();
    assert_eq!(
        again.last(),
        "orders [====================] 10 events in 1.05 s"
    );
    assert_eq!(terminal.last(), abandoned);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_drawn_without_a_terminal() {
    let mut running = known(10).start().await.unwrap();
    let report = wait_drawing(&mut running, ProgressDrawTarget::hidden())
        .await
        .unwrap();
    assert_eq!(report.elapsed(), Duration::from_millis(1_050));
}

#[tokio::test(start_paused = true)]
async fn a_name_cannot_break_the_line() {
    let terminal = Terminal::default();
    drawn(known(10).name("a\nb\u{1b}[2J"), &terminal)
        .await
        .unwrap();
    assert_eq!(
        terminal.last(),
        "a\\nb\\u{1b}[2J [====================] 10 events in 1.05 s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_too_long_is_cut_off() {
    let terminal = Terminal::default();
    drawn(known(10).name("n".repeat(70)), &terminal)
        .await
        .unwrap();
    assert_eq!(terminal.last().chars().count(), 100);
}

/// A terminal for a test of its own, for an option, which must be a function.
macro_rules! terminal {
    () => {{
        static TERMINAL: std::sync::LazyLock<Terminal> =
            std::sync::LazyLock::new(Terminal::default);
        let target: fn() -> ProgressDrawTarget = || TERMINAL.target();
        (&*TERMINAL, target)
    }};
}

#[tokio::test(start_paused = true)]
async fn the_option_makes_run_collect_and_for_each_draw() {
    let end = "orders [====================] 10 events in 1.05 s";
    let (terminal, target) = terminal!();
    let mut flow = known(10);
    flow.options.bar = Some(target);
    flow.run().await.unwrap();
    assert_eq!(terminal.last(), end);

    let (terminal, target) = terminal!();
    let mut flow = known(10);
    flow.options.bar = Some(target);
    assert_eq!(flow.map(|n| n + 1).collect().await.unwrap().len(), 10);
    assert_eq!(terminal.last(), end);

    let (terminal, target) = terminal!();
    let mut flow = known(10);
    flow.options.bar = Some(target);
    flow.partition(|n| *n)
        .count()
        .for_each(|_| {})
        .await
        .unwrap();
    assert_eq!(terminal.last(), end);
}

#[tokio::test(start_paused = true)]
async fn the_option_draws_the_failure_of_a_run() {
    let (terminal, target) = terminal!();
    let mut flow = known(10);
    flow.options.bar = Some(target);
    let error = flow
        .try_map(|n| if n < 2 { Ok(n) } else { Err("two") })
        .run()
        .await
        .unwrap_err();
    assert!(matches!(error, RunFlowError::Flow(_)), "{error}");
    assert_eq!(
        terminal.last(),
        "orders [======>             ] failed after 3 of 10 events"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bar_is_only_shown_on_request() {
    assert!(known(10).options.bar.is_none());
    let flow = known(10).progress_bar();
    assert!(flow.options.bar.is_some());
    // Draws if the tests run in a terminal.
    let report = flow.run().await.unwrap();
    assert_eq!(report.elapsed(), Duration::from_millis(1_050));
}

#[test]
fn the_bar_is_full_only_at_the_end() {
    assert_eq!(picture(0.0), "[>                   ]");
    assert_eq!(picture(0.999), "[===================>]");
    assert_eq!(picture(1.0), "[====================]");
}
