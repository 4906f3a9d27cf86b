//! Checks the tokio runtime that pipelines and stages start on.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::{caught::guarded, error::StartError};

/// Returns the runtime that this runs on.
///
/// # Errors
///
/// Fails without a runtime, or if the runtime has no timers.
pub(crate) fn current() -> Result<Handle, StartError> {
    let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
    // tokio cannot be asked for it: a timer panics where it is made. The panic hook prints that to standard error. To silence it
    // we would have to replace the hook of the whole process.
    let timer = guarded(|| drop(tokio::time::sleep(Duration::ZERO)));
    timer.map_err(|_panicked| StartError::NoTimers)?;
    Ok(runtime)
}
