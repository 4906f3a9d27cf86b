//! How the end of a stage reaches those that wait for it: [`exit_channel`] makes both sides.

use std::fmt;

use tokio::sync::watch;

use super::End;
use crate::telemetry::{Emitter, Event, StageEvent};

/// Makes the side of the stage, and the side of those that wait.
pub(super) fn exit_channel(emitter: Emitter) -> (ExitNotifier, ExitWatcher) {
    let (sender, receiver) = watch::channel(None);
    let notifier = ExitNotifier {
        emitter,
        sender,
        end: End::Shutdown,
    };
    (notifier, ExitWatcher(receiver))
}

/// Reports, when it is dropped, how the stage ended. So it does also if the task is aborted, even before its first poll.
pub(super) struct ExitNotifier {
    emitter: Emitter,
    sender: watch::Sender<Option<End>>,
    end: End,
}

impl ExitNotifier {
    pub(super) fn notify(mut self, end: End) {
        self.end = end;
    }
}

impl Drop for ExitNotifier {
    fn drop(&mut self) {
        // Observers first: they have seen the end when `join` returns.
        let event = StageEvent::Ended { end: &self.end };
        self.emitter.emit(&Event::Stage(event));
        self.sender.send_replace(Some(self.end.clone()));
    }
}

/// Knows whether a stage has ended, and how.
#[derive(Clone)]
pub(super) struct ExitWatcher(watch::Receiver<Option<End>>);

impl ExitWatcher {
    /// Waits until the stage has ended, and returns how.
    pub(super) async fn join(&self) -> End {
        let mut receiver = self.0.clone();
        let end = receiver.wait_for(Option::is_some).await;
        // The sender disappears without a value only if the runtime drops the task.
        end.ok()
            .and_then(|end| end.clone())
            .unwrap_or(End::Shutdown)
    }

    pub(super) fn end(&self) -> Option<End> {
        self.0.borrow().clone()
    }
}

impl fmt::Debug for ExitWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end().fmt(f)
    }
}
