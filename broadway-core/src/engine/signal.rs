//! Catches the signals that ask a program to stop.

use std::{io, sync::Arc};

use super::clock;
use crate::{
    caught::guarded,
    machine::stop_signals::{StopRequest, StopSignals},
};

/// Receives SIGINT and, on Unix, SIGTERM. None that comes after it was made is missed.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next signal.
    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // Signals cannot be caught on this system: wait forever, as if none came.
            std::future::pending().await
        }
    }
}

/// Runs `future` to its end. Meanwhile calls `caught` with what each stop signal requests.
///
/// # Errors
///
/// Fails if signals cannot be caught, with the reason and what to do. `future` was not polled then.
pub(crate) async fn until_signal<F: Future>(
    future: F,
    mut caught: impl FnMut(StopRequest),
) -> Result<F::Output, Arc<str>> {
    // tokio panics on a runtime without IO, and cannot be asked for it before.
    let mut signals = match guarded(Signals::listen) {
        Ok(Ok(signals)) => signals,
        Ok(Err(error)) => return Err(error.to_string().into()),
        Err(_panicked) => {
            return Err("the tokio runtime has no IO: build it with enable_all()".into());
        }
    };
    let mut requests = StopSignals::default();
    let catch = async {
        loop {
            signals.next().await;
            caught(requests.caught(clock::now()));
        }
    };
    // Biased: an end that is reached at the same moment as a signal counts.
    tokio::select! {
        biased;
        output = future => Ok(output),
        () = catch => unreachable!("the loop never ends"),
    }
}
