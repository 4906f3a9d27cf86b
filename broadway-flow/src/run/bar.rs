//! [`Bar`]: the progress of a flow in a terminal.

#[cfg(test)]
mod tests;

use std::{pin::pin, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};

use super::{Report, RunningFlow};
use crate::{
    FlowError,
    live::FlowProgress,
    readable::{elapsed, one_line},
};

/// The time between two updates.
const PERIOD: Duration = Duration::from_millis(100);

/// Waits for the end of a flow, and draws its progress.
pub(crate) async fn wait_drawing(
    running: &mut RunningFlow,
    target: ProgressDrawTarget,
) -> Result<Report, FlowError> {
    if target.is_hidden() {
        return running.wait().await;
    }
    let (state, unit) = (Arc::clone(&running.state), running.plan.unit());
    let mut bar = Bar::new(state.name(), target);
    let mut updates = interval(PERIOD);
    updates.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let outcome = {
        let mut end = pin!(running.wait());
        loop {
            tokio::select! {
                biased;
                outcome = &mut end => break outcome,
                _ = updates.tick() => bar.show(&state.progress(unit)),
            }
        }
    };
    match &outcome {
        Ok(report) => bar.finish(&state.progress(unit), report.elapsed()),
        Err(_) => bar.fail(&state.progress(unit)),
    }
    outcome
}

/// A bar with a text behind it; a spinner if the total is unknown. If it is dropped before the end, it stays as it is.
///
/// Each change is one message of the terminal library, so that it is one draw: at a higher rate, the library leaves draws out.
struct Bar {
    line: ProgressBar,
    turns: usize,
}

/// The characters between the brackets.
const WIDTH: usize = 20;

const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

impl Bar {
    fn new(label: &str, target: ProgressDrawTarget) -> Self {
        // The message is cut off if the terminal is too narrow.
        let style = ProgressStyle::with_template("{prefix} {wide_msg}").expect("a valid template");
        let line = ProgressBar::with_draw_target(None, target)
            .with_prefix(one_line(label))
            .with_style(style)
            .with_finish(ProgressFinish::Abandon);
        Self { line, turns: 0 }
    }

    fn show(&mut self, progress: &FlowProgress) {
        let picture = match progress.share {
            Some(share) => picture(share),
            None => SPINNER[self.turns % SPINNER.len()].to_string(),
        };
        self.turns += 1;
        self.line.set_message(format!("{picture} {progress}"));
    }

    fn finish(&self, progress: &FlowProgress, time: Duration) {
        let text = format!(
            "{} in {}",
            progress.unit.amount(progress.done),
            elapsed(time)
        );
        self.line.finish_with_message(match progress.share {
            Some(_) => format!("{} {text}", picture(1.0)),
            None => text,
        });
    }

    fn fail(&self, progress: &FlowProgress) {
        let text = format!("failed after {}", progress.amount());
        self.line.abandon_with_message(match progress.share {
            Some(share) => format!("{} {text}", picture(share)),
            None => text,
        });
    }
}

/// `[====>     ]`
fn picture(share: f64) -> String {
    let done = (share * WIDTH as f64) as usize;
    let tip = if done < WIDTH { ">" } else { "" };
    format!("[{:<WIDTH$}]", "=".repeat(done) + tip)
}
