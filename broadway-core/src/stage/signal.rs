//! The signals that ask a program to stop.

use std::io;

/// Waits for SIGINT or, on Unix, SIGTERM.
///
/// # Errors
///
/// The signal handler could not be installed.
async fn stop_signal() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Runs `future` to its end; calls `first` at the first stop signal and `second` at the second.
///
/// Where signals cannot be caught, it is as if none came.
pub(crate) async fn until_signal<F: Future>(
    future: F,
    first: impl FnOnce(),
    second: impl FnOnce(),
) -> F::Output {
    let signals = async {
        if stop_signal().await.is_ok() {
            first();
        }
        if stop_signal().await.is_ok() {
            second();
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        output = future => output,
        output = signals => output,
    }
}
