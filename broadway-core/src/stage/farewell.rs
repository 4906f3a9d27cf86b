//! How the end of a stage gets to those who wait for it: [`farewell`] makes both sides.

use std::fmt;

use tokio::sync::watch;

use super::End;
use crate::telemetry::{Emitter, Event, StageEvent};

/// The side of the stage, and the side of who waits.
pub(super) fn farewell(emitter: Emitter) -> (Farewell, Ended) {
    let (tell, told) = watch::channel(None);
    let farewell = Farewell {
        emitter,
        tell,
        end: End::Shutdown,
    };
    (farewell, Ended(told))
}

/// Says how the stage ended when it is dropped, so also if the task is aborted, even before it first ran.
pub(super) struct Farewell {
    emitter: Emitter,
    tell: watch::Sender<Option<End>>,
    end: End,
}

impl Farewell {
    pub(super) fn say(mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let event = StageEvent::Ended { end: &self.end };
        self.emitter.emit(&Event::Stage(event));
        self.tell.send_replace(Some(self.end.clone()));
    }
}

/// Knows whether a stage has ended, and how.
#[derive(Clone)]
pub(super) struct Ended(watch::Receiver<Option<End>>);

impl Ended {
    /// Waits until it has.
    pub(super) async fn join(&self) -> End {
        let mut told = self.0.clone();
        let end = told.wait_for(Option::is_some).await;
        // The sender goes without a word only if the runtime drops the task.
        end.ok()
            .and_then(|end| end.clone())
            .unwrap_or(End::Shutdown)
    }

    pub(super) fn end(&self) -> Option<End> {
        self.0.borrow().clone()
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end().fmt(f)
    }
}
